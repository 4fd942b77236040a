//! What a stranger's container on a grader reaches: whoever is in its internal overlay, on another
//! host too, and nobody else. The controls: the same attempts from the grader itself, and from a
//! container of the same image outside of that overlay, come to the lure.

use std::{collections::HashMap, net::TcpListener, time::Duration};

use anyhow::{Context, Result, ensure};
use bollard::{
    Docker,
    models::{
        ContainerCreateBody, EndpointSpec, EndpointSpecModeEnum, HostConfig, Ipam, IpamConfig,
        NetworkAttachmentConfig, NetworkCreateRequest, ServiceSpec, ServiceSpecMode,
        ServiceSpecModeReplicated, TaskSpec, TaskSpecContainerSpec, TaskSpecPlacement,
        TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum, TaskState,
    },
    query_parameters::{
        CreateContainerOptions, CreateImageOptionsBuilder, ListTasksOptionsBuilder,
    },
};
use futures::TryStreamExt;
use portcall_tests::{
    Lab, Recipe, Registry,
    lab::{Database, Filter, Plan},
    parts::process::Ended,
    wait,
};

const SOON: Duration = Duration::from_secs(30);
const NETWORK: &str = "portcall-lab-inside";
const SERVICE: &str = "portcall-lab-stranger";
const NEIGHBOUR: &str = "portcall-lab-neighbour";
const OUTSIDE: &str = "portcall-lab-outside";

const PLAN: Plan =
    Plan { managers: 1, graders: 2, database: Database::None, slots: None, filter: Filter::None };

/// A task that runs on a grader.
struct Stranger {
    container: String,
    address: String,
}

#[tokio::test]
async fn a_grader_is_reached_over_an_overlay_and_reaches_nothing_else() -> Result<()> {
    let lab = Lab::of(PLAN).await?;
    let image = push(&lab).await?;
    let stranger = strangers_and_neighbour(&lab, &image).await?;

    // A listener of this process, which stands for a host's.
    let here = TcpListener::bind((lab.door()?, 0))?;
    let targets = targets(&lab, here.local_addr()?.port())?;
    let script = attempts(&lab, &targets).await?;
    let tried = lab.run_inside("g1", &stranger.container, "bash", &["-c", &script], SOON).await?;
    assert_eq!(tried.ended, Ended::Code(0), "{tried:?}");
    assert_eq!(tried.stdout, "", "reached from the stranger");
    assert_eq!(lab.touched().await?, []);

    // The controls.
    let free = lab.run_on("g1", "bash", &["-c", &script], SOON).await?;
    assert_eq!(
        sorted(free.stdout.lines()),
        sorted(targets.iter().map(String::as_str)),
        "the grader itself reaches everybody: {free:?}"
    );
    let grader = lab.host("g1")?.address.to_string();
    let touched = lab.touched().await?;
    for to in LURED {
        ensure!(
            touched.iter().any(|t| t.at == "x" && t.to == to && t.from == grader),
            "{touched:?}"
        );
    }
    ensure!(touched.iter().any(|touch| touch.at == "x" && touch.protocol == "udp"), "{touched:?}");
    ensure!(touched.iter().any(|touch| touch.at == "m1" && touch.port == 22), "{touched:?}");
    lab.forget_lures().await?;
    let docker = lab.docker("g2")?;
    start_container(&docker, OUTSIDE, &image, "bridge").await?;
    let tried = lab.run_inside("g2", OUTSIDE, "bash", &["-c", &script], SOON).await?;
    ensure!(tried.stdout.contains("169.254.169.254"), "a container elsewhere: {tried:?}");
    ensure!(lab.touched().await?.iter().any(|touch| touch.to == "169.254.169.254"));

    clear(&lab).await?;
    lab.down().await
}

