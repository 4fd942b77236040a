//! The files of a deployment, read by the programs that will read them; each also with a mistake in it,
//! so that a reader who has stopped looking is noticed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    given,
    process::{self, Ended},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn infra(name: &str) -> PathBuf {
    given::checkout().join("infra").join(name)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Whether a program takes it, and what it says.
async fn takes(
    program: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<(Ended, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<(String, String)> = environment.iter().map(own).collect();
    process::run(Path::new(program), words, &environment, PATIENCE).await
}

async fn good(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let (ended, said) = takes(program, words, environment).await?;
    ensure!(ended == Ended::Code(0), "{program} {words:?}: {said}");
    ensure!(!said.contains("[WARNING]"), "{program} {words:?}: {said}");
    Ok(())
}

async fn bad(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let (ended, said) = takes(program, words, environment).await?;
    ensure!(ended != Ended::Code(0), "{program} {words:?} takes a mistake: {said}");
    Ok(())
}

/// Copies of these files in a folder, with a change in the first.
fn changed(folder: &Path, files: &[&str], from: &str, to: &str) -> Result<()> {
    for (n, file) in files.iter().enumerate() {
        let path = infra(file);
        let mut content = fs::read_to_string(&path)?;
        if n == 0 {
            ensure!(content.contains(from), "{file} has no {from}");
            content = content.replacen(from, to, 1);
        }
        fs::write(folder.join(path.file_name().context("a name")?), content)?;
    }
    Ok(())
}

#[tokio::test]
async fn haproxy_takes_its_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (key, crt) = (dir.path().join("key"), dir.path().join("crt"));
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a"];
    let to = ["-keyout", text(&key)?, "-out", text(&crt)?];
    good("openssl", &[&words[..], &to[..]].concat(), &[]).await?;
    let front = dir.path().join("front.pem");
    fs::write(&front, fs::read_to_string(crt)? + &fs::read_to_string(key)?)?;

    let few = ("CONNECTIONS", "1000");
    for (file, environment) in [
        ("haproxy/haproxy.cfg", vec![few]),
        ("haproxy/haproxy.cfg", vec![few, ("CERTIFICATE", text(&front)?), ("PLAIN", "yes")]),
        ("haproxy/quarantine.cfg", vec![]),
        ("haproxy/quarantine.cfg", vec![("WRITERS", "10.0.0.1 10.1.0.0/16")]),
    ] {
        good("haproxy", &["-c", "-f", text(&infra(file))?], &environment).await?;
    }
    let missing = [few, ("CERTIFICATE", "/nowhere/front.pem")];
    bad("haproxy", &["-c", "-f", text(&infra("haproxy/haproxy.cfg"))?], &missing).await?;
    changed(dir.path(), &["haproxy/haproxy.cfg"], "balance leastconn", "balance fairly")?;
    bad("haproxy", &["-c", "-f", text(&dir.path().join("haproxy.cfg"))?], &[few]).await
}

#[tokio::test]
async fn prometheus_takes_its_files_and_alerts_come_when_they_should() -> Result<()> {
    good("promtool", &["check", "config", text(&infra("prometheus/prometheus.yml"))?], &[]).await?;
    good("promtool", &["test", "rules", text(&infra("prometheus/rules.test.yml"))?], &[]).await?;
    let dir = tempfile::tempdir()?;
    let tests = dir.path().join("rules.test.yml");
    for (from, to) in [
        ("max(portcall_overdue) > 0", "max(portcall_overdue) > 3"),
        ("for: 2m", "for: 0m"),
        ("(sum(portcall_slots_open) or vector(0)) == 0", "sum(portcall_slots_open) == 0"),
    ] {
        let files = ["prometheus/rules.yml", "prometheus/rules.test.yml"];
        changed(dir.path(), &files, from, to)?;
        bad("promtool", &["test", "rules", text(&tests)?], &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_swarms_client_takes_the_stack() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = infra("stack.yaml");
    let given = [
        ("HOME", "/nowhere"),
        ("DOCKER_HOST", "unix:///nowhere.sock"),
        ("PORTCALL_STACK_IMAGES", "10.0.0.9:5000/portcall"),
        ("PORTCALL_STACK_TAG", "1"),
        ("PORTCALL_PUBLIC_URL", "https://portcall.example"),
        ("PORTCALL_DOCKER_HOST", "tcp://10.0.0.2:2376"),
    ];
    let clients = ["/usr/local/bin/docker", "/usr/bin/docker"];
    let clients: Vec<&str> = clients.into_iter().filter(|path| Path::new(path).exists()).collect();
    ensure!(!clients.is_empty(), "there is no docker client");
    for client in clients {
        // It reads the whole stack, and only then looks for a swarm. Older clients have no other word.
        let deploy = async |stack: &Path, given: &[(&str, &str)]| -> Result<String> {
            let words = ["stack", "deploy", "--compose-file", text(stack)?, "portcall"];
            Ok(takes(client, &words, given).await?.1)
        };
        let said = deploy(&stack, &given).await?;
        ensure!(said.contains("Cannot connect to the Docker daemon"), "{client}: {said}");
        for (n, (name, _)) in given.iter().enumerate().skip(2) {
            let mut fewer = given.to_vec();
            fewer.remove(n);
            let said = deploy(&stack, &fewer).await?;
            ensure!(said.contains(name) && !said.contains("Cannot connect"), "{client}: {said}");
        }
        let (from, to) = ("stop_grace_period: 100s", "stop_grace_periods: 100s");
        changed(dir.path(), &["stack.yaml"], from, to)?;
        let said = deploy(&dir.path().join("stack.yaml"), &given).await?;
        ensure!(said.contains("stop_grace_periods"), "{client}: {said}");
    }
    Ok(())
}

/// The older of the two composes; what it takes, Compose v2 does.
#[tokio::test]
async fn compose_takes_its_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (compose, proxy) = (infra("compose.yaml"), infra("compose.proxy.yaml"));
    let alone = ["--file", text(&compose)?, "config"];
    let both = ["--file", text(&compose)?, "--file", text(&proxy)?, "config"];
    let given = [("PORTCALL_STACK_TAG", "1"), ("PORTCALL_STACK_DOCKER_GROUP", "1")];
    let with_front = [&given[..], &[("PORTCALL_STACK_FRONT", "/a/front.pem")]].concat();
    good("docker-compose", &alone, &given).await?;
    good("docker-compose", &both, &with_front).await?;
    for (words, given, name) in [
        (&alone[..], &given[..1], "PORTCALL_STACK_DOCKER_GROUP"),
        (&alone[..], &given[1..], "PORTCALL_STACK_TAG"),
        (&both[..], &given[..], "PORTCALL_STACK_FRONT"),
    ] {
        let (ended, said) = takes("docker-compose", words, given).await?;
        ensure!(ended != Ended::Code(0) && said.contains(name), "without {name}: {said}");
    }
    changed(dir.path(), &["compose.yaml"], "mem_limit: 256M", "memory_limit: 256M")?;
    let words = ["--file", text(&dir.path().join("compose.yaml"))?, "config"].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bad("docker-compose", &words, &given).await
}

/// A program `docker` in front of all others: a script, or a link to another client.
struct Client {
    dir: tempfile::TempDir,
}

impl Client {
    fn script(body: &str) -> Result<Self> {
        let client = Self { dir: tempfile::tempdir()? };
        let program = client.file("docker");
        fs::write(&program, format!("#!/bin/sh\n{body}\n"))?;
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        Ok(client)
    }

    fn link(to: &Path) -> Result<Self> {
        let client = Self { dir: tempfile::tempdir()? };
        symlink(to, client.file("docker"))?;
        Ok(client)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `portcall` with it, from the stack that is ours.
    async fn portcall(
        &self,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(Ended, String)> {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", text(self.dir.path())?);
        let own = [("PATH", path.as_str()), ("DIR", text(self.dir.path())?)];
        takes(text(&given::program("portcall")?)?, words, &[&own[..], environment].concat()).await
    }

    /// `portcall deploy` of a version that is in the registry.
    async fn deploy(&self, words: &[&str], more: &[(&str, &str)]) -> Result<(Ended, String)> {
        let stack = infra("stack.yaml");
        let all = [&["deploy", "--tag", "v1", "--file", text(&stack)?], words].concat();
        let given = [
            ("PORTCALL_STACK_IMAGES", "10.0.0.9:5000/portcall"),
            ("PORTCALL_PUBLIC_URL", "https://a.example"),
        ];
        self.portcall(&all, &[&given[..], more].concat()).await
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.file("calls")).unwrap_or_default()
    }
}

/// A swarm as its client tells of it: managers at the endpoints that the file `managers` has, machines in
/// the file `nodes`, secrets in the file `secrets`, each with the label of its seal key if it has one, and a
/// stack with as many workers as the file `workers` says.
const SWARM: &str = r#"
echo "${DOCKER_HOST:-own} $*" >>"$DIR/calls"
workers=$(cat "$DIR/workers" 2>/dev/null)
case "$1 $2" in
  "info "*) if grep -qxF "${DOCKER_HOST:-own}" "$DIR/managers"; then echo "true m1 null"; else echo "false x null"; fi ;;
  "node ls") grep -c . "$DIR/nodes" ;;
  "node inspect") cat "$DIR/nodes" ;;
  "secret ls") cut -d' ' -f1 "$DIR/secrets" ;;
  "secret inspect") for name; do :; done; sed -n "s/^$name *//p" "$DIR/secrets" ;;
  "secret create") shift 2; label=; [ "$1" != --label ] || { label=${2#*=}; shift 2; }; echo "$1 $label" >>"$DIR/secrets" ;;
  "service ls") [ -z "$workers" ] || echo portcall_worker ;;
  "service inspect") printf '{"Spec":{"Name":"portcall_worker","TaskTemplate":{"ContainerSpec":{"Image":"r/worker:v0"}},"Mode":{"Replicated":{"Replicas":%s}}}}\n' "$workers" ;;
  "service ps") seq "$workers" | sed 's|.*|{"ID":"t&","Name":"portcall_worker.&","Image":"r/worker:v0","Node":"m1","DesiredState":"Running","CurrentState":"Running 1 second ago","Error":""}|' ;;
  "service scale") echo "${4#*=}" >"$DIR/workers" ;;
