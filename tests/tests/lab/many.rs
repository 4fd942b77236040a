//! Many submissions while graders come and go: none is lost, none fails by it, and what is done follows
//! the number of slots. Its short sister, with two workers, is in `posts.rs`.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcall_tests::{
    Event, Lab,
    lab::{
        Plan,
        world::{Portcall, attempts, passed},
    },
    parts::client::time_at,
};
use serde_json::Value;
use time::OffsetDateTime;

const PATIENCE: Duration = Duration::from_secs(600);
const START: Duration = Duration::from_secs(3);
const SUBMISSIONS: usize = 60;
/// Slots of each grader.
const SLOTS: u32 = 2;
/// So many have passed when another grader joins, and when one is drained.
const JOINS: usize = 16;
const DRAINED: usize = 40;

/// A time in which the number of slots did not change.
struct Span {
    what: &'static str,
    slots: u32,
    from: OffsetDateTime,
    to: OffsetDateTime,
}

#[tokio::test(flavor = "multi_thread")]
async fn full_sixty_submissions_over_graders_that_come_and_go() -> Result<()> {
    let lab = Lab::of(Plan { slots: Some(SLOTS), ..Plan::default() }).await?;
    let event = Event::config().limits("ready_s = 20\nrequest_s = 5");
    let world = Portcall::start(lab, &event, 16, &["g1", "g2"]).await?;
    let ids = world.submit("Many", SUBMISSIONS, START).await?;
    world.watch(&ids, PATIENCE, |all| passed(all) >= 4).await?;
    let begun = OffsetDateTime::now_utc();
    world.watch(&ids, PATIENCE, |all| passed(all) >= JOINS).await?;
    let joining = OffsetDateTime::now_utc();
    world.lab.join("g3").await?;
    world.until_open(&["g1", "g2", "g3"]).await?;
    let joined = OffsetDateTime::now_utc();
    world.watch(&ids, PATIENCE, |all| passed(all) >= DRAINED).await?;
    let draining = OffsetDateTime::now_utc();
    let told = world.portcall(&["nodes", "drain", "g1", "--wait"]).await?;
    ensure!(told.contains("is drained"), "{told}");
    let drained = OffsetDateTime::now_utc();
    let before = world.documents(&ids).await?;
    ensure!(passed(&before) < SUBMISSIONS, "the drain came too late to say anything");
    let documents = world.all_passed(&ids, PATIENCE).await?;
    let ended = documents.iter().map(|d| time_at(d, "/verdict/at")).collect::<Result<Vec<_>>>()?;

    let counted = attempts(&documents);
    println!("attempts: {counted:?}");
    let spoilt = |what: &&String| !what.starts_with("passed") && !what.starts_with("released");
    ensure!(!counted.keys().any(|what| spoilt(&what)), "{counted:?}");
    ensure!(counted.contains_key("passed on g3"), "{counted:?}");
    for document in &documents {
        let late = document["attempts"][0]["started_at"].is_string()
            && time_at(document, "/attempts/0/started_at")? > drained;
        ensure!(!(late && document["attempts"][0]["node"] == "g1"), "{document:#}");
    }
    let last = ended.iter().max().copied().unwrap_or(drained);
    tell(
        &documents,
        &[
            Span { what: "two graders", slots: 2 * SLOTS, from: begun, to: joining },
            Span { what: "three graders", slots: 3 * SLOTS, from: joined, to: draining },
            Span { what: "one drained", slots: 2 * SLOTS, from: drained, to: last },
        ],
    )?;
    world.until_clean().await?;
    world.portcall(&["nodes", "undrain", "g1", "--wait"]).await?;
    world.until_open(&["g1", "g2", "g3"]).await?;
    world.finish().await
}

/// Prints what was done in each span, for each slot, and how that compares to the first.
#[expect(clippy::print_stdout, reason = "what a test measures is printed")]
fn tell(documents: &[Value], spans: &[Span]) -> Result<()> {
    let mut first = None;
    for Span { what, slots, from, to } in spans {
        let mut done = 0_u32;
        for document in documents {
            let at = time_at(document, "/verdict/at")?;
            done += u32::from(*from <= at && at < *to);
        }
        let seconds = (*to - *from).as_seconds_f64();
        let each = f64::from(done) / seconds / f64::from(*slots);
        let ratio = each / *first.get_or_insert(each);
        println!(
            "{what}: {done} in {seconds:.1} s by {slots} slots, {each:.3} a second by each: {ratio:.2}"
        );
    }
    Ok(())
}
