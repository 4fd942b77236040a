//! The whole stack of `infra/stack.yaml` on a swarm of three trusted machines and a grader: by the
//! secrets, images and command that an operator uses. A submission passes through HAProxy.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Lab, Recipe, Registry, Submission,
    lab::{Database, Filter, Plan},
    parts::{
        client::Client,
        given,
        process::{self, Ended, Finished},
    },
    wait,
};
use serde_json::Value;
use tempfile::TempDir;

/// Three database members, two workers and eight engines on two cores.
const PATIENCE: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(60);
/// The machines that trusted services run on.
const TRUSTED: [&str; 3] = ["m1", "m2", "m3"];
/// The services of others, which are made from the programs on this machine.
const PARTS: [&str; 4] = ["mongo", "haproxy", "registry", "prometheus"];

/// The stack on a lab.
pub(crate) struct Stack {
    pub(crate) lab: Lab,
    dir: TempDir,
    /// The version that was deployed first.
    pub(crate) first: String,
}

impl Stack {
    /// Makes everything that a deployment takes, and deploys what is checked out.
    pub(crate) async fn deployed(workers: u32) -> Result<Self> {
        let plan = Plan {
            managers: 3,
            graders: 1,
            database: Database::None,
            slots: Some(4),
            filter: Filter::None,
        };
        let (lab, dir) = (Lab::of(plan).await?, tempfile::tempdir()?);
        let mut stack = Self { lab, dir, first: String::new() };
        stack.label().await?;
        stack.make_secrets().await?;
        stack.make_parts().await?;
        stack.gather_programs()?;
        fs::write(stack.file("settings"), stack.settings(workers)?)?;
        let programs = stack.file("programs").display().to_string();
        let done = stack.deploy(&["--dirty", "--from", &programs]).await?;
        ensure!(done.ended == Ended::Code(0), "{}\n{}", done.stdout, done.stderr);
        let line = done.stdout.lines().find_map(|line| line.strip_prefix("deploying version "));
        let tag = line.and_then(|rest| rest.split(' ').next()).context("no version is named")?;
        stack.first = tag.to_owned();
        Ok(stack)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self, host: &str) -> Result<String> {
        let socket = self.lab.host(host)?.socket.with_context(|| format!("{host}: no engine"))?;
        Ok(format!("unix://{}", socket.display()))
    }

    /// Runs a program against the engine of a host, as on the machine of an operator.
    async fn run(&self, host: &str, program: &Path, words: &[&str]) -> Result<Finished> {
        let environment = [
            ("PORTCALL_WEB_DIR".to_owned(), self.file("web").display().to_string()),
            ("DOCKER_HOST".to_owned(), self.socket(host)?),
            ("HOME".to_owned(), self.dir.path().display().to_string()),
            ("MONGOD".to_owned(), given::mongod()?.display().to_string()),
        ];
        process::ask(program, words, &environment, PATIENCE).await
    }

    /// The same of a script that must go well; what it printed.
    pub(crate) async fn shell(&self, host: &str, script: &str) -> Result<String> {
        let done = self.run(host, Path::new("bash"), &["-euo", "pipefail", "-c", script]).await?;
        ensure!(done.ended == Ended::Code(0), "{script}\n{}\n{}", done.stdout, done.stderr);
        Ok(done.stdout)
    }

    /// `portcall deploy` with these words.
    pub(crate) async fn deploy(&self, words: &[&str]) -> Result<Finished> {
        let infra = given::checkout().join("infra/stack.yaml").display().to_string();
        let (settings, socket) = (self.file("settings").display().to_string(), self.socket("m1")?);
        let mut all = vec!["deploy", "--file", &infra, "--settings", &settings];
        all.extend(["--docker-host", &socket, "--within", "420"]);
        all.extend(words);
        let done = self.run("m1", &given::program("portcall")?, &all).await?;
        show(&format!("portcall deploy {}\n{}{}", words.join(" "), done.stdout, done.stderr));
        Ok(done)
    }

    async fn label(&self) -> Result<()> {
        for (n, host) in TRUSTED.iter().enumerate() {
            let mut labels = vec![format!("portcall.db={}", n + 1), "portcall.trusted=1".into()];
            if n < 2 {
                labels.push("portcall.front=1".into());
            }
            if n == 0 {
                labels.push("portcall.quarantine=1".into());
            }
            let labels: String = labels.iter().map(|l| format!("--label-add {l} ")).collect();
            self.shell("m1", &format!("docker node update {labels} {host}")).await?;
        }
        Ok(())
    }

