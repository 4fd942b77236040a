//! A swarm of one machine in a network of its own, with what `infra/operate` finds of a deploy: an
//! api by its service, images in a registry, secrets, a network, a MongoDB. All of it is real, but the
//! api is a program that only stays, and the database has no password.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Recipe,
    parts::{
        engine::Engine,
        given,
        process::{self, Ended, Finished, Process},
    },
    wait,
};
use tempfile::TempDir;

/// Longer than an engine takes to start, or a command to run, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(90);
/// Its only address, where the registry and the database are.
const ADDRESS: &str = "10.99.0.1";
/// The database of the stack.
pub(crate) const DATABASE: &str = "party";

/// Secrets have been rotated once, so their names do not begin with that of the stack.
const STACK: &str = r#"
version: "3.9"
services:
  api:
    image: 10.99.0.1:5000/portcall/api:v1
    environment: { PORTCALL_MONGODB_DATABASE: party }
    secrets: [{ source: mongo-ca, target: mongo-ca.pem }]
    networks: [data]
    deploy: { replicas: 1, endpoint_mode: dnsrr }
networks: { data: { driver: overlay } }
secrets: { mongo-ca: { external: true, name: portcall-2-mongo-ca } }
"#;

/// The swarm, for as long as this lives.
pub(crate) struct Swarm {
    daemon: Process,
    _registry: Process,
    _database: Process,
    _keeper: Process,
    run: TempDir,
    dir: TempDir,
}

impl Swarm {
    /// Starts it all, and deploys the stack; the database is a replica set, made by the first command.
    pub(crate) async fn start() -> Result<Self> {
        let swarm = Self::bare().await?;
        swarm.shell("docker swarm init --advertise-addr 10.99.0.1 --listen-addr 10.99.0.1").await?;
        swarm.trust().await?;
        swarm.load().await?;
        let file = swarm.file("stack.yaml");
        fs::write(&file, STACK)?;
        let script = format!(
            "echo 'mongodb_uri = \"mongodb://{ADDRESS}:27017/?replicaSet=rs\"' |
                docker secret create portcall-2-operator -
            echo none | docker secret create portcall-2-mongo-ca -
            docker stack deploy --compose-file {} portcall",
            file.display()
        );
        swarm.shell(&script).await?;
        let uri = format!("mongodb://{ADDRESS}:27017/?directConnection=true");
        swarm.operate(&["store", "init-replica-set", "--uri", &uri]).await?.done()?;
        Ok(swarm)
    }

