//! Managers and graders go and come back, and one more joins.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;
use portcall_tests::{
    Lab, Recipe, Registry,
    lab::{Database, Plan},
    parts::process::Ended,
};

/// The swarm's heartbeats are seconds apart, and some have to be missed.
const NOTICED: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn full_a_swarm_of_three_managers_loses_its_leader_and_a_grader_and_gets_both_back()
-> Result<()> {
    let lab = Lab::of(Plan { database: Database::None, slots: Some(3), ..Plan::default() }).await?;
    roles(&lab).await?;
    graders_have_their_settings(&lab).await?;
    engines_know_their_clients(&lab).await?;

    let first = lab.leader().await?;
    lab.kill(&first).await?;
    let second = lab.leader().await?;
    ensure!(second != first, "{first} leads, and it is off");
    lab.await_state(&first, "down", NOTICED).await?;
    lab.start(&first).await?;
    lab.await_state(&first, "ready", NOTICED).await?;

    lab.cut("g2").await?;
    lab.await_state("g2", "down", NOTICED).await?;
    let other = lab.node("g1").await?.context("g1 is unknown")?;
    assert_eq!(other.state, "ready", "the control: g1 was not cut");
    lab.restore("g2").await?;
    lab.await_state("g2", "ready", NOTICED).await?;

    assert_eq!(lab.node("g3").await?, None);
    lab.join("g3").await?;
    let third = lab.node("g3").await?.context("g3 is unknown")?;
    assert_eq!((third.state.as_str(), third.availability.as_str()), ("ready", "active"));
    assert_eq!(third.labels, ["portcall.grader=1", "portcall.slots=3"]);

    let pid = lab.host("g1")?.pid;
    lab.restart("g1").await?;
    assert_eq!(lab.host("g1")?.pid, pid, "only its daemon");
    lab.await_state("g1", "ready", NOTICED).await?;

    a_manager_is_replaced(&lab).await?;
    assert_eq!(lab.left_over().await?, [""; 0]);
    lab.down().await
}

/// Its machine is lost for good, and another one takes its name and address.
async fn a_manager_is_replaced(lab: &Lab) -> Result<()> {
    let lost = if lab.leader().await? == "m3" { "m2" } else { "m3" };
    let before = lab.node(lost).await?.context("an unknown manager")?.id;
    lab.renew(lost).await?;
    ensure!(lab.host(lost)?.pid.is_none() && !lab.host(lost)?.joined);
    let leader = lab.leader().await?;
    lab.client(&leader, &["node", "demote", &before], SOON).await?;
    lab.client(&leader, &["node", "rm", "--force", &before], SOON).await?;
    lab.join(lost).await?;
    let after = lab.node(lost).await?.context("an unknown manager")?;
    ensure!(after.state == "ready" && after.id != before, "{after:?}");
    assert_eq!(lab.endpoints()?.split(',').count(), 3);
    assert_eq!(lab.nodes().await?.len(), 6);
    Ok(())
}

/// Who is what, as `up` says.
async fn roles(lab: &Lab) -> Result<()> {
    let nodes = lab.nodes().await?;
    assert_eq!(nodes.len(), 5, "{nodes:?}");
    assert_eq!(nodes.iter().filter(|(_, state)| state.leads).count(), 1, "{nodes:?}");
    for (name, node) in nodes {
        assert_eq!(node.state, "ready", "{name}");
        assert_eq!(node.availability, "active", "{name}");
        let grader = ["portcall.grader=1", "portcall.slots=3"];
        assert_eq!(node.labels, if name.starts_with('m') { &[][..] } else { &grader }, "{name}");
    }
    Ok(())
}

/// A grader's engine is held as `infra/nodes` says, and pulls from the quarantine only.
async fn graders_have_their_settings(lab: &Lab) -> Result<()> {
    let secured = async |host: &str| {
        let info = lab.docker(host)?.info().await?;
        let options = info.security_options.unwrap_or_default().join(" ");
        anyhow::Ok((options, info.logging_driver.unwrap_or_default()))
    };
    let (grader, log) = secured("g1").await?;
    ensure!(grader.contains("name=userns") && grader.contains("seccomp.json"), "{grader}");
    assert_eq!(log, "local");
    let (manager, _) = secured("m1").await?;
    ensure!(!manager.contains("name=userns") && !manager.contains("seccomp.json"), "{manager}");

    let app = Recipe::app("ok")?;
    for (registry, pulled) in [(lab.public()?, false), (lab.quarantine()?, true)] {
        let image = Registry::at(&registry)?.push("strangers/app", &app).await?;
        let options = CreateImageOptionsBuilder::new().from_image(&image.reference).build();
        let lines = lab.docker("g1")?.create_image(Some(options), None, None);
        let pull: Result<Vec<_>, _> = lines.try_collect().await;
        assert_eq!(pull.is_ok(), pulled, "{registry}: {pull:?}");
    }
    lab.engine("g1")?.forget(&format!("{}/strangers/app:1", lab.quarantine()?)).await
}

/// Whoever has no certificate of the lab's authority does not reach an engine from another host.
async fn engines_know_their_clients(lab: &Lab) -> Result<()> {
    let folder = lab.certificates()?;
    let file = |name: &str| folder.join(name).display().to_string();
    for address in lab.endpoints()?.split(',') {
        let url = address.replace("tcp://", "https://") + "/_ping";
        let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
        let known = ["-fsS", "--cacert", &ca, "--cert", &cert, "--key", &key, &url];
        let done = lab.run_on("f", "curl", &known, SOON).await?;
        assert_eq!((done.ended, done.stdout.as_str()), (Ended::Code(0), "OK"), "{done:?}");
        let done = lab.run_on("f", "curl", &["-fsS", "--cacert", &ca, &url], SOON).await?;
        ensure!(done.ended != Ended::Code(0) && done.stdout.is_empty(), "{done:?}");
        // One that calls itself the same, but of nobody's authority.
        let forged = format!(
            "openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=worker -keyout key -out cert 2>/dev/null
             curl -fsS --cacert {ca} --cert cert --key key {url}"
        );
        let done = lab.run_on("f", "bash", &["-c", &forged], SOON).await?;
        ensure!(done.ended != Ended::Code(0) && done.stdout.is_empty(), "{done:?}");
    }
    Ok(())
}