    async fn make_secrets(&self) -> Result<()> {
        let secrets = self.file("secrets").display().to_string();
        let script = given::checkout().join("infra/mongo/secrets").display().to_string();
        let certificates = self.lab.certificates()?.display().to_string();
        let front: Vec<String> = TRUSTED[..2]
            .iter()
            .map(|host| Ok(format!("IP:{}", self.lab.host(host)?.address)))
            .collect::<Result<_>>()?;
        let front = front.join(",");
        self.shell(
            "m1",
            &format!(
                "{script} {secrets}; cd {secrets}
                for file in ca cert key; do cp {certificates}/$file.pem docker-$file; done
                openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=front -keyout key \
                    -out front.crt -addext subjectAltName={front} 2>/dev/null
                cat front.crt key >front
                {script} --create portcall {secrets}
                # It may be run again.
                {script} --create portcall {secrets} | grep -c 'is there' | grep -qx 12"
            ),
        )
        .await
        .map(drop)
    }

    /// What is the version of an image of a server.
    fn part(&self, name: &str) -> Result<String> {
        Ok(format!("{}/parts/{name}:1", self.lab.public()?))
    }

    async fn make_parts(&self) -> Result<()> {
        let script = given::checkout().join("tests/images/parts").display().to_string();
        let names: Vec<String> = PARTS.iter().map(|name| self.part(name)).collect::<Result<_>>()?;
        let names = names.join(" ");
        let script = format!("{script} {names}; for i in {names}; do docker push -q $i; done");
        self.shell("m1", &script).await.map(drop)
    }

    fn gather_programs(&self) -> Result<()> {
        let (folder, web) = (self.file("programs"), self.file("web"));
        fs::create_dir(&folder)?;
        fs::create_dir_all(web.join("assets"))?;
        fs::write(web.join("index.html"), "<!doctype html><title>Portcall</title>")?;
        for name in ["portcall-api", "portcall-worker", "portcall"] {
            std::os::unix::fs::symlink(given::program(name)?, folder.join(name))?;
        }
        for name in ["prober", "canary"] {
            std::os::unix::fs::symlink(given::static_program(name)?, folder.join(name))?;
        }
        Ok(())
    }

    fn settings(&self, workers: u32) -> Result<String> {
        let (public, quarantine) = (self.lab.public()?, self.lab.quarantine()?);
        let mut all = BTreeMap::from([
            ("PORTCALL_STACK_IMAGES", format!("{public}/portcall")),
            ("PORTCALL_STACK_WORKERS", workers.to_string()),
            ("PORTCALL_PUBLIC_URL", format!("http://{}", self.lab.host("m1")?.address)),
            ("PORTCALL_DOCKER_HOST", self.lab.endpoints()?),
            // Its graders know this registry, and no machine of the swarm as one.
            ("PORTCALL_QUARANTINE", quarantine.clone()),
            ("PORTCALL_HTTP_REGISTRIES", format!("{public},{quarantine}")),
            ("PORTCALL_STACK_PLAIN", "yes".to_owned()),
            // All participants of a test have one address.
            ("PORTCALL_RATE_PER_ADDRESS", "0".to_owned()),
            ("PORTCALL_RATE_READS", "0".to_owned()),
            ("PORTCALL_STACK_API_START", "20s".to_owned()),
            ("PORTCALL_STACK_CONNECTIONS", "2000".to_owned()),
            ("PORTCALL_STACK_CACHE_GB", "0.25".to_owned()),
            // Of Grafana there is no package.
            ("PORTCALL_STACK_GRAFANAS", "0".to_owned()),
        ]);
        for (variable, name) in [
            ("PORTCALL_IMAGE_MONGO", "mongo"),
            ("PORTCALL_IMAGE_HAPROXY", "haproxy"),
            ("PORTCALL_IMAGE_REGISTRY", "registry"),
            ("PORTCALL_IMAGE_PROMETHEUS", "prometheus"),
        ] {
            all.insert(variable, self.part(name)?);
        }
        Ok(all.iter().map(|(name, value)| format!("{name}={value}\n")).collect())
    }

