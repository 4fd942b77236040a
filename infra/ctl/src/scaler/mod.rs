//! `portcall scaler`: from what waits to how many grader nodes there should be.
//!
//! ```text
//!   queue, gradings, nodes ─► plan ─► portcall_nodes_wanted
//!                                │
//!        more ───────────────────┼──► hook: make machines
//!        fewer ─► drain ─► drained ──► hook: these may go
//! ```
//!
//! It is optional, and forgets everything when it ends: what it ordered lies in the store, and is known
//! by its name there. It makes and removes nothing itself.

mod hook;
mod nodes;
mod plan;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;
use portcall_shared::{
    domain::{event::Door, host_name::HostName},
    ops::{self, Readiness, Ready},
    retry::Pauses,
    settings::Reader,
    shutdown,
    store::{Store, StoreError, orders::Orders, stats::Pace},
    telemetry,
};
use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    hook::{Call, HookError},
    nodes::{BY, Node, Orderly, Stands},
    plan::{Look, Past, Rules, Wanted},
};
use crate::{
    database::{For, with},
    failure::{Failure, chain},
};

/// What the hook promised and did not come is asked for again after so long.
const ASKED_ANEW: Duration = Duration::from_secs(1800);

#[derive(Args)]
pub(crate) struct ScalerArgs {
    /// The fewest grader nodes.
    #[arg(long, default_value_t = 1)]
    min: u32,
    /// The most grader nodes.
    #[arg(long, default_value_t = 10)]
    max: u32,
    /// How long a submission may wait and be graded, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
    /// After more nodes were wanted: so many seconds not yet more. As long as a machine takes to
    /// come.
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    up_every: u64,
    /// Fewer nodes are wanted only after they were enough for so many seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    down_after: u64,
    /// Slots of a node, while there is none to look at.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    slots: u32,
    /// What a grading takes in seconds, while none was measured.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    grading: u64,
    /// How often it looks, in seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// A command for the shell that makes machines and removes them: it is told by SCALER_WANTED,
    /// SCALER_PRESENT, SCALER_REMOVE (names of drained nodes) and SCALER_REASON.
    #[arg(long, value_name = "COMMAND")]
    hook: Option<String>,
    /// How long that may take, in seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    hook_within: u64,
    /// Where /metrics, /livez and /readyz are. Not for the public.
    #[arg(long, default_value = "127.0.0.1:9082", value_name = "ADDRESS")]
    ops: SocketAddr,
    /// Looks once, does what is to be done without the waits between, and ends.
    #[arg(long)]
    once: bool,
    /// Says what it would do, and does nothing: no order, no command.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl ScalerArgs {
    fn rules(&self) -> Rules {
        let wait = |seconds| if self.once { 0 } else { seconds };
        Rules {
            min: self.min,
            max: self.max,
            wait: Duration::from_secs(self.wait),
            up_every: Duration::from_secs(wait(self.up_every)),
            down_after: Duration::from_secs(wait(self.down_after)),
            slots: self.slots,
            grading: Duration::from_secs(self.grading),
        }
    }
}

pub(crate) async fn run(args: ScalerArgs, reader: Reader) -> Result<(), Failure> {
    if args.min > args.max {
        return Err(Failure::Usage(format!("--min {} is more than --max {}", args.min, args.max)));
    }
    with(reader, For::Service, async |store| scale(Scaler::new(args, store)).await).await
}

async fn scale(mut scaler: Scaler<'_>) -> Result<(), Failure> {
    if scaler.args.once {
        scaler.look().await?;
        return match scaler.running.take() {
            Some(running) => {
                ended(running.await).map(drop).map_err(|e| Failure::Failed(e.to_string()))
            }
            None => Ok(()),
        };
    }
    let stop = shutdown::on_signal().map_err(|e| Failure::Internal(e.to_string()))?;
    let (metrics, ready) = (telemetry::metrics(), Ready::default());
    let address = scaler.args.ops;
    let listening = ops::serve(address, metrics, ready.clone(), stop.clone()).await;
    let address = listening.map_err(|e| Failure::Unavailable(format!("{address}: {e}")))?;
    tracing::info!(addr = %address, "listening for operators");
    scaler.keep_looking(&ready, &stop).await;
    Ok(())
}

struct Scaler<'a> {
    args: ScalerArgs,
    rules: Rules,
    store: &'a Store,
    began: Instant,
    past: Past,
    said: Option<(Wanted, Orderly)>,
    /// The call that is under way.
    running: Option<JoinHandle<(Call, Result<(), HookError>)>>,
    /// The last one that went well, and when.
    done: Option<(Call, Instant)>,
    pauses: Pauses,
    not_before: Option<Instant>,
}