/// The packet filter of a grader: the swarm and its overlays work under it, a container outside of
/// them goes nowhere, and neither does the grader itself.
#[tokio::test]
async fn under_the_packet_filter_the_overlay_works_and_nothing_else_leaves_a_grader() -> Result<()>
{
    let lab = Lab::of(Plan { filter: Filter::Closed, ..PLAN }).await?;
    let image = push(&lab).await?;
    strangers_and_neighbour(&lab, &image).await?;
    let here = TcpListener::bind((lab.door()?, 0))?;
    let script = attempts(&lab, &targets(&lab, here.local_addr()?.port())?).await?;
    start_container(&lab.docker("g2")?, OUTSIDE, &image, "bridge").await?;
    let tried = lab.run_inside("g2", OUTSIDE, "bash", &["-c", &script], SOON).await?;
    assert_eq!((tried.ended, tried.stdout.as_str()), (Ended::Code(0), ""), "{tried:?}");
    // The grader's own: what a pull or a heartbeat takes, and no more.
    let tried = lab.run_on("g2", "bash", &["-c", &script], SOON).await?;
    let address = |host: &str| anyhow::Ok(lab.host(host)?.address);
    let (m1, g1, g2, q) = (address("m1")?, address("g1")?, address("g2")?, address("q")?);
    let may = [
        format!("{m1}/2377"),
        format!("{m1}/7946"),
        format!("{g1}/7946"),
        format!("{g2}/2376"),
        format!("{g2}/7946"),
        format!("{q}/5001"),
    ];
    assert_eq!(sorted(tried.stdout.lines()), sorted(may.iter().map(String::as_str)), "{tried:?}");
    // g2 itself notes what it then drops.
    let elsewhere = lab.touched().await?.into_iter().filter(|touch| touch.at != "g2");
    assert_eq!(elsewhere.collect::<Vec<_>>(), []);
    // Its engine answers those who may ask it.
    let ask = format!("timeout 2 bash -c ': </dev/tcp/{g1}/2376'");
    assert_eq!(lab.run_on("f", "bash", &["-c", &ask], SOON).await?.ended, Ended::Code(0));
    assert_ne!(lab.run_on("q", "bash", &["-c", &ask], SOON).await?.ended, Ended::Code(0));
    clear(&lab).await?;
    lab.down().await
}

async fn push(lab: &Lab) -> Result<String> {
    let image = Registry::at(&lab.quarantine()?)?.push("app", &Recipe::app("ok")?).await?;
    Ok(format!("{}/app@{}", lab.quarantine()?, image.digest))
}

/// A stranger on g1, and a container of ours on the manager that reaches it over their overlay. The
/// lures begin anew.
async fn strangers_and_neighbour(lab: &Lab, image: &str) -> Result<Stranger> {
    let manager = lab.docker("m1")?;
    make_overlay(&manager).await?;
    start_container(&manager, NEIGHBOUR, image, NETWORK).await?;
    let stranger = start_stranger(&manager, &lab.docker("g1")?, image).await?;
    lab.forget_lures().await?;
    let url = format!("http://{}/getconfig", stranger.address);
    let ask = ["-fsS", "--noproxy", "*", "--max-time", "10", url.as_str()];
    let answer = lab.run_inside("m1", NEIGHBOUR, "curl", &ask, SOON).await?;
    ensure!(answer.stdout.contains("Gordon"), "{answer:?}");
    Ok(stranger)
}

async fn clear(lab: &Lab) -> Result<()> {
    let manager = lab.docker("m1")?;
    manager.delete_service(SERVICE).await?;
    lab.engine("m1")?.close(&[NEIGHBOUR], NETWORK).await;
    lab.engine("g2")?.remove_open(OUTSIDE).await;
    wait::until("nothing left over", SOON, || async {
        // A network goes when its last task has.
        let _ = manager.remove_network(NETWORK).await;
        Ok(lab.left_over().await?.is_empty().then_some(()))
    })
    .await
}

/// Where only the lure is.
const LURED: [&str; 4] = ["169.254.169.254", "203.0.113.10", "192.168.77.1", "192.0.2.1"];

/// Where somebody listens, as `address/port`.
fn targets(lab: &Lab, here: u16) -> Result<Vec<String>> {
    let mut all = LURED.map(|to| format!("{to}/80")).to_vec();
    for (host, ports) in [
        ("m1", &[2376, 2377, 7946][..]),
        ("g1", &[2376, 7946]),
        ("g2", &[2376, 7946]),
        ("q", &[5000, 5001]),
    ] {
        let address = lab.host(host)?.address;
        all.extend(ports.iter().map(|port| format!("{address}/{port}")));
    }
    all.push(format!("{}/{here}", lab.door()?));
    Ok(all)
}