    /// Where a running container of a service is, and its id.
    pub(crate) async fn container(&self, service: &str) -> Result<(&'static str, String)> {
        wait::until(format!("a container of {service}"), SOON, || async {
            for host in TRUSTED {
                let script = format!("docker ps --quiet --filter name=portcall_{service}.");
                if let Some(id) = self.shell(host, &script).await?.lines().next() {
                    return Ok(Some((host, id.to_owned())));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Applies an event with the operators' rights, where operators' commands run.
    pub(crate) async fn apply(&self, event: &Event) -> Result<()> {
        let file = self.file("event.toml");
        fs::write(&file, event.toml())?;
        let (host, id) = self.container("scaler").await?;
        let script = format!(
            "docker exec -i {id} /portcall event apply /dev/stdin --allow-registry {} <{}",
            self.lab.public()?,
            file.display()
        );
        self.shell(host, &script).await.map(drop)
    }

    /// A client of the stack at one of its front machines.
    pub(crate) fn client(&self, host: &str) -> Result<Client> {
        Client::new(&format!("http://{}", self.lab.host(host)?.address), "birthday-3")
    }

    /// A submission that will pass.
    pub(crate) async fn submission(&self, name: &str) -> Result<Submission> {
        let recipe = Recipe::app("ok")?.env("APP_NAME", name);
        let image = Registry::at(&self.lab.public()?)?.push("strangers/app:1", &recipe).await?;
        Ok(Submission::of(name).image(&image))
    }

    /// Removes the stack, and ends the lab; fails when anything is left.
    pub(crate) async fn end(self) -> Result<()> {
        self.shell("m1", "docker stack rm portcall").await?;
        // Data stay, until somebody takes them away.
        let script = "docker service ls --quiet; docker ps --all --quiet; \
            docker network ls --quiet --filter name=portcall; \
            volumes='docker volume ls --quiet --filter name=portcall_'; \
            $volumes | xargs --no-run-if-empty docker volume rm >/dev/null 2>&1 || true; $volumes";
        let nothing = wait::until("nothing of the stack is left", PATIENCE, || async {
            for host in ["m1", "m2", "m3"] {
                if !self.shell(host, script).await?.trim().is_empty() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });
        if nothing.await.is_err() {
            let left = "docker service ls; docker ps --all; docker network ls";
            ensure!(false, "left: {}", self.shell("m1", left).await?);
        }
        assert_eq!(self.lab.left_over().await?, [""; 0]);
        self.lab.down().await
    }
}

/// What a story of minutes has come to.
#[expect(clippy::print_stdout, reason = "what it measures is shown")]
pub(crate) fn show(text: &str) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_the_whole_stack_starts_and_a_submission_passes_through_haproxy() -> Result<()> {
    let stack = Stack::deployed(2).await?;
    stack.apply(&Event::config().limits("ready_s = 20\nrequest_s = 5")).await?;

    let (client, other) = (stack.client("m1")?, stack.client("m2")?);
    let accepted = client.submit(&stack.submission("Gordon").await?).await?;
    let document = other.wait_passed(&accepted.id, PATIENCE).await?;
    let attempts = document["attempts"].as_array().context("no attempts")?;
    assert_eq!(attempts[0]["node"], "g1", "{document:#}");
    other.wait_pin(&accepted.id, SOON).await?;

    let front = stack.lab.host("m2")?.address;
    let crt = stack.file("secrets/front.crt");
    let script =
        format!("curl -sS --fail --cacert {} https://{front}/api/v1/events", crt.display());
    assert!(stack.lab.must_on("f", &script).await?.contains("birthday-3"));

    readers_let_nobody_write(&stack).await?;
    everything_is_measured(&stack).await?;
    stack.end().await
}

/// From a grader's side the quarantine can be read; the registry itself, on the stack's own network,
/// takes what is sent.
async fn readers_let_nobody_write(stack: &Stack) -> Result<()> {
    let readers = format!("http://{}:5001/v2/", stack.lab.host("m1")?.address);
    let code = "curl -sS -o /dev/null -w '%{http_code} '";
    let asked = format!(
        "{code} {readers}; {code} -X POST {readers}a/blobs/uploads/; \
         {code} -X DELETE {readers}a/manifests/b; {code} {readers}../metrics"
    );
    assert_eq!(stack.lab.must_on("g1", &asked).await?.trim(), "200 403 403 404");
    let (host, id) = stack.container("registry").await?;
    let address =
        "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'";
    let addresses = stack.shell(host, &format!("{address} {id}")).await?;
    let address = addresses.split_whitespace().next().context("a registry without address")?;
    let url = format!("http://{address}:5001/v2/a/blobs/uploads/");
    let words = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", &url];
    let done = stack.lab.run_inside(host, &id, "curl", &words, SOON).await?;
    assert_eq!(done.stdout, "202", "{done:?}");
    Ok(())
}

/// Prometheus finds every one of our processes by name, and reads the rules.
async fn everything_is_measured(stack: &Stack) -> Result<()> {
    let (host, id) = stack.container("prometheus").await?;
    let ask = async |path: &str| -> Result<Value> {
        let url = format!("http://127.0.0.1:9090/api/v1/{path}");
        let done = stack.lab.run_inside(host, &id, "curl", &["-sS", &url], SOON).await?;
        Ok(serde_json::from_str(&done.stdout)?)
    };
    let wanted = BTreeMap::from([
        ("api", 2),
        // Of the proxies.
        ("certificate", 2),
        ("proxy", 2),
        ("scaler", 1),
        ("worker", 2),
    ]);
    wait::until("every process is measured", SOON, || async {
        let targets = ask("targets?state=active").await?;
        let mut up: BTreeMap<&str, i32> = BTreeMap::new();
        let active = targets["data"]["activeTargets"].as_array();
        for target in active.into_iter().flatten().filter(|target| target["health"] == "up") {
            *up.entry(target["labels"]["job"].as_str().unwrap_or_default()).or_default() += 1;
        }
        Ok((up == wanted).then_some(()))
    })
    .await?;
    let rules = ask("rules").await?;
    assert!(rules.to_string().contains("SubmissionsOverdue"), "{rules:#}");
    Ok(())
}
