//! A submission on many machines: graded on one, probed from another over an overlay of its own, and
//! with no way to anybody else.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bollard::{Docker, models::NetworkCreateRequest, query_parameters::CreateImageOptionsBuilder};
use futures::{TryStreamExt, future::try_join_all};
use portcall_tests::{
    Event, Lab, Recipe, Registry, Submission,
    lab::{
        Plan,
        world::{Portcall, attempts},
    },
    parts::{
        client::{Client, time_at},
        net,
    },
    wait,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(60);
/// Where only the lure is: a machine's metadata, the internet, a node, names.
const LURED: [&str; 4] = ["169.254.169.254", "203.0.113.10", "192.168.77.1", "192.0.2.53"];
/// What hosts listen on, and what they might: ssh, names, pages, engines, the swarm and its overlays,
/// registries, databases, our own processes.
const PORTS: [u16; 15] =
    [22, 53, 80, 443, 2375, 2376, 2377, 4789, 5000, 5001, 7946, 8080, 9080, 9081, 27017];
/// A network with a way out, which no stranger is ever in: the control's.
const OPEN: &str = "portcall-control";

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_graded_on_a_grader_probed_from_a_manager_and_reaches_nobody() -> Result<()> {
    let lab = Lab::of(Plan { slots: Some(2), ..Plan::default() }).await?;
    let event = Event::config().limits("ready_s = 20\nrequest_s = 5");
    let world = Portcall::start(lab, &event, 4, &["g1", "g2"]).await?;
    on_a_grader_from_a_manager(&world).await?;

    let rules = [
        "{ path = \"$.name\", equals = \"{participant.name}\" }",
        "{ path = \"$.outcome\", equals = \"{answers.outcome}\" }",
    ];
    let rules = Event::with_check("\"any\"", &rules).answer("outcome").slug("strangers");
    let strangers = world.also(&rules.limits("ready_s = 60\nrequest_s = 2")).await?;
    let ear = Ear::open(&world.lab)?;
    world.lab.forget_lures().await?;
    reaches_nobody(&world, &strangers, &ear).await?;
    reaches_no_other_slot(&world, &strangers).await?;
    assert_eq!(world.lab.touched().await?, [], "who came where he has no business");
    assert_eq!(ear.heard()?, [""; 0]);
    the_same_elsewhere_is_seen(&world.lab, &ear, &everybody(&world, &ear)?).await?;
    world.until_clean().await?;
    world.finish().await
}

/// Where the container of a submission runs, who asks it from where, and what the document says.
#[expect(clippy::print_stdout, reason = "what a test measures is printed")]
async fn on_a_grader_from_a_manager(world: &Portcall) -> Result<()> {
    let ids = world.submit("Gordon", 1, Duration::from_secs(4)).await?;
    let (host, network) = wait::until("the stranger's container runs", PATIENCE, || async {
        let found = world.containers("workload").await?;
        Ok(found.into_iter().next())
    })
    .await?;
    ensure!(host.starts_with('g'), "it runs on {host}");
    let probers = world.containers("prober").await?;
    let in_it: Vec<&str> =
        probers.iter().filter(|(_, of)| *of == network).map(|(host, _)| host.as_str()).collect();
    // The grader's own is the anchor, which keeps the overlay there and asks nothing.
    let (ours, away): (Vec<&str>, Vec<&str>) = in_it.iter().partition(|at| **at == host);
    ensure!(ours.len() == 1 && away.len() == 1, "in {network}: {probers:?}");
    let state = world.lab.node(away[0]).await?.context("an unknown prober's host")?;
    ensure!(away[0].starts_with('m'), "probed from {}: {state:?}", away[0]);

    let passed = world.all_passed(&ids, PATIENCE).await?;
    let attempt = &passed[0]["attempts"][0];
    assert_eq!(attempt["node"], host.as_str(), "{attempt:#}");
    println!("graded on {host}, probed from {}: {:?}", away[0], attempts(&passed));
    Ok(())
}

/// Every host of the lab and its ports, the lures, this process, and the slots that are open.
fn everybody(world: &Portcall, ear: &Ear) -> Result<Vec<SocketAddr>> {
    let mut all = Vec::new();
    for host in world.lab.hosts()? {
        all.extend(PORTS.map(|port| SocketAddr::from((host.address, port))));
    }
    for lure in LURED {
        for port in [53, 80, 443] {
            all.push(SocketAddr::new(lure.parse()?, port));
        }
    }
    all.push(ear.at);
    Ok(all)
}

/// A stranger who tries each of them, over TCP and with datagrams; and one who looks for neighbours.
async fn reaches_nobody(world: &Portcall, client: &Client, ear: &Ear) -> Result<()> {
    let targets = listed(&everybody(world, ear)?);
    let reach = Recipe::hostile("reach")?.env("HOSTILE_TARGETS", &targets);
    let overlay = Recipe::hostile("overlay")?.env("HOSTILE_TARGETS", &targets);
    let dns = Recipe::hostile("dns")?.env("HOSTILE_TARGETS", &targets);
    let several = [
        ("reach", reach, "open=0"),
        ("overlay", overlay, "sent over IPv6=0"),
        ("dns", dns, "resolved=0"),
    ];
    let all = several.map(|(who, recipe, outcome)| strange(world, client, who, recipe, outcome));
    let (_, ()) = futures::try_join!(try_join_all(all), finds_no_open_port(world, client))?;
    Ok(())
}

/// Every port of whoever is in its own overlay: the prober, the anchor, and the engines' own ends of
/// it, whose number is theirs. So it tells what it found by what the rule says that it should not.
async fn finds_no_open_port(world: &Portcall, client: &Client) -> Result<()> {
    let image = world.push("scan", &Recipe::hostile("scan")?.env("HOSTILE_NAME", "scan")).await?;
    let submission = Submission::of("scan").image(&image).with("/answers/outcome", "told".into());
    let id = client.submit(&submission).await?.id;
    let document = client.wait_final(&id, PATIENCE).await?;
    let told = document["verdict"]["reason"]["message"].as_str().unwrap_or_default();
    let found = told.split("but is ").nth(1).unwrap_or_default();
    ensure!(found.starts_with("\"neighbours=") && found.ends_with(" open=0\""), "{document:#}");
    ensure!(!found.contains("neighbours=0"), "the control: it saw somebody: {found}");
    Ok(())
}

/// Two strangers at once, of whom one listens, and one dials every address of every slot.
async fn reaches_no_other_slot(world: &Portcall, client: &Client) -> Result<()> {
    let subnets = world.lab.engine(&world.lab.leader().await?)?.subnets().await?;
    let slots = subnets.iter().filter(|subnet| subnet.ends_with("/28"));
    let hosts: Vec<_> = slots.flat_map(|subnet| net::hosts(subnet)).collect();
    ensure!(hosts.len() >= 4 * 14, "four slots: {subnets:?}");
    let at = |port| hosts.iter().map(move |host| SocketAddr::from((*host, port)));
    let targets: Vec<SocketAddr> = at(9999).chain(at(80)).collect();
    // So long that both are there, however much later the other is started.
    let mode = |mode| anyhow::Ok(Recipe::hostile(mode)?.env("HOSTILE_TOGETHER_S", "20"));
    let dialler = mode("dialler")?.env("HOSTILE_TARGETS", &listed(&targets));
    let all = [
        strange(world, client, "listener", mode("listener")?, "strangers=0"),
        strange(world, client, "dialler", dialler, "open=0"),
    ];
    let found = try_join_all(all).await?;
    // In the fourth step they run.
    let span = |document: &Value| {
        let probing = time_at(document, "/attempts/0/steps/3/at")?;
        anyhow::Ok((probing, time_at(document, "/attempts/0/steps/4/at")?))
    };
    let ((from, to), (other_from, other_to)) = (span(&found[0])?, span(&found[1])?);
    ensure!(from < other_to && other_from < to, "not at the same time: {found:#?}");
    Ok(())
}

/// Has a hostile image graded: it tells itself what it came to, and the event's rule is that.
async fn strange(
    world: &Portcall,
    client: &Client,
    who: &str,
    recipe: Recipe,
    outcome: &str,
) -> Result<Value> {
    let image = world.push(who, &recipe.env("HOSTILE_NAME", who)).await?;
    let submission = Submission::of(who).image(&image).with("/answers/outcome", outcome.into());
    let id = client.submit(&submission).await?.id;
    client.wait_passed(&id, PATIENCE).await.with_context(|| who.to_owned())
}

/// The control: the same program with the same targets, where there is a way out.
#[expect(clippy::print_stdout, reason = "what a test measures is printed")]
async fn the_same_elsewhere_is_seen(lab: &Lab, ear: &Ear, targets: &[SocketAddr]) -> Result<()> {
    let reach = Recipe::hostile("reach")?.env("HOSTILE_TARGETS", &listed(targets));
    let image = Registry::at(&lab.quarantine()?)?.push("control", &reach).await?.reference;
    let manager = lab.docker(&lab.leader().await?)?;
    let request = NetworkCreateRequest {
        name: OPEN.to_owned(),
        driver: Some("overlay".to_owned()),
        attachable: Some(true),
        ..Default::default()
    };
    manager.create_network(request).await?;
    pull(&lab.docker("g1")?, &image).await?;
    let engine = lab.engine("g1")?;
    engine.start_open(OPEN, &image, OPEN, &[], &[]).await?;
    let ask = ["-fsS", "--noproxy", "*", "--max-time", "2", "http://127.0.0.1/"];
    let told = wait::until("the control's answer", SOON, || async {
        let done = lab.run_inside("g1", OPEN, "curl", &ask, SOON).await?;
        Ok(serde_json::from_str::<Value>(&done.stdout).ok())
    })
    .await?;
    let outcome = told["outcome"].as_str().unwrap_or_default();
    let open: u32 = outcome.strip_prefix("open=").unwrap_or_default().parse()?;
    ensure!(open > 10, "{told}");
    let touched = lab.touched().await?;
    for lure in LURED {
        let is_seen = touched.iter().any(|touch| touch.at == "x" && touch.to == lure);
        ensure!(is_seen, "{lure} in {touched:?}");
    }
    for host in ["m1", "g2"] {
        ensure!(touched.iter().any(|touch| touch.at == host && touch.port == 22), "{touched:?}");
    }
    let heard = ear.heard()?;
    ensure!(heard.contains(&"a connection".to_owned()), "{heard:?}");
    ensure!(heard.contains(&"a datagram".to_owned()), "{heard:?}");
    println!("the same with a way out: {outcome}, and {} sights of it", touched.len());
    engine.remove_open(OPEN).await;
    wait::until("the control's network is gone", SOON, || async {
        Ok(manager.remove_network(OPEN).await.ok())
    })
    .await
}

async fn pull(docker: &Docker, image: &str) -> Result<()> {
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    let _: Vec<_> = docker.create_image(Some(options), None, None).try_collect().await?;
    Ok(())
}

fn listed(targets: &[SocketAddr]) -> String {
    targets.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// A listener of this process, which stands for any host's.
struct Ear {
    at: SocketAddr,
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Ear {
    fn open(lab: &Lab) -> Result<Self> {
        let tcp = TcpListener::bind((lab.door()?, 0))?;
        let at = tcp.local_addr()?;
        let udp = UdpSocket::bind(at)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        Ok(Self { at, tcp, udp })
    }

    /// What came since the last time.
    fn heard(&self) -> Result<Vec<String>> {
        let mut heard = Vec::new();
        while self.tcp.accept().is_ok() {
            heard.push("a connection".to_owned());
        }
        while self.udp.recv_from(&mut [0; 64]).is_ok() {
            heard.push("a datagram".to_owned());
        }
        Ok(heard)
    }
}
