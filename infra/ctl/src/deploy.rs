//! `portcall deploy`: a version of Portcall onto a swarm, without anybody noticing; or back.
//!
//! ```text
//!   git revision ─► build ─► push ─► stack deploy ─► the swarm, task by task:
//!                                                    start a new one beside an old one
//!                                                    wait until it is ready (`--health`)
//!                                                    give it work, retire the old one
//! ```
//!
//! The swarm does the replacing and, when a new task does not become ready, the taking back, by what
//! `infra/stack.yaml` says: so it goes on when this command is killed. This command prepares it, tells
//! what happens, takes back the other services when one of them was, and says in the end which version
//! serves.

mod docker;
mod file;
mod labels;
mod scale;
mod secrets;
mod service;
mod variables;
mod version;
mod watch;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use portcall_shared::{domain::text::defused_line, settings::Reader};

pub(crate) use self::scale::{WorkersArgs, workers};
use self::{docker::Docker, variables::Variables, version::Version, watch::Outcome};
use crate::failure::Failure;

/// The services that are made of our own programs and go on running.
const OURS: [&str; 3] = ["api", "worker", "scaler"];
/// The images that are built.
const IMAGES: [&str; 3] = ["api", "worker", "portcall"];
/// The longest line that is said, in bytes.
const LINE: usize = 2048;

#[derive(Args)]
pub(crate) struct DeployArgs {
    /// What the stack is called in the swarm.
    #[arg(long, default_value = "portcall")]
    stack: String,
    /// The stack's file; further ones change the first.
    #[arg(long = "file", value_name = "FILE", default_value = "infra/stack.yaml")]
    files: Vec<PathBuf>,
    /// A file of NAME=VALUE lines for the stack, as infra/env.sample has them; the environment wins. A
    /// name that no file of the stack mentions is refused.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A manager of the swarm. Default: what the docker client itself takes (DOCKER_HOST, its context,
    /// this machine) if that is one, and otherwise the first of PORTCALL_DOCKER_HOST that answers, over
    /// mutual TLS with PORTCALL_DOCKER_CERTS.
    #[arg(long, value_name = "ADDRESS")]
    docker_host: Option<String>,
    /// Deploys this version, which is in the registry: nothing is built or pushed.
    #[arg(long, value_name = "TAG", conflicts_with = "rollback")]
    tag: Option<String>,
    /// Stays at the version that runs, for changed settings, secrets or numbers of workers.
    #[arg(long, conflicts_with_all = ["tag", "from", "rollback"])]
    stay: bool,
    /// Takes static programs from this folder instead of building them.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["tag", "rollback"])]
    from: Option<PathBuf>,
    /// Also deploys what is in no commit; its tag ends with -dirty.
    #[arg(long)]
    dirty: bool,
    /// How many workers there are to be. Default: as many as there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    workers: Option<u32>,
    /// Goes back to the version before this one.
    #[arg(long)]
    rollback: bool,
    /// Says what would be done, and checks what can be checked without doing it.
    #[arg(long)]
    dry_run: bool,
    /// How long the swarm may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    within: u64,
}

pub(crate) async fn run(args: DeployArgs, reader: Reader) -> Result<(), Failure> {
    let variables = Variables::read(args.settings.as_deref(), &reader)?;
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    // Going back has nothing to do with either.
    if !args.rollback {
        variables.check_names(&args.files)?;
    }
    let swarm = Docker::manager(args.docker_host.as_deref(), &variables).await;
    if args.rollback {
        return go_back(&args, &swarm?).await;
    }
    let first = args.files.first().cloned().unwrap_or_default();
    let (version, source) = match (&args.tag, &swarm) {
        (Some(tag), _) => (Version::given(tag)?, Source::Registry),
        (None, Ok(swarm)) if args.stay => (running(&args, swarm).await?, Source::Registry),
        (None, Err(_)) if args.stay => return swarm.map(drop),
        (None, _) => (Version::of_checkout(&first, args.dirty.into()).await?, Source::Checkout),
    };
    let before = match &swarm {
        Ok(swarm) => service::all(swarm, &args.stack, &OURS).await?,
        Err(_) => Vec::new(),
    };
    let images = variables.images(&version)?;
    let stack = variables.clone().for_stack(&version, &args, &before)?;
    file::check(&args.files, &stack).await?;
    if let Ok(swarm) = &swarm {
        labels::check(swarm, &args.files).await?;
        secrets::check(swarm, &args.files, &stack).await?;
    }
    if args.dry_run {
        rehearse(&images, source, &before);
        return swarm.map(drop);
    }
    let swarm = swarm?;
    if source == Source::Checkout {
        version::build(&first, &variables, &version, args.from.as_deref()).await?;
        for image in &images {
            say(&format!("pushing {image}"));
            Docker::local().told(&["push", "--quiet", image]).await?;
        }
    }
    deploy(&args, &version, &stack, &before, &swarm).await
}

/// Where a version's images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// They are to be built.
    Checkout,
    /// They were pushed before.
    Registry,
}

/// The version that runs.
async fn running(args: &DeployArgs, swarm: &Docker) -> Result<Version, Failure> {
    match service::all(swarm, &args.stack, &OURS).await?.first() {
        Some(service) => Version::given(service.tag()),
        None => Err(no_stack(args)),
    }
}