    /// The machine with its engine, registry and database.
    async fn bare() -> Result<Self> {
        // The path of a Unix socket may have 107 characters at most.
        let (dir, run) = (tempfile::tempdir()?, tempfile::tempdir_in("/run")?);
        let at = |name: &str| run.path().join(name).display().to_string();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let own = format!(
            "ip link set lo up && ip addr add {ADDRESS}/32 dev lo && : >ready && exec sleep infinity"
        );
        let words = ["--net", "--mount", "--", "sh", "-c", &own];
        let keeper = Process::start("keeper", Path::new("unshare"), &words, &[], dir.path())?;
        let ready = dir.path().join("ready");
        wait::until("a network", SOON, || async { Ok(ready.exists().then_some(())) }).await?;
        let of = format!("/proc/{}/ns", keeper.pid());
        let (net, mount) = (format!("--net={of}/net"), format!("--mount={of}/mnt"));
        let start = |name: &str, words: &[&str]| {
            let inside = [&[net.as_str(), mount.as_str(), "--"], words].concat();
            Process::start(name, Path::new("nsenter"), &inside, &[], dir.path())
        };

        fs::create_dir(file("db"))?;
        let config = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
            http: {{ addr: \"{ADDRESS}:5000\" }}\n",
            file("images")
        );
        fs::write(file("registry.yml"), config)?;
        fs::write(file("daemon.json"), "{}")?;
        let registry = start("registry", &["docker-registry", "serve", &file("registry.yml")])?;
        let mongod = given::mongod()?.display().to_string();
        let options = ["--replSet", "rs", "--bind_ip", ADDRESS, "--nounixsocket", "--dbpath"];
        let database =
            start("mongod", &[&[mongod.as_str()], &options[..], &[&file("db")]].concat())?;
        let name = format!("portcall-operate-{}", keeper.pid());
        let (host, plugins) = (format!("unix://{}", at("docker.sock")), format!("{name}-plugins"));
        let (config, data) = (file("daemon.json"), file("data"));
        let (exec, pid) = (at("exec"), at("pid"));
        let daemon = start(
            "dockerd",
            &[
                &["dockerd", "--config-file", &config, "--host", &host, "--group", "root"][..],
                &["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid],
                &["--containerd-namespace", &name, "--containerd-plugins-namespace", &plugins],
                &["--insecure-registry", "10.99.0.1:5000", "--shutdown-timeout", "3"],
            ]
            .concat(),
        )?;
        let swarm =
            Self { daemon, _registry: registry, _database: database, _keeper: keeper, run, dir };
        let answers = wait::until("the engine answers", SOON, || async {
            Ok(swarm.shell("docker version").await.is_ok().then_some(()))
        });
        answers.await.with_context(|| swarm.daemon.log())?;
        Ok(swarm)
    }

    /// The images of version `v1`: the command's is the operators' own.
    async fn load(&self) -> Result<()> {
        let (api, command) = (format!("{ADDRESS}:5000/portcall/api:v1"), "programs/portcall");
        Engine::connect(&self.host())?.load(&api, &Recipe::app("ok")?).await?;
        fs::create_dir(self.file("programs"))?;
        symlink(given::program("portcall")?, self.file(command))?;
        let build = given::checkout().join("infra/images/build");
        let script = format!(
            "{} --images {ADDRESS}:5000/portcall --tag v1 --from {} portcall
            docker push --quiet {api}; docker push --quiet {ADDRESS}:5000/portcall/portcall:v1",
            build.display(),
            self.file("programs").display(),
        );
        self.shell(&script).await.map(drop)
    }

    /// Commands may run on its machine.
    pub(crate) async fn trust(&self) -> Result<()> {
        self.shell("docker node update --label-add portcall.trusted=1 $(docker node ls --quiet)")
            .await
            .map(drop)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder that the command may write to.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::create_dir(&path)?;
        std::os::unix::fs::chown(&path, Some(65532), Some(65532))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A script of an operator's that must go well; what it printed.
    pub(crate) async fn shell(&self, script: &str) -> Result<String> {
        let words = ["-euo", "pipefail", "-c", script];
        let done = process::ask(Path::new("bash"), &words, &self.environment(), SOON).await?;
        ensure!(done.ended == Ended::Code(0), "{script}\n{done:#?}");
        Ok(done.stdout)
    }

    fn environment(&self) -> Vec<(String, String)> {
        environment(&self.host(), self.dir.path())
    }

    /// Runs `infra/operate` with these words to its end.
    pub(crate) async fn operate(&self, words: &[&str]) -> Result<Finished> {
        self.begin(words)?.finish(SOON).await
    }

    /// Starts it, in the folder of the swarm's files.
    pub(crate) fn begin(&self, words: &[&str]) -> Result<Process> {
        self.begin_at(&self.host(), words)
    }

    /// The same, with the engine at another address.
    pub(crate) fn begin_at(&self, host: &str, words: &[&str]) -> Result<Process> {
        let environment = environment(host, self.dir.path());
        Process::start_apart("operate", &script(), words, &environment, self.dir.path())
    }

    /// The containers of commands that are there, with their states.
    pub(crate) async fn commands(&self) -> Result<String> {
        self.shell("docker ps --all --filter name=once --format '{{.Names}} {{.State}}'").await
    }

    /// Waits until a command runs.
    pub(crate) async fn runs(&self) -> Result<()> {
        wait::until("a command runs", SOON, || async {
            Ok(self.commands().await?.contains("running").then_some(()))
        })
        .await
    }

    /// Takes the stack away, and fails when a command has left anything.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.nothing_of_a_command_is_left().await?;
        self.shell("docker stack rm portcall").await?;
        let script = "docker service ls --quiet; docker ps --all --quiet; \
            docker network ls --quiet --filter name=portcall";
        wait::until("nothing of the stack is left", SOON, || async {
            Ok(self.shell(script).await?.trim().is_empty().then_some(()))
        })
        .await?;
        self.daemon.terminate()?;
        self.daemon.wait(SOON).await?;
        Ok(())
    }

    /// No service, and no task with its container, which would hold the network and the secrets.
    pub(crate) async fn nothing_of_a_command_is_left(&self) -> Result<()> {
        let tasks =
            format!("curl -sS --unix-socket {} http://engine/tasks", self.socket().display());
        let script = format!(
            "docker service ls --filter name=once --quiet; {tasks} |
                jq -r '.[] | select(.Spec.ContainerSpec.Image | contains(\"/api:\") | not) | .ID'"
        );
        let left = async || -> Result<String> {
            Ok(self.shell(&script).await?.trim().to_owned() + self.commands().await?.trim())
        };
        let nothing = wait::until("nothing of a command is left", SOON, || async {
            Ok(left().await?.is_empty().then_some(()))
        });
        if nothing.await.is_err() {
            ensure!(false, "left: {}", left().await?);
        }
        Ok(())
    }
}

/// After a test that failed. An engine that is killed leaves containers running, so it is asked to end
/// first; mounts go with their namespace.
impl Drop for Swarm {
    fn drop(&mut self) {
        // It may have ended, which is as well.
        let _ = self.daemon.terminate();
        let deadline = Instant::now() + SOON;
        while matches!(self.daemon.ended(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What a command came to.
pub(crate) trait Told {
    /// It went well, and wrote nothing to its standard error.
    fn done(self) -> Result<String>;
    /// It ended with this code, and said this on its standard error.
    fn failed(self, code: i32, why: &str) -> Result<()>;
}

impl Told for Finished {
    fn done(self) -> Result<String> {
        ensure!(self.ended == Ended::Code(0) && self.stderr.is_empty(), "{self:#?}");
        Ok(self.stdout)
    }

    fn failed(self, code: i32, why: &str) -> Result<()> {
        ensure!(self.ended == Ended::Code(code) && self.stderr.contains(why), "{why}: {self:#?}");
        ensure!(self.stdout.is_empty(), "{self:#?}");
        Ok(())
    }
}

/// The script.
pub(crate) fn script() -> PathBuf {
    given::checkout().join("infra/operate")
}

/// What an operator's shell has.
pub(crate) fn environment(host: &str, home: &Path) -> Vec<(String, String)> {
    [("DOCKER_HOST", host.to_owned()), ("HOME", home.display().to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}
