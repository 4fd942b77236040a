//! What `portcall nodes drain`, `undrain` and `canary` do: an order is written into the store, and
//! whether workers have followed it is read from what they say of the node.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, time::Duration};

use clap::Args;
use portcall_shared::store::{
    Store,
    nodes::{CanaryOutcome, NodeDuty, NodeEntry, NodeState},
};
use tokio::time::Instant;

use crate::failure::Failure;

/// Between two looks at what workers say.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct OrderArgs {
    /// The name of the node.
    name: String,
    /// Waits until every worker on it has followed, and says what came of it.
    #[arg(long)]
    wait: bool,
    /// How long to wait at the most, in seconds.
    #[arg(long, default_value_t = 300, requires = "wait")]
    within: u64,
}

/// What workers have come to with an order.
enum Followed {
    /// All of them have followed it well.
    Well(String),
    /// All of them have followed it, and it did not come out as it should.
    Badly(String),
    /// Not yet, for this reason.
    NotYet(String),
}

/// Has a node take no work.
pub(crate) async fn drain(args: OrderArgs, store: &Store) -> Result<(), Failure> {
    known(store, &args.name).await?;
    store.order_drain(&args.name, &who()).await?;
    let said = "no slot is offered there any more; what runs there may finish, or is handed back";
    follow(&args, store, said, |entries| {
        let left = entries.iter().filter(|entry| entry.duty != NodeDuty::Drained);
        let left: Vec<String> = left
            .map(|entry| format!("{} has {} slots there", entry.worker_name, entry.open))
            .collect();
        match left.is_empty() {
            true => Followed::Well("is drained".to_owned()),
            false => Followed::NotYet(left.join(", ")),
        }
    })
    .await
}

/// Has a node take work again.
pub(crate) async fn undrain(args: OrderArgs, store: &Store) -> Result<(), Failure> {
    known(store, &args.name).await?;
    store.order_undrain(&args.name, &who()).await?;
    let said = "it is examined by the canary, and then takes work again";
    follow(&args, store, said, |entries| {
        let state = |entry: &NodeEntry| (entry.duty, entry.state);
        let waiting = |entry: &&NodeEntry| {
            matches!(state(entry), (_, NodeState::Unchecked)) || is_away(entry)
        };
        let why = |entry: &NodeEntry| {
            let why = entry.why.as_deref().unwrap_or("it has not said why");
            format!("{}: {why}", entry.worker_name)
        };
        if let Some(waiting) = entries.iter().find(waiting) {
            return Followed::NotYet(why(waiting));
        }
        match entries.iter().find(|entry| !entry.takes_work()) {
            Some(entry) => Followed::Badly(format!("takes no work: {}", why(entry))),
            None => Followed::Well("takes work".to_owned()),
        }
    })
    .await
}

/// Has a node examined.
pub(crate) async fn canary(args: OrderArgs, store: &Store) -> Result<(), Failure> {
    known(store, &args.name).await?;
    if let Some(order) = store.orders().await?.drained(&args.name) {
        let (name, by) = (&args.name, &order.by);
        let message = format!("{name} was drained by {by}: undrain it, then it is examined anyway");
        return Err(Failure::Failed(message));
    }
    let number = store.order_canary(&args.name, &who()).await?;
    follow(&args, store, "it is examined by every worker on it", |entries| {
        let waiting = |entry: &&NodeEntry| !is_away(entry) && entry.canary.ordered < number;
        if let Some(entry) = entries.iter().find(waiting) {
            return Followed::NotYet(format!("{} has not ended it", entry.worker_name));
        }
        let told: Vec<String> = entries.iter().map(outcome).collect();
        let passed = |entry: &NodeEntry| {
            entry.canary.outcome == CanaryOutcome::Passed && entry.canary.trouble.is_none()
        };
        match !entries.is_empty() && entries.iter().all(passed) {
            true => Followed::Well(told.join("; ")),
            false if entries.is_empty() => Followed::Badly("no worker has it".to_owned()),
            false => Followed::Badly(told.join("; ")),
        }
    })
    .await
}

fn is_away(entry: &NodeEntry) -> bool {
    entry.duty != NodeDuty::Serving
}

/// What the canary of one worker came to.
fn outcome(entry: &NodeEntry) -> String {
    let (worker, canary) = (&entry.worker_name, &entry.canary);
    if is_away(entry) {
        return format!("{worker}: the node is {}", entry.duty.as_str());
    }
    if let Some(trouble) = &canary.trouble {
        return format!("{worker}: it could not be run: {trouble}");
    }
    let differences = canary
        .differences
        .iter()
        .map(|d| format!("{} {} instead of {} ({})", d.attempt, d.got, d.expected, d.profile));
    match canary.outcome {
        CanaryOutcome::Failed => {
            format!("{worker}: FAILED: {}", differences.collect::<Vec<_>>().join(", "))
        }
        outcome => format!("{worker}: {}", outcome.as_str()),
    }
}

/// Waits, if that is wanted, until the workers on a node have followed.
async fn follow(
    args: &OrderArgs,
    store: &Store,
    said: &str,
    followed: impl Fn(&[NodeEntry]) -> Followed,
) -> Result<(), Failure> {
    let name = &args.name;
    if !args.wait {
        say(&format!("{name}: {said}"));
        return Ok(());
    }
    let until = Instant::now() + Duration::from_secs(args.within);
    loop {
        let mut entries = store.nodes().await?;
        entries.retain(|entry| entry.node.name == *name);
        match followed(&entries) {
            Followed::Well(what) => {
                say(&format!("{name}: {what}"));
                return Ok(());
            }
            Followed::Badly(what) => return Err(Failure::Failed(format!("{name}: {what}"))),
            Followed::NotYet(why) if Instant::now() >= until => {
                let message = format!("{name}: not within {} s: {why}", args.within);
                return Err(Failure::Failed(message));
            }
            Followed::NotYet(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Refuses a name that no node has, telling those that there are.
pub(crate) async fn known(store: &Store, name: &str) -> Result<(), Failure> {
    let (nodes, orders) = (store.nodes().await?, store.orders().await?);
    let names = nodes.into_iter().filter(|node| !node.post.is_empty()).map(|node| node.node.name);
    // One that was drained may be away just now.
    let spoken_of = orders.nodes.into_keys();
    let names: BTreeSet<String> = names.filter(|name| name != "?").chain(spoken_of).collect();
    if names.contains(name) {
        return Ok(());
    }
    let there: Vec<String> = names.into_iter().collect();
    Err(Failure::Failed(match there.is_empty() {
        true => format!("there is no node {name}, nor any other (portcall nodes)"),
        false => format!("there is no node {name}; there are: {}", there.join(", ")),
    }))
}

/// Who gives an order: the user of this process, and the machine.
pub(crate) fn who() -> String {
    let uid = fs::metadata("/proc/self").map(|own| own.uid());
    let uid = uid.map_or_else(|_| "?".to_owned(), |uid| uid.to_string());
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}@{}", user.unwrap_or(uid), host.trim())
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
pub(crate) fn say(text: &str) {
    println!("{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_a_name_under_it() {
        let who = who();
        let (user, _) = who.split_once('@').expect("user@host");
        assert!(!user.is_empty() && user != "?", "{who}");
    }
}
