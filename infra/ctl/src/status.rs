//! `portcall status`: what goes on, in a few lines.

use portcall_shared::store::{Store, queue::Queue};

use crate::failure::Failure;

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
pub(crate) async fn run(store: &Store) -> Result<(), Failure> {
    let (events, pace, flying) =
        (store.events().await?, store.pace().await?, store.in_flight().await?);
    println!("workers   {} with {} slots", pace.workers, pace.slots);
    let nodes = store.nodes().await?;
    let fit = nodes.iter().filter(|node| node.takes_work()).count();
    println!("nodes     {fit} of {} take work (portcall nodes)", nodes.len());
    println!("grading   {}", flying.len());
    if let Some(times) = pace.grading {
        println!("a grading {} ms in the middle, {} ms for nine of ten", times.p50, times.p90);
    }
    for event in &events {
        let stats = store.stats(&event.event.slug).await?;
        let states: Vec<String> = stats.states.iter().map(|(s, n)| format!("{n} {s}")).collect();
        let states = if states.is_empty() { "nothing yet".to_owned() } else { states.join(", ") };
        println!("{}\t{states}", event.event.slug);
    }
    let overdue = store.overdue().await?;
    println!("overdue   {overdue}");
    match overdue {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{overdue} submissions are past their deadline"))),
    }
}
