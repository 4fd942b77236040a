//! A manager's engine, as `infra/terraform/machines/engine.conf` starts it, with what `infra/certificates`
//! makes: it answers on its own socket, and at its address only to whom the authority knows.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    parts::{
        given,
        process::{Ended, Process},
    },
    wait,
};

use crate::space::{Own, Space};

const STARTED: Duration = Duration::from_secs(60);
/// The manager's address, and another one's.
const ADDRESS: &str = "127.0.0.1";
const OTHER: &str = "127.0.0.2";

/// The command of the unit, with this for `$DOCKER_OPTS`.
fn command(options: &str) -> Result<String> {
    let unit = given::checkout().join("infra/terraform/machines/engine.conf");
    let unit = fs::read_to_string(unit)?;
    let lines: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("ExecStart=")).collect();
    ensure!(lines.len() == 2 && lines[0].is_empty(), "Debian's own line has to go: {lines:?}");
    ensure!(unit.contains("\nEnvironmentFile=-/etc/docker/api/engine.env\n"));
    // There is no containerd of the machine's here.
    let containerd = "--containerd=/run/containerd/containerd.sock ";
    ensure!(lines[1].contains(containerd), "{}", lines[1]);
    Ok(lines[1].replace(containerd, "").replace("$DOCKER_OPTS", options))
}

/// A machine with an engine that starts when its socket is spoken to, as systemd starts it.
struct Manager {
    space: Space,
    engine: Process,
    _run: tempfile::TempDir,
}

impl Manager {
    async fn start(prepare: &str) -> Result<Self> {
        let space = Space::new(Own::Settings).await?;
        space.must("mkdir -p /etc/docker/api && rm -f /etc/docker/daemon.json").await?;
        space.must(prepare).await?;
        let run = tempfile::tempdir_in("/run")?;
        let at = |name: &str| run.path().join(name).display().to_string();
        let options = format!(
            "--data-root {}/data --exec-root {} --pidfile {} --containerd-namespace api-{pid} \
             --containerd-plugins-namespace api-{pid}-plugins --group root --bridge none \
             --iptables=false",
            space.dir.path().display(),
            at("exec"),
            at("pid"),
            pid = space.pid()
        );
        let script = format!(
            "ENGINE_API=$(sed -n 's/^ENGINE_API=//p' /etc/docker/api/engine.env)
             exec systemd-socket-activate -E PATH --listen {} {}",
            at("docker.sock"),
            command(&options)?
        );
        let engine = space.start("dockerd", Path::new("bash"), &["-c", &script])?;
        let docker = format!("timeout 5 docker --host unix://{}", at("docker.sock"));
        let ask = format!("{docker} version --format '{{{{.Server.Version}}}}'");
        wait::until("the engine answers on its socket", STARTED, || async {
            let done = space.run(&ask).await?;
            Ok((done.ended == Ended::Code(0)).then_some(()))
        })
        .await
        .with_context(|| engine.log())?;
        Ok(Self { space, engine, _run: run })
    }

    /// What it answers at an address to a caller with these options, and what the caller says.
    async fn ask(&self, address: &str, options: &str) -> Result<(Ended, String)> {
        let script = format!(
            "cd \"$DIR/secrets\" && curl -sS --max-time 10 --cacert docker-ca {options} \
             --connect-to {OTHER}:2376:{ADDRESS}:2376 https://{address}:2376/_ping"
        );
        let done = self.space.run(&script).await?;
        Ok((done.ended, done.stdout + &done.stderr))
    }

    async fn end(mut self) -> Result<()> {
        self.engine.terminate()?;
        self.engine.wait(STARTED).await.map(drop)
    }
}

const CLIENT: &str = "--cert docker-cert --key docker-key";

#[tokio::test]
async fn a_managers_engine_answers_whom_the_authority_knows_and_nobody_else() -> Result<()> {
    let script = given::checkout().join("infra/certificates");
    let make = format!("{} --managers {ADDRESS},{OTHER}", script.display());
    let prepare = format!(
        "{make} \"$DIR/secrets\" && cp \"$DIR/secrets/managers/{ADDRESS}\"/* /etc/docker/api/
         {make} \"$DIR/others\""
    );
    let manager = Manager::start(&prepare).await?;
    let (ended, said) = manager.ask(ADDRESS, CLIENT).await?;
    ensure!(ended == Ended::Code(0) && said == "OK", "{said}");
    for (who, address, options) in [
        ("without a certificate", ADDRESS, ""),
        (
            "with one of another authority",
            ADDRESS,
            "--cert ../others/docker-cert --key ../others/docker-key",
        ),
        (
            "with a manager's own",
            ADDRESS,
            "--cert managers/127.0.0.2/cert.pem --key managers/127.0.0.2/key.pem",
        ),
        ("taken for another manager", OTHER, CLIENT),
    ] {
        let (ended, said) = manager.ask(address, options).await?;
        ensure!(ended != Ended::Code(0) && !said.contains("OK"), "{who}: {said}");
    }
    manager.end().await
}

/// The control: before the files are there, the engine starts all the same, and listens nowhere else.
#[tokio::test]
async fn without_them_it_has_its_socket_alone() -> Result<()> {
    let script = given::checkout().join("infra/certificates");
    let make = format!("{} --managers {ADDRESS} \"$DIR/secrets\"", script.display());
    let manager = Manager::start(&make).await?;
    let (ended, said) = manager.ask(ADDRESS, CLIENT).await?;
    ensure!(ended == Ended::Code(7), "refused at once: {ended:?} {said}");
    manager.end().await
}