/// Tries all at once, and prints where it came to. Where nobody would answer, what counts is that nothing is sent.
async fn attempts(lab: &Lab, targets: &[String]) -> Result<String> {
    let bridge = "ip -4 -o address show docker_gwbridge | sed -E 's/.* inet ([0-9.]+).*/\\1/'";
    let gateway = lab.must_on("g1", bridge).await?;
    let silent = [
        format!("tcp/{}/22", gateway.trim()),
        format!("tcp/{}/22", lab.host("m1")?.address),
        "udp/192.0.2.1/53".to_owned(),
        "udp/192.0.2.53/53".to_owned(),
    ];
    let loud = targets
        .iter()
        .map(|to| format!("timeout 8 bash -c ': </dev/tcp/{to}' 2>/dev/null && echo {to} &"));
    let silent =
        silent.iter().map(|to| format!("timeout 1 bash -c 'echo >/dev/{to}' 2>/dev/null &"));
    Ok(loud.chain(silent).chain(["wait; true".to_owned()]).collect::<Vec<_>>().join("\n"))
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

async fn make_overlay(manager: &Docker) -> Result<()> {
    let config = IpamConfig { subnet: Some("10.82.0.0/28".to_owned()), ..Default::default() };
    let request = NetworkCreateRequest {
        name: NETWORK.to_owned(),
        driver: Some("overlay".to_owned()),
        internal: Some(true),
        attachable: Some(true),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        ..Default::default()
    };
    manager.create_network(request).await?;
    Ok(())
}

/// Any container of ours, as a prober is: not of the swarm.
async fn start_container(docker: &Docker, name: &str, image: &str, network: &str) -> Result<()> {
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    let _: Vec<_> = docker.create_image(Some(options), None, None).try_collect().await?;
    let host = HostConfig { network_mode: Some(network.to_owned()), ..Default::default() };
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        host_config: Some(host),
        ..Default::default()
    };
    let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
    docker.create_container(Some(options), body).await?;
    docker.start_container(name, None).await?;
    Ok(())
}

/// A service with one task on g1, running.
async fn start_stranger(manager: &Docker, grader: &Docker, image: &str) -> Result<Stranger> {
    let none = TaskSpecRestartPolicyConditionEnum::NONE;
    let network =
        NetworkAttachmentConfig { target: Some(NETWORK.to_owned()), ..Default::default() };
    let task = TaskSpec {
        container_spec: Some(TaskSpecContainerSpec {
            image: Some(image.to_owned()),
            ..Default::default()
        }),
        placement: Some(TaskSpecPlacement {
            constraints: Some(vec!["node.hostname==g1".to_owned()]),
            ..Default::default()
        }),
        restart_policy: Some(TaskSpecRestartPolicy { condition: Some(none), ..Default::default() }),
        networks: Some(vec![network]),
        ..Default::default()
    };
    let spec = ServiceSpec {
        name: Some(SERVICE.to_owned()),
        task_template: Some(task),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(1) }),
            ..Default::default()
        }),
        endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ports: None }),
        ..Default::default()
    };
    manager.create_service(spec, None).await?;
    let container = wait::until("the stranger's task runs", SOON, || async {
        let filters = HashMap::from([("service", vec![SERVICE])]);
        let options = ListTasksOptionsBuilder::new().filters(&filters).build();
        let tasks = manager.list_tasks(Some(options)).await?;
        Ok(tasks.into_iter().find_map(|task| {
            let status = task.status.filter(|status| status.state == Some(TaskState::RUNNING))?;
            status.container_status?.container_id
        }))
    })
    .await?;
    let found = grader.inspect_container(&container, None).await?;
    let networks = found.network_settings.and_then(|settings| settings.networks);
    let attached = networks.and_then(|mut networks| networks.remove(NETWORK)?.ip_address);
    Ok(Stranger { container, address: attached.context("a stranger without an address")? })
}
