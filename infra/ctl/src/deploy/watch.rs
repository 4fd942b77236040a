//! Following what the swarm does with changed services, until all of them have come to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    docker::Docker,
    say,
    service::{self, Service, Task},
};
use crate::failure::Failure;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// For how many looks in a row all must be at rest: the swarm takes a moment to begin.
const AT_REST: u32 = 4;
/// For how long the swarm may not answer, as while it chooses another leader.
const AWAY: Duration = Duration::from_secs(90);
/// How much of a failed task's log is told, in lines.
const LOG: &str = "5";

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// That all tasks are of the version with this tag.
    Version(String),
    /// That all tasks are as they were before the last change.
    Before,
}

/// What a service came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was waited for.
    Reached,
    /// The swarm took it back, for this reason.
    TakenBack(String),
    /// Neither, for this reason.
    Stuck(String),
}

/// Follows these services of the stack, and says what happens.
pub(super) async fn follow(
    swarm: &Docker,
    stack: &str,
    names: &[&str],
    goal: &Goal,
    within: Duration,
) -> Result<Vec<(String, Outcome)>, Failure> {
    let (began, mut heard, mut rest) = (Instant::now(), Instant::now(), 0);
    let mut latest: Vec<(String, Option<Outcome>)> = Vec::new();
    let mut diaries: BTreeMap<&str, Diary> =
        names.iter().map(|name| (*name, Diary::default())).collect();
    loop {
        match look(swarm, stack, names, goal, &mut diaries).await {
            Ok(outcomes) => {
                heard = Instant::now();
                latest.clone_from(&outcomes);
                let all: Option<Vec<(String, Outcome)>> =
                    outcomes.into_iter().map(|(name, outcome)| Some((name, outcome?))).collect();
                rest = if all.is_some() { rest + 1 } else { 0 };
                if let Some(all) = all.filter(|_| rest >= AT_REST) {
                    tell_logs(swarm, &diaries, &all).await;
                    return Ok(all);
                }
            }
            Err(Failure::Unavailable(why)) if heard.elapsed() < AWAY => {
                say(&format!("the swarm does not answer, asking again: {why}"));
            }
            Err(failure) => return Err(failure),
        }
        if began.elapsed() > within {
            let why = format!("not at rest after {} s; it may still come to it", within.as_secs());
            let outcome = |name: &&str| {
                let seen = latest.iter().find(|(seen, _)| seen == name);
                let known = seen.and_then(|(_, outcome)| outcome.clone());
                ((*name).to_owned(), known.unwrap_or_else(|| Outcome::Stuck(why.clone())))
            };
            let all: Vec<(String, Outcome)> = names.iter().map(outcome).collect();
            tell_logs(swarm, &diaries, &all).await;
            return Ok(all);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look<'a>(
    swarm: &Docker,
    stack: &str,
    names: &[&'a str],
    goal: &Goal,
    diaries: &mut BTreeMap<&'a str, Diary>,
) -> Result<Vec<(String, Option<Outcome>)>, Failure> {
    let services = service::all(swarm, stack, names).await?;
    let mut outcomes = Vec::new();
    for name in names {
        let Some(service) = services.iter().find(|service| service.name == *name) else {
            let why = format!("there is no service {stack}_{name}");
            outcomes.push(((*name).to_owned(), Some(Outcome::Stuck(why))));
            continue;
        };
        let tasks = service::tasks(swarm, stack, name).await?;
        let diary = diaries.entry(name).or_default();
        for line in diary.note(goal, &tasks) {
            say(&format!("{name}: {line}"));
        }
        outcomes.push(((*name).to_owned(), outcome(service, &tasks, goal)));
    }
    Ok(outcomes)
}

/// What a service has come to, if it has come to rest.
fn outcome(service: &Service, tasks: &[Task], goal: &Goal) -> Option<Outcome> {
    let why = || {
        let failed = tasks.iter().filter(|task| !task.error.is_empty());
        let of_goal = |task: &&Task| matches!(goal, Goal::Version(tag) if task.tag() == tag);
        let told = failed.clone().find(of_goal).or_else(|| failed.clone().next());
        match told {
            Some(task) => format!("{} on {}", task.error, task.node),
            None => format!("it was not ready in time ({})", service.message),
        }
    };
    let as_wanted = || {
        let tag = service.tag();
        let wanted: Vec<&Task> = tasks.iter().filter(|task| task.wanted).collect();
        let good = wanted.iter().filter(|task| task.tag() == tag && task.runs()).count();
        good as u64 == service.replicas && wanted.len() == good
    };
    match (service.state.as_str(), goal) {
        ("paused" | "rollback_paused", _) => Some(Outcome::Stuck(why())),
        ("updating" | "rollback_started", _) => None,
        // Of this change, also where only settings were to be others: the swarm forgets what an earlier
        // one came to when a service is changed.
        ("rollback_completed", Goal::Version(_)) => as_wanted().then(|| Outcome::TakenBack(why())),
        (_, Goal::Version(tag)) if service.tag() != tag => None,
        _ => as_wanted().then_some(Outcome::Reached),
    }
}

/// What was seen of a service's tasks.
#[derive(Debug, Default)]
struct Diary {
    seen: BTreeMap<String, String>,
    ready: BTreeSet<String>,
    failed: BTreeSet<String>,
    begun: bool,
}

impl Diary {
    /// What is new, in words. What there was when it began is not.
    fn note(&mut self, goal: &Goal, tasks: &[Task]) -> Vec<String> {
        let mut lines = Vec::new();
        let fresh = |task: &Task| match goal {
            Goal::Version(tag) => task.tag() == tag,
            Goal::Before => true,
        };
        for task in tasks {
            let now = match (task.wanted, task.state.as_str()) {
                (_, "Failed" | "Rejected" | "Orphaned") => "failed",
                (true, "Running") => "ready",
                (true, _) => "starts",
                (false, "Shutdown" | "Complete" | "Remove") => "retired",
                (false, _) => "retires",
            };
            let before = self.seen.insert(task.id.clone(), now.to_owned());
            if before.as_deref() == Some(now) || !(self.begun || fresh(task) && task.wanted) {
                continue;
            }
            let who = format!("{} {}", task.name, task.tag());
            let at = &task.node;
            lines.extend(match now {
                "failed" => {
                    self.failed.insert(task.id.clone());
                    Some(format!("{who} on {at} failed: {}", task.error))
                }
                "ready" => {
                    self.ready.insert(task.id.clone());
                    Some(format!("{who} on {at} is ready and serves"))
                }
                "starts" if at.is_empty() => Some(format!("{who} waits for a machine")),
                "starts" => Some(format!("{who} starts on {at}")),
                "retired"
                    if before.is_some_and(|_| fresh(task)) && !self.ready.contains(&task.id) =>
                {
                    self.failed.insert(task.id.clone());
                    Some(format!("{who} on {at} was not ready in time"))
                }
                "retired" => Some(format!("{who} on {at} is retired")),
                _ => None,
            });
        }
        self.begun = true;
        lines
    }
}

/// The end of the log of a task that failed, of each service that did not get there.
async fn tell_logs(
    swarm: &Docker,
    diaries: &BTreeMap<&str, Diary>,
    outcomes: &[(String, Outcome)],
) {
    for (name, _) in outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Reached) {
        let failed = diaries.get(name.as_str()).and_then(|diary| diary.failed.last());
        let Some(task) = failed else { continue };
        let words = ["service", "logs", "--raw", "--tail", LOG, task.as_str()];
        // The task may be forgotten already.
        if let Ok(log) = swarm.hear(&words).await {
            for line in log.lines() {
                say(&format!("{name}: | {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