esac"#;

const MANAGER: &str =
    r#"{"Description":{"Hostname":"m1"},"Spec":{"Role":"manager","Labels":{"portcall.db":"1"}}}"#;
const GRADER: &str = r#"{"Description":{"Hostname":"g1"},"Spec":{"Role":"worker","Labels":{"portcall.grader":"1"}}}"#;

fn swarm(managers: &str, nodes: &[&str]) -> Result<Client> {
    let client = Client::script(SWARM)?;
    fs::write(client.file("managers"), managers)?;
    fs::write(client.file("nodes"), nodes.join("\n") + "\n")?;
    fs::write(client.file("secrets"), SECRETS.map(|name| format!("portcall-{name}\n")).concat())?;
    Ok(client)
}

/// What `infra/stack.yaml` takes, each with a prefix.
const SECRETS: [&str; 12] = [
    "api",
    "docker-ca",
    "docker-cert",
    "docker-key",
    "front",
    "grafana",
    "mongo-ca",
    "mongo-cert",
    "mongo-key",
    "operator",
    "seal",
    "worker",
];

#[tokio::test]
async fn a_client_that_cannot_look_at_a_stack_is_no_obstacle() -> Result<()> {
    // As Debian 12 has it; where this machine has it, that is tried, too.
    let refuses = r#"[ "$1 $2" != "stack config" ] || { echo "unknown flag: --compose-file" >&2; exit 125; }
        echo "Cannot connect to the Docker daemon" >&2; exit 1"#;
    let mut clients = vec![Client::script(refuses)?];
    let distribution = Path::new("/usr/bin/docker");
    if distribution.exists() {
        clients.push(Client::link(distribution)?);
    }
    for client in clients {
        let hosts = [("PORTCALL_DOCKER_HOST", "tcp://127.0.0.1:9")];
        let (ended, said) = client.deploy(&["--dry-run"], &[]).await?;
        let lacks = said.contains("variable PORTCALL_DOCKER_HOST is missing a value: the managers");
        ensure!(ended == Ended::Code(64) && lacks, "{ended:?} {said}");
        let (ended, said) = client.deploy(&["--dry-run"], &hosts).await?;
        ensure!(ended == Ended::Code(69) && said.contains("in order"), "{ended:?} {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deploy_goes_to_the_swarm_that_the_operators_client_has() -> Result<()> {
    let (two, ssh) = ("tcp://10.0.0.2:2376,tcp://10.0.0.3:2376", "ssh://root@m1");
    let nodes = [MANAGER, GRADER];
    for (own, managers, asked) in [
        (None, "own\n", "what the docker client takes"),
        (None, "own\ntcp://10.0.0.2:2376\n", "what the docker client takes"),
        (Some(ssh), "ssh://root@m1\ntcp://10.0.0.2:2376\n", "what the docker client takes"),
        (None, "tcp://10.0.0.3:2376\n", "tcp://10.0.0.3:2376"),
        (Some(ssh), "tcp://10.0.0.3:2376\n", "tcp://10.0.0.3:2376"),
    ] {
        let client = swarm(managers, &nodes)?;
        let mut given = vec![("PORTCALL_DOCKER_HOST", two)];
        given.extend(own.map(|own| ("DOCKER_HOST", own)));
        let (ended, said) = client.deploy(&["--dry-run"], &given).await?;
        ensure!(ended == Ended::Code(0), "{own:?} {managers}: {said}");
        ensure!(said.contains(&format!("manager m1 ({asked})")), "{own:?} {managers}: {said}");
        // Who says where is asked there and nowhere else.
        let given = [("PORTCALL_DOCKER_HOST", two)];
        let words = ["--dry-run", "--docker-host", "tcp://10.0.0.9:1"];
        let (ended, said) = client.deploy(&words, &given).await?;
        ensure!(ended == Ended::Code(69) && !said.contains("10.0.0.2:"), "{said}");
    }
    let (ended, said) =
        swarm("", &nodes)?.deploy(&["--dry-run"], &[("PORTCALL_DOCKER_HOST", two)]).await?;
    ensure!(ended == Ended::Code(69), "{said}");
    for endpoint in ["what the docker client takes", "10.0.0.2:2376", "10.0.0.3:2376"] {
        ensure!(said.contains(endpoint), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_grader_or_a_registry_nothing_is_begun() -> Result<()> {
    let given = [("PORTCALL_DOCKER_HOST", "tcp://10.0.0.2:2376")];
    let client = swarm("own\n", &[MANAGER])?;
    let (ended, said) = client.deploy(&[], &given).await?;
    ensure!(ended == Ended::Code(1) && said.contains("the label portcall.grader=1"), "{said}");
    ensure!(!client.calls().contains("stack deploy"), "{}", client.calls());
    // The other places are only told.
    let client = swarm("own\n", &[MANAGER, GRADER])?;
    let (ended, said) = client.deploy(&["--dry-run"], &given).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    for (label, there) in [("portcall.db=1", true), ("portcall.db=2", false)] {
        ensure!(said.contains(&format!("nobody has the label {label}")) != there, "{said}");
    }
    let unnamed = [given[0], ("PORTCALL_STACK_IMAGES", "")];
    let (ended, said) = client.deploy(&[], &unnamed).await?;
    ensure!(
        ended == Ended::Code(64) && said.contains("PORTCALL_STACK_IMAGES is not set"),
        "{said}"
    );
    ensure!(!client.calls().contains("push"), "{}", client.calls());
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_swarm_lacks_is_told_before_anything_is_changed() -> Result<()> {
    let client = swarm("own\n", &[MANAGER, GRADER])?;
    let host = ("PORTCALL_DOCKER_HOST", "tcp://10.0.0.2:2376");
    let lacks = |said: &str, name: &str| said.contains(&format!("no secret {name}: infra/mongo"));
    let (ended, said) = client.deploy(&["--dry-run"], &[host]).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let all = fs::read_to_string(client.file("secrets"))?;
    fs::write(client.file("secrets"), all.replace("portcall-seal\n", ""))?;
    for words in [&["--dry-run"][..], &[]] {
        let (ended, said) = client.deploy(words, &[host]).await?;
        ensure!(ended == Ended::Code(1) && lacks(&said, "portcall-seal"), "{ended:?} {said}");
    }
    // By the prefix that is deployed with.
    fs::write(client.file("secrets"), all.replace("portcall-", "portcall-2-"))?;
    let prefix = ("PORTCALL_STACK_SECRETS", "portcall-2");
    let (ended, said) = client.deploy(&["--dry-run"], &[host, prefix]).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let (ended, said) = client.deploy(&["--dry-run"], &[host]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("portcall-api, portcall-docker-ca"), "{said}");
    ensure!(!client.calls().contains("stack deploy"), "{}", client.calls());
    Ok(())
}

#[tokio::test]
async fn a_name_in_the_settings_that_no_service_would_have_is_refused() -> Result<()> {
    let client = swarm("own\n", &[MANAGER, GRADER])?;
    let settings = client.file("deploy.env");
    let run = async |line: &str| -> Result<(Ended, String)> {
        let lines = "PORTCALL_OTLP_ENDPOINT=http://10.0.0.5:4318\nPORTCALL_STREAMS=1000\n\
            PORTCALL_DOCKER_HOST=tcp://10.0.0.2:2376\n";
        fs::write(&settings, format!("{lines}{line}\n"))?;
        client.deploy(&["--dry-run", "--settings", text(&settings)?], &[]).await
    };
    let (ended, said) = run("PORTCALL_PRIVATE_WEBHOOKS=10.0.0.9:8000").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    for (line, told) in [
        ("PORTCALL_OTLP_ENDPIONT=http://10.0.0.5:4318", "PORTCALL_OTLP_ENDPIONT: no file of"),
        ("PORTCALL_SEAL_KEY_FILE=/etc/seal", "PORTCALL_SEAL_KEY_FILE: the stack's files give it"),
        ("PORTCALL_CPUSET=2-7", "PORTCALL_CPUSET: no file of the stack mentions it"),
    ] {
        let (ended, said) = run(line).await?;
        ensure!(ended == Ended::Code(64) && said.contains(told), "{line}: {ended:?} {said}");
    }
    Ok(())
}

/// What is sealed opens with no other key: a folder that lacks it, or has another, is refused.
#[tokio::test]
async fn the_seal_key_is_carried_over_and_never_made_anew() -> Result<()> {
    let (client, dir) = (swarm("own\n", &[])?, tempfile::tempdir()?);
    fs::write(client.file("secrets"), "somebody-elses\n")?;
    let folder = |name: &str| dir.path().join(name);
    let given = |name: &str| -> Result<()> {
        fs::create_dir_all(folder(name))?;
        for file in ["front", "docker-ca", "docker-cert", "docker-key"] {
            fs::write(folder(name).join(file), "given")?;
        }
        Ok(())
    };
    let seal = |name: &str| fs::read_to_string(folder(name).join("seal"));
    let create = async |name: &str, words: &[&str]| -> Result<(Ended, String)> {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", text(client.dir.path())?);
        let own = [("PATH", path.as_str()), ("DIR", text(client.dir.path())?)];
        let folder = folder(name);
        let words = [words, &[text(&folder)?]].concat();
        takes(text(&infra("mongo/secrets"))?, &words, &own).await
    };
    given("first")?;
    let (ended, said) = create("first", &["--create", "portcall"]).await?;
    ensure!(ended == Ended::Code(0) && said.contains("portcall-seal is new"), "{said}");
    let key = seal("first")?;
    ensure!(key.trim().len() == 64 && key.trim().chars().all(|c| c.is_ascii_hexdigit()), "no key");
    let told = fs::read_to_string(client.file("secrets"))?;
    ensure!(told.lines().filter(|line| line.starts_with("portcall-")).count() == SECRETS.len());
    ensure!(!told.contains(key.trim()), "the label is the key");
    let (ended, said) = create("first", &["--create", "portcall"]).await?;
    ensure!(ended == Ended::Code(0) && said.contains("portcall-seal is there"), "{said}");
    ensure!(seal("first")? == key);

    // A copy has it, under another prefix.
    given("copy")?;
    fs::copy(folder("first").join("seal"), folder("copy").join("seal"))?;
    let (ended, said) = create("copy", &["--create", "portcall-2"]).await?;
    ensure!(ended == Ended::Code(0) && said.contains("portcall-2-seal is new"), "{said}");

    // A folder of its own has not: neither before it has a key nor after.
    given("other")?;
    let (ended, said) = create("other", &["--create", "portcall-3"]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("seal is not there: copy it"), "{said}");
    ensure!(!folder("other").join("seal").exists(), "a key that is good for nothing");
    let (ended, said) = create("other", &[]).await?;
    ensure!(ended == Ended::Code(0) && seal("other")? != key, "{said}");
    let (ended, said) = create("other", &["--create", "portcall-3"]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("seal is another one: copy it"), "{said}");
    ensure!(!fs::read_to_string(client.file("secrets"))?.contains("portcall-3"), "half of them");

    // Who knows what that means may.
    for (prefix, code) in [("portcall", 1), ("portcall-3", 0)] {
        let (ended, said) = create("other", &["--another-seal", "--create", prefix]).await?;
        ensure!(ended == Ended::Code(code), "{prefix}: {said}");
    }
    let (ended, said) = create("other", &["--another-seal"]).await?;
    ensure!(ended == Ended::Code(64), "{said}");
    Ok(())
}

#[tokio::test]
async fn workers_are_scaled_by_the_swarm_and_need_no_database() -> Result<()> {
    let client = swarm("own\n", &[MANAGER, GRADER])?;
    let (ended, said) = client.portcall(&["scale", "--workers", "3"], &[]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("no stack portcall"), "{said}");
    for (before, after) in [("2", "3"), ("3", "1")] {
        fs::write(client.file("workers"), before)?;
        let (ended, said) = client.portcall(&["scale", "--workers", after], &[]).await?;
        ensure!(ended == Ended::Code(0), "{said}");
        ensure!(said.contains(&format!("{after} workers serve")), "{said}");
        let calls = client.calls();
        ensure!(calls.contains(&format!("service scale --detach portcall_worker={after}")));
    }
    for words in [&["scale", "--workers", "0"][..], &["scale", "--workers", "2", "--slots", "1"]] {
        let (ended, said) = client.portcall(words, &[]).await?;
        ensure!(ended == Ended::Code(64), "{words:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deploy_says_what_it_would_do_and_what_it_lacks() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings");
    fs::write(&settings, "PORTCALL_STACK_IMAGES=10.0.0.9:5000/portcall\n")?;
    let portcall = given::program("portcall")?;
    let stack = infra("stack.yaml");
    let run = async |words: &[&str], settings: &Path| -> Result<(Ended, String)> {
        let host = ["--docker-host", "unix:///nowhere.sock", "--settings", text(settings)?];
        let all = [&["deploy", "--file", text(&stack)?], &host[..], words].concat();
        takes(text(&portcall)?, &all, &[]).await
    };
    // It names the variable that is missing, also without a swarm.
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(64) && said.contains("variable PORTCALL_"), "{ended:?} {said}");
    let more = "PORTCALL_STACK_IMAGES=10.0.0.9:5000/portcall\nPORTCALL_PUBLIC_URL=https://a.example\n\
        PORTCALL_DOCKER_HOST=tcp://10.0.0.2:2376\n";
    fs::write(&settings, more)?;
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(69), "{ended:?} {said}");
    for words in ["10.0.0.9:5000/portcall/api:v1", "in order", "nowhere.sock"] {
        ensure!(said.contains(words), "{said}");
    }
    // What would change something needs the swarm, at once.
    for words in [&["--tag", "v1"][..], &["--rollback"], &["--stay"]] {
        let (ended, said) = run(words, &settings).await?;
        ensure!(ended == Ended::Code(69), "{words:?}: {ended:?} {said}");
        ensure!(!said.contains("deploying"), "{said}");
    }
    fs::write(&settings, "STACK=1\n")?;
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(64) && said.contains("line 1"), "{ended:?} {said}");
    let (ended, said) = run(&["--tag", "a b", "--dry-run"], &infra("env.sample")).await?;
    ensure!(ended == Ended::Code(64) && said.contains("not the tag"), "{ended:?} {said}");
    Ok(())
}

#[tokio::test]
async fn what_is_in_no_commit_is_not_deployed_unawares() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = text(dir.path())?;
    let stack = dir.path().join("stack.yaml");
    let service =
        "version: \"3.9\"\nservices: { api: { image: \"api:${PORTCALL_STACK_TAG:?}\" } }\n";
    fs::write(&stack, service)?;
    let git = async |words: &[&str]| -> Result<()> {
        let who = ["-c", "user.name=a", "-c", "user.email=a@a.example"];
        let (ended, said) = takes("git", &[&["-C", folder], &who[..], words].concat(), &[]).await?;
        ensure!(ended == Ended::Code(0), "{words:?} {said}");
        Ok(())
    };
    let portcall = given::program("portcall")?;
    let deploy = async |words: &[&str]| {
        let host = ["deploy", "--docker-host", "unix:///nowhere.sock", "--dry-run", "--file"];
        let file = [text(&stack)?];
        let images = [("PORTCALL_STACK_IMAGES", "10.0.0.9:5000/portcall")];
        takes(text(&portcall)?, &[&host[..], &file, words].concat(), &images).await
    };
    let (ended, said) = deploy(&[]).await?;
    ensure!(ended == Ended::Code(64) && said.contains("give --tag"), "{ended:?} {said}");
    git(&["init", "--quiet"]).await?;
    git(&["add", "."]).await?;
    git(&["commit", "--quiet", "--message", "one"]).await?;
    let (_, clean) = deploy(&[]).await?;
    ensure!(clean.contains("would build") && !clean.contains("-dirty"), "{clean}");
    fs::write(dir.path().join("another"), "")?;
    let (ended, said) = deploy(&[]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("?? another"), "{ended:?} {said}");
    let (_, said) = deploy(&["--dirty"]).await?;
    ensure!(said.contains("-dirty"), "{said}");

    // What the runbook has operators make there is no obstacle; what else looks like a secret is not
    // to be committed.
    fs::remove_file(dir.path().join("another"))?;
    fs::copy(given::checkout().join(".gitignore"), dir.path().join(".gitignore"))?;
    git(&["add", ".gitignore"]).await?;
    git(&["commit", "--quiet", "--message", "two"]).await?;
    for folder in ["secrets", "secrets-2", "infra", "keys"] {
        fs::create_dir(dir.path().join(folder))?;
    }
    for file in ["secrets/api", "secrets-2/worker", "deploy.env", "infra/front.pem"] {
        fs::write(dir.path().join(file), "a secret")?;
    }
    let (_, clean) = deploy(&[]).await?;
    ensure!(clean.contains("would build") && !clean.contains("-dirty"), "{clean}");
    fs::write(dir.path().join("keys/docker.pem"), "a secret")?;
    fs::write(dir.path().join("secret.toml"), "a secret")?;
    let (ended, said) = deploy(&[]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("(2: keys/docker.pem"), "{ended:?} {said}");
    ensure!(!said.contains("commit them"), "{said}");
    Ok(())
}
