//! `portcall scale --workers`: how many workers a stack has, of the version that runs.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use portcall_shared::settings::Reader;

use super::{
    docker::Docker,
    say, service,
    variables::Variables,
    watch::{self, Goal, Outcome},
};
use crate::failure::Failure;

/// The service that grades.
const WORKER: &str = "worker";

#[derive(Args)]
pub(crate) struct WorkersArgs {
    /// So many workers in the stack, of the version that runs. A manager of the swarm is asked for
    /// this, so it is typed where `portcall deploy` is, and not by infra/operate.
    #[arg(long, value_name = "N", conflicts_with = "slots", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) workers: Option<u32>,
    /// What the stack is called in the swarm.
    #[arg(long, default_value = "portcall", requires = "workers")]
    stack: String,
    /// A file of NAME=VALUE lines, as for `portcall deploy`: it may name the swarm's managers.
    #[arg(long, value_name = "FILE", requires = "workers")]
    settings: Option<PathBuf>,
    /// A manager of the swarm. Default: as for `portcall deploy`.
    #[arg(long, value_name = "ADDRESS", requires = "workers")]
    docker_host: Option<String>,
    /// How long the swarm may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, requires = "workers")]
    within: u64,
}

/// Has the swarm run so many workers, and waits until they are ready, or gone.
pub(crate) async fn workers(count: u32, args: WorkersArgs, reader: Reader) -> Result<(), Failure> {
    let variables = Variables::read(args.settings.as_deref(), &reader)?;
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    let swarm = Docker::manager(args.docker_host.as_deref(), &variables).await?;
    let there = service::all(&swarm, &args.stack, &[WORKER]).await?;
    let Some(now) = there.first() else {
        let message = format!("there is no stack {} with workers in the swarm", args.stack);
        return Err(Failure::Failed(message));
    };
    say(&format!("{WORKER}: {} of {}, {count} wanted", now.replicas, now.image()));
    let wanted = format!("{}_{WORKER}={count}", args.stack);
    swarm.told(&["service", "scale", "--detach", &wanted]).await?;
    let goal = Goal::Version(now.tag().to_owned());
    let within = Duration::from_secs(args.within);
    let outcomes = watch::follow(&swarm, &args.stack, &[WORKER], &goal, within).await?;
    for (_, outcome) in outcomes {
        match outcome {
            Outcome::Reached => say(&format!("{count} workers serve")),
            Outcome::TakenBack(why) | Outcome::Stuck(why) => {
                return Err(Failure::Failed(format!("{WORKER}: {why}")));
            }
        }
    }
    Ok(())
}
