//! Waiting for port 80 and asking the questions.
//!
//! Every image is waited for and asked at the same time. As soon as what was seen satisfies every
//! check, nothing more is waited for: with `any`, an image that never listens costs no time.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use portcall_shared::domain::{
    event::{Event, Target},
    submission::Submission,
    verdict::{Fault, PlatformCode, PlatformFault},
};
use tokio::time::Instant;

use super::{Break, Grader, prepare::Prepared};
use crate::{
    fleet::{ContainerState, Phase, Slot, Workload},
    hold,
    judge::{self, Presence, Seen},
    lease::Progress,
    probe::{
        asking::{self, TIMES},
        client::ProberError,
        wire::{self, AskFailure, Observation},
    },
};

/// Between two looks at a container that does not listen yet; most listen within a few milliseconds, so
/// it begins with [`SOON`] and doubles.
const LOOK: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_millis(5);
/// How long a cause may come after the end.
const WHY_KILLED: Duration = Duration::from_secs(1);
/// The exit code of a process that was ended by SIGKILL: 128 + 9. Nobody inside a container can send
/// that to its first process (pid_namespaces(7)): it comes from the memory killer, or from us.
const KILLED: i64 = 137;
/// For one knock at port 80.
const KNOCK: Duration = Duration::from_millis(500);
/// Ports that are tried when port 80 stays silent, for the hint.
const USUAL_PORTS: [u16; 12] =
    [8080, 3000, 5000, 8000, 8888, 9000, 4000, 8081, 8443, 443, 5173, 1337];

/// One image while it is probed.
struct Target80<'a> {
    slot: &'a Slot,
    workload: &'a Workload,
    /// Its position among the specs.
    position: usize,
    /// Its index among the submission's images.
    image: usize,
    alias: &'a str,
    limit_mib: u32,
    exposed: &'a [String],
    submission: &'a Submission,
    event: &'a Event,
    /// Until when it may begin to listen.
    ready: Instant,
    /// Until when it may be asked.
    until: Instant,
}

fn prober_fault(error: &ProberError) -> Fault {
    tracing::warn!(%error, "the prober failed");
    let message = "the platform lost its prober beside the containers";
    PlatformFault::new(PlatformCode::NodeLost, message).into()
}