fn no_stack(args: &DeployArgs) -> Failure {
    Failure::Failed(format!("there is no stack {} in the swarm", args.stack))
}

/// Gives the stack to the swarm, and follows what becomes of it.
async fn deploy(
    args: &DeployArgs,
    version: &Version,
    variables: &Variables,
    before: &[service::Service],
    swarm: &Docker,
) -> Result<(), Failure> {
    for old in before {
        say(&format!("{}: {} of {} run", old.name, old.replicas, old.image()));
    }
    say(&format!("deploying {version} as {}", args.stack));
    let mut words = vec!["stack", "deploy", "--with-registry-auth"];
    let files = file::words(&args.files);
    words.extend(files.iter().map(String::as_str));
    words.push(&args.stack);
    swarm.with(variables).told(&words).await?;

    let within = Duration::from_secs(args.within);
    let goal = watch::Goal::Version(version.tag().to_owned());
    let there = service::all(swarm, &args.stack, &OURS).await?;
    let names: Vec<&str> = there.iter().map(|service| service.name.as_str()).collect();
    let outcomes = watch::follow(swarm, &args.stack, &names, &goal, within).await?;
    let failed = outcomes.iter().any(|(_, outcome)| *outcome != Outcome::Reached);
    if !failed {
        say(&format!("{version} serves"));
        return Ok(());
    }
    // What one of them alone has become is not what was tried. What is not at rest is left alone.
    let taken_back = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::TakenBack(_)));
    let now = service::all(swarm, &args.stack, &OURS).await?;
    for (name, outcome) in &outcomes {
        let old = before.iter().find(|old| old.name == *name);
        // With --stay it is of the same version, and the swarm says of a change where there was one.
        let changed = now.iter().any(|now| now.name == *name && now.state == "completed");
        let new_here = old.is_some_and(|old| old.tag() != version.tag() || changed);
        if taken_back && new_here && *outcome == Outcome::Reached {
            say(&format!("{name}: is well, and taken back too"));
            take_back(args, swarm, name).await?;
        }
    }
    Err(Failure::Failed(verdict(version, before, &outcomes)))
}

/// What is told in the end when the version is not what serves.
fn verdict(
    version: &Version,
    before: &[service::Service],
    outcomes: &[(String, Outcome)],
) -> String {
    let mut lines = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Reached => {}
            Outcome::TakenBack(why) => {
                lines.push(format!("{name}: {version} was taken back: {why}"))
            }
            Outcome::Stuck(why) => lines.push(format!("{name}: {version} got stuck: {why}")),
        }
    }
    let stuck = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Stuck(_)));
    lines.push(match (before.first(), stuck) {
        (None, _) => format!("{version} is the first version here and does not serve"),
        (Some(old), false) if old.tag() == version.tag() => {
            format!("{version} serves with what it was given before")
        }
        (Some(old), false) => format!("the old version, {}, serves", old.tag()),
        (Some(old), true) => format!(
            "the old version, {}, serves where it was not replaced; portcall deploy --rollback goes back to it",
            old.tag()
        ),
    });
    lines.join("\n")
}

async fn take_back(args: &DeployArgs, swarm: &Docker, name: &str) -> Result<(), Failure> {
    let full = format!("{}_{name}", args.stack);
    swarm.told(&["service", "update", "--rollback", "--detach", &full]).await?;
    let within = Duration::from_secs(args.within);
    let outcomes = watch::follow(swarm, &args.stack, &[name], &watch::Goal::Before, within).await?;
    match outcomes.first() {
        Some((_, Outcome::Stuck(why))) => Err(Failure::Failed(format!("{name}: {why}"))),
        _ => Ok(()),
    }
}

/// Back to what the services were before they were last changed.
async fn go_back(args: &DeployArgs, swarm: &Docker) -> Result<(), Failure> {
    let now = service::all(swarm, &args.stack, &OURS).await?;
    if now.is_empty() {
        return Err(no_stack(args));
    }
    let mut back = Vec::new();
    for service in &now {
        match &service.previous {
            Some(image) if image != &service.image => {
                say(&format!("{}: back to {}", service.name, service::plain(image)));
                back.push(service.name.as_str());
            }
            _ => say(&format!("{}: stays at {}", service.name, service.image())),
        }
    }
    if back.is_empty() {
        let message = "the swarm knows no version before this one; deploy one by its tag: \
            portcall deploy --tag TAG";
        return Err(Failure::Failed(message.to_owned()));
    }
    if args.dry_run {
        return Ok(());
    }
    for name in back {
        take_back(args, swarm, name).await?;
    }
    for service in service::all(swarm, &args.stack, &OURS).await? {
        say(&format!("{}: {} serves", service.name, service.image()));
    }
    Ok(())
}

/// What would be done.
fn rehearse(images: &[String], source: Source, before: &[service::Service]) {
    let images = images.join(", ");
    match source {
        Source::Registry => say(&format!("would deploy {images}")),
        Source::Checkout => say(&format!("would build, push and deploy {images}")),
    }
    for old in before {
        say(&format!("{}: would replace {} of {}", old.name, old.replicas, old.image()));
    }
    say("the stack's files and variables are in order");
}

/// A line about what is being done.
#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
pub(crate) fn say(line: &str) {
    // An engine's words are somebody else's.
    println!("{}", defused_line(line, LINE));
}