impl<'a> Scaler<'a> {
    fn new(args: ScalerArgs, store: &'a Store) -> Self {
        let rules = args.rules();
        Self {
            rules,
            args,
            store,
            began: Instant::now(),
            past: Past::default(),
            said: None,
            running: None,
            done: None,
            pauses: hook::AGAIN.pauses(),
            not_before: None,
        }
    }

    async fn keep_looking(&mut self, ready: &Ready, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(self.args.every));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            match self.look().await {
                Ok(()) => ready.set(Readiness::Ready),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot look at the queue");
                    ready.set(Readiness::NotReady("the database does not answer".to_owned()));
                }
            }
        }
        // Whoever makes machines is not interrupted half-way; it has its time limit.
        if let Some(running) = self.running.take()
            && let Err(error) = ended(running.await)
        {
            tracing::error!(%error, "the last call of the hook failed");
        }
    }

    /// Looks, decides, orders, and calls the hook if it is due.
    async fn look(&mut self) -> Result<(), StoreError> {
        self.note_end().await;
        let (entries, orders) = (self.store.nodes().await?, self.store.orders().await?);
        let nodes = nodes::see(&entries, &orders);
        let pace = self.store.pace().await?;
        if pace.workers == 0 {
            // Nodes are seen by workers: without one, an empty list says nothing.
            tracing::warn!("no worker is on the list: nothing is decided");
            return Ok(());
        }
        let look = self.see(&nodes, &pace).await?;
        let now = self.began.elapsed();
        let (wanted, past) = plan::decide(&look, &self.rules, self.past, now);
        self.past = past;
        metrics::gauge!("portcall_nodes_wanted").set(wanted.nodes);
        metrics::gauge!("portcall_nodes_serving").set(look.nodes);
        let offered = self.done.as_ref().map_or(&[][..], |(call, _)| &call.remove);
        let orderly = nodes::bring(&nodes, &orders, wanted.nodes, offered);
        self.tell(&look, wanted, &orderly, &nodes);
        if !self.args.dry_run {
            self.order(&orderly, &orders).await?;
            self.call(call(&nodes, &orderly, wanted));
        }
        Ok(())
    }

    async fn see(&self, nodes: &[Node], pace: &Pace) -> Result<Look, StoreError> {
        let waiting = self.store.waiting().await?;
        let now = OffsetDateTime::now_utc();
        let closings = self.store.event_closings().await?;
        let open = self.store.events().await?.iter().any(|e| {
            e.event.door(now) == Door::Open && !closings.contains_key(e.event.slug.as_str())
        });
        let working = || nodes.iter().filter(|n| n.stands == Stands::Working && n.slots > 0);
        let count = |some: usize| u32::try_from(some).unwrap_or(u32::MAX);
        let serving = nodes.iter().filter(|n| serves(n)).count();
        let oldest = waiting.oldest.and_then(|at| Duration::try_from(now - at).ok());
        Ok(Look {
            waiting: waiting.ready,
            oldest: oldest.unwrap_or_default(),
            grading: waiting.grading,
            takes: pace.grading.as_ref().map(|times| Duration::from_millis(times.p50)),
            nodes: count(serving),
            slots: working().map(|node| node.slots).sum(),
            with_slots: count(working().count()),
            open,
        })
    }

    async fn order(&self, orderly: &Orderly, orders: &Orders) -> Result<(), StoreError> {
        for name in &orderly.drain {
            self.store.order_drain(name, BY).await?;
        }
        for name in orderly.undrain.iter().chain(&orderly.forget) {
            // An operator who drained it meanwhile is not overruled by what was read before.
            if orders.drained(name).is_some_and(|order| order.by == BY) {
                self.store.order_undrain(name, BY).await?;
            }
        }
        Ok(())
    }

    /// Begins a call, unless one is under way, it failed just now, or the same went well before.
    fn call(&mut self, call: Call) {
        let Some(command) = self.args.hook.clone() else { return };
        let early = self.not_before.is_some_and(|then| Instant::now() < then);
        if !call.is_due() {
            // What comes next is asked for anew, also if it was asked for before.
            self.done = None;
            return;
        }
        let lately = |at: &Instant| at.elapsed() < ASKED_ANEW;
        let same = self.done.as_ref().is_some_and(|(done, at)| done.asks_as(&call) && lately(at));
        if self.running.is_some() || early || same {
            return;
        }
        tracing::info!(
            nodes.wanted = call.wanted,
            nodes.present = call.present,
            nodes.remove = call.removes(),
            reason = call.reason,
            "calling the hook"
        );
        let limit = Duration::from_secs(self.args.hook_within);
        self.running = Some(tokio::spawn(async move {
            let result = hook::run(&command, &call, limit).await;
            (call, result)
        }));
    }

    /// Takes note of a call that has ended.
    async fn note_end(&mut self) {
        let Some(running) = self.running.take_if(|running| running.is_finished()) else { return };
        match ended(running.await) {
            Ok(call) => {
                metrics::counter!("portcall_scaler_hooks_total", "outcome" => "done").increment(1);
                self.done = Some((call, Instant::now()));
                self.pauses.reset();
                self.not_before = None;
            }
            Err(error) => {
                metrics::counter!("portcall_scaler_hooks_total", "outcome" => "failed")
                    .increment(1);
                let pause = self.pauses.next_pause();
                tracing::error!(%error, again_s = pause.as_secs(), "the hook will be called again");
                self.not_before = Some(Instant::now() + pause);
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
    fn tell(&mut self, look: &Look, wanted: Wanted, orderly: &Orderly, nodes: &[Node]) {
        let said = Some((wanted, orderly.clone()));
        if self.said == said {
            return;
        }
        self.said = said;
        let drained: Vec<&str> = may_go(nodes).map(HostName::as_str).collect();
        if self.args.json {
            let call = call(nodes, orderly, wanted);
            // What an operator's command would be told, where it is not ours to start.
            let hook = call.is_due().then(|| {
                let remove: Vec<&str> = call.remove.iter().map(HostName::as_str).collect();
                json!({
                    "wanted": call.wanted, "present": call.present, "remove": remove,
                    "reason": call.reason,
                })
            });
            let line = json!({
                "wanted": wanted.nodes, "why": wanted.why.as_str(), "serving": look.nodes,
                "slots": look.slots, "waiting": look.waiting, "grading": look.grading,
                "oldest_s": look.oldest.as_secs(), "open": look.open,
                "drain": orderly.drain, "undrain": orderly.undrain, "forget": orderly.forget,
                "drained": drained, "hook": hook,
            });
            println!("{line}");
            return;
        }
        println!(
            "{} of {} nodes wanted: {} ({} wait, {} are graded)",
            wanted.nodes,
            look.nodes,
            wanted.why.as_str(),
            look.waiting,
            look.grading
        );
        for (what, which) in [("drain", &orderly.drain), ("undrain", &orderly.undrain)] {
            if !which.is_empty() {
                println!("  {what} {}", which.join(" ").escape_debug());
            }
        }
        if !drained.is_empty() {
            println!("  may go: {}", drained.join(" "));
        }
    }
}

fn serves(node: &Node) -> bool {
    matches!(node.stands, Stands::Working | Stands::Coming)
}

/// The machines of nodes that may go.
fn may_go(nodes: &[Node]) -> impl Iterator<Item = &HostName> {
    nodes.iter().filter(|n| n.stands == Stands::Drained).filter_map(|n| n.machine.as_ref())
}

/// What the operator's command is to know. Whatever is not drained yet counts as wanted: a command
/// that makes the number true would otherwise remove what still runs. So does a node of which nobody can
/// say which machine it is.
fn call(nodes: &[Node], orderly: &Orderly, wanted: Wanted) -> Call {
    let back = |node: &&Node| orderly.undrain.contains(&node.name);
    let count = |some: usize| u32::try_from(some).unwrap_or(u32::MAX);
    let remove: Vec<HostName> = nodes
        .iter()
        .filter(|n| n.stands == Stands::Drained && !back(n))
        .filter_map(|n| n.machine.clone())
        .collect();
    let kept = nodes.len() - remove.len();
    let useful = nodes.iter().filter(|n| serves(n) || back(n)).count();
    let more = wanted.nodes.saturating_sub(count(useful));
    Call {
        wanted: count(kept).saturating_add(more),
        present: count(nodes.len()),
        remove,
        reason: wanted.why.as_str().to_owned(),
    }
}

fn ended(
    ended: Result<(Call, Result<(), HookError>), tokio::task::JoinError>,
) -> Result<Call, HookError> {
    let (call, result) = ended.map_err(|e| HookError::Start(std::io::Error::other(e)))?;
    result.map(|()| call)
}

#[cfg(test)]
mod tests;