impl Grader {
    #[expect(clippy::too_many_arguments, reason = "the whole scene of the story")]
    pub(super) async fn probe(
        &self,
        slot: &Slot,
        workload: &Workload,
        prepared: &Prepared,
        submission: &Submission,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Vec<Seen>, Break> {
        let now = Instant::now();
        let ready = now + event.limits.ready;
        if ready + event.limits.request > until {
            let message = "preparing took so long that no time was left for the questions";
            return Err(PlatformFault::new(PlatformCode::NodeLost, message).into());
        }
        let mut seen: Vec<Seen> = Vec::new();
        let mut running = FuturesUnordered::new();
        for (image, (position, alias)) in prepared.images().enumerate() {
            seen.push(Seen {
                alias: alias.to_owned(),
                presence: Presence::NotAwaited,
                answers: Vec::new(),
            });
            let spec = &prepared.specs[position];
            let target = Target80 {
                slot,
                workload,
                position,
                image,
                alias,
                limit_mib: spec.limits.memory_mib,
                exposed: &spec.declared.exposed_ports,
                submission,
                event,
                ready,
                until,
            };
            running.push(async move { (image, self.see(target).await) });
        }
        let full = self.watch_disk(slot, workload, prepared);
        tokio::pin!(full);
        loop {
            let next = tokio::select! {
                next = running.next() => next,
                full = &mut full => return Err(Break::Fault(full)),
                stop = progress.stopped() => return Err(stop.into()),
            };
            let Some((image, result)) = next else { return Ok(seen) };
            seen[image] = result?;
            if judge::judge(event, submission, &seen).outcome.is_ok() {
                return Ok(seen);
            }
        }
    }

    /// Waits for one image and asks it what the event wants to know.
    async fn see(&self, target: Target80<'_>) -> Result<Seen, Break> {
        let (presence, address) = self.wait(&target).await?;
        let mut seen = Seen { alias: target.alias.to_owned(), presence, answers: Vec::new() };
        let Some(address) = address else { return Ok(seen) };
        hold::point("ready").await;
        for (index, check) in target.event.checks.iter().enumerate() {
            let asked = match check.target {
                Target::Any | Target::All => true,
                Target::Index(image) => image == target.image,
            };
            if asked && Instant::now() < target.until {
                let answers = target.ask(index, address).await?;
                seen.answers.push((index, answers));
            }
        }
        // An image that died while it was asked is told so.
        let died = self.presence_of(&target, &self.state(&target).await?);
        let unreachable = |answer: &Observation| {
            matches!(answer, Observation::Failed { failure: AskFailure::Unreachable, .. })
        };
        match died {
            Presence::Listening if seen.answers.iter().flat_map(|(_, a)| a).any(unreachable) => {
                let message = "a container that runs could not be reached in its network";
                Err(PlatformFault::new(PlatformCode::NodeLost, message).into())
            }
            Presence::Listening => Ok(seen),
            died => Ok(Seen { presence: died, ..seen }),
        }
    }

    /// Waits until port 80 accepts a connection, the process ends, or the time is over.
    async fn wait(&self, target: &Target80<'_>) -> Result<(Presence, Option<IpAddr>), Break> {
        let began = Instant::now();
        let mut address = target.workload.addresses().get(target.position).copied().flatten();
        let (mut looked, mut pause) = (began, SOON);
        loop {
            if let Some(address) = address {
                let open = target.slot.prober().knock(address.into(), vec![80], KNOCK).await;
                if !open.map_err(|e| prober_fault(&e))?.is_empty() {
                    return Ok((Presence::Listening, Some(address.into())));
                }
            }
            if address.is_none() || looked.elapsed() >= LOOK * 3 {
                looked = Instant::now();
                let state = self.state(target).await?;
                match self.presence_of(target, &state) {
                    Presence::Listening => address = state.address.or(address),
                    ended => return Ok((ended, None)),
                }
            }
            if Instant::now() >= target.ready {
                return Ok((target.silent(began, address).await?, None));
            }
            tokio::time::sleep(pause).await;
            pause = LOOK.min(pause * 2);
        }
    }

    /// How the container is. The engine hears apart of a process that was killed and of why: what was
    /// killed without a cause is looked at again for [`WHY_KILLED`].
    async fn state(&self, target: &Target80<'_>) -> Result<ContainerState, Break> {
        let until = Instant::now() + WHY_KILLED;
        loop {
            let state = self.state_now(target).await?;
            let killed = matches!(state.phase, Phase::Exited { exit_code: KILLED });
            if !killed || state.oom_killed || Instant::now() >= until {
                return Ok(state);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn state_now(&self, target: &Target80<'_>) -> Result<ContainerState, Break> {
        let states = self.fleet.states(target.workload).await;
        let mut states = states.map_err(|e| super::platform("look at the containers", &e))?;
        if target.position < states.len() {
            let state = states.swap_remove(target.position);
            if state.phase != Phase::Missing {
                return Ok(state);
            }
        }
        let message = "a container was removed while it was graded";
        Err(PlatformFault::new(PlatformCode::NodeLost, message).into())
    }

    fn presence_of(&self, target: &Target80<'_>, state: &ContainerState) -> Presence {
        match &state.phase {
            Phase::Exited { .. } if state.oom_killed => {
                Presence::OutOfMemory { limit_mib: target.limit_mib }
            }
            Phase::Exited { exit_code: KILLED } => Presence::Killed { limit_mib: target.limit_mib },
            Phase::Exited { exit_code } => Presence::Exited { code: *exit_code },
            Phase::NotStarted { detail, .. } => {
                Presence::NotStarted { detail: judge::plain_line(detail) }
            }
            Phase::Created | Phase::Running | Phase::Missing => Presence::Listening,
        }
    }
}

impl Target80<'_> {
    /// Asks one check's question as often as every question is asked.
    async fn ask(&self, check: usize, address: IpAddr) -> Result<Vec<Observation>, Break> {
        let (check, address) = (&self.event.checks[check], SocketAddr::new(address, 80));
        let question = asking::question(check, self.event, self.submission, self.alias, address);
        let answers = asking::ask(self.slot.prober(), &question, TIMES, self.ready).await;
        let answers = answers.map_err(|e| prober_fault(&e))?;
        for answer in &answers {
            let outcome = match answer {
                Observation::Failed { failure, .. } => failure.as_str(),
                Observation::Answer { .. } => "answered",
                _ => continue,
            };
            metrics::counter!("portcall_probes_total", "outcome" => outcome).increment(1);
        }
        Ok(answers)
    }

    /// The image runs and does not listen on port 80: on which others does it?
    async fn silent(
        &self,
        began: Instant,
        address: Option<std::net::Ipv4Addr>,
    ) -> Result<Presence, Break> {
        let exposes = |p: &String| p.strip_suffix("/tcp").and_then(|p| p.parse().ok());
        let mut ports: Vec<u16> = self.exposed.iter().filter_map(exposes).collect();
        ports.extend(USUAL_PORTS);
        ports.retain(|p| *p != 80);
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(wire::KNOCK_PORTS);
        let open = match address {
            Some(address) => self
                .slot
                .prober()
                .knock(address.into(), ports, Duration::from_secs(1))
                .await
                .map_err(|e| prober_fault(&e))?,
            None => Vec::new(),
        };
        Ok(Presence::Silent {
            open,
            exposed: self.exposed.to_vec(),
            waited_s: began.elapsed().as_secs_f64().round() as u64,
        })
    }
}
