//! The gate after outcomes at times, without a clock; and the loop, step by step.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcall_shared::store::nodes::CanaryDifference;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::*;
use crate::{fleet::NodeFacts, probe::wire::DiskSpace};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
/// An hour that is over soon.
const SOON: Duration = Duration::from_millis(5);

fn node(engine: &str) -> NodeFacts {
    NodeFacts { engine: engine.to_owned(), ..crate::fleet::facts::tests::node() }
}

fn failed() -> Outcome {
    let difference = |attempt: &str| CanaryDifference {
        profile: "strict".to_owned(),
        attempt: attempt.to_owned(),
        expected: "EPERM".to_owned(),
        got: "DONE".to_owned(),
    };
    Outcome::Failed(["af_packet", "mount", "a", "b", "c", "d"].map(difference).to_vec())
}

fn away() -> Outcome {
    Outcome::Impossible("engine unreachable".to_owned())
}

/// What is known after these outcomes at these times.
struct Told {
    standing: Standing,
    schedule: Schedule,
    start: Instant,
}

impl Told {
    fn new() -> Self {
        let start = Instant::now();
        Self { standing: Standing::new(HOUR), schedule: Schedule::new(HOUR, start), start }
    }

    fn after(mut self, at: Duration, outcome: Outcome) -> Self {
        self.note(at, outcome);
        self
    }

    fn note(&mut self, at: Duration, outcome: Outcome) {
        let begun = self.standing.epoch();
        let examined = Examined { node: Some(Arc::new(node("28.0.0"))), outcome: outcome.clone() };
        let now = self.start + at;
        self.standing.note(examined, begun, now, OffsetDateTime::UNIX_EPOCH);
        self.schedule.ended(&outcome, &self.standing, now);
    }

    fn at(&self, at: Duration) -> Verdict {
        self.standing.verdict(self.start + at)
    }

    /// Until the next examination.
    fn pause(&self, since: Duration) -> Duration {
        self.schedule.due.saturating_duration_since(self.start + since)
    }
}

#[test]
fn nothing_is_taken_before_the_first_canary_passed() {
    let told = Told::new();
    assert_eq!(told.schedule.due, told.start, "which begins at once");
    let Verdict::Unchecked(why) = told.at(SECOND) else { panic!() };
    assert_eq!(why, "node at the Docker endpoint is being checked by the canary");
    assert_eq!(told.after(SECOND, Outcome::Passed).at(SECOND), Verdict::Fit);
    let named = Standing::new(HOUR).called(Some("g1".to_owned()));
    let Verdict::Unchecked(why) = named.verdict(Instant::now()) else { panic!() };
    assert_eq!(why, "node g1 is being checked by the canary");
}

#[test]
fn the_timer_is_not_the_same_for_all() {
    let pauses: Vec<Duration> =
        (0..50).map(|_| Told::new().after(SECOND, Outcome::Passed).pause(SECOND)).collect();
    let (least, most) = (HOUR.mul_f64(0.9), HOUR.mul_f64(1.1));
    assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause < HOUR) && pauses.iter().any(|pause| *pause > HOUR));
}

#[test]
fn a_node_that_fails_says_what_and_is_tried_again_ever_more_seldom() {
    let mut told = Told::new().after(SECOND, failed());
    let Verdict::Unfit(why) = told.at(SECOND) else { panic!() };
    let begin = "node n1 failed the canary: af_packet DONE instead of EPERM (strict), mount DONE";
    assert!(why.starts_with(begin) && why.ends_with(", and 1 more"), "{why}");
    assert!((15 * SECOND..=45 * SECOND).contains(&told.pause(SECOND)));
    for _ in 0..20 {
        told.note(SECOND, failed());
    }
    assert!((300 * SECOND..=900 * SECOND).contains(&told.pause(SECOND)));
    assert!(matches!(told.at(30 * HOUR), Verdict::Unfit(_)), "for as long as it takes");
    // It comes back by itself, and if it fails again it is tried again soon.
    told.note(SECOND, Outcome::Passed);
    assert_eq!(told.at(SECOND), Verdict::Fit);
    told.note(SECOND, failed());
    assert!(told.pause(SECOND) <= 45 * SECOND);
}

#[test]
fn a_canary_that_cannot_be_run_is_not_one_that_failed() {
    let good_for = 2 * HOUR + super::super::LONGEST;
    let told = Told::new().after(SECOND, Outcome::Passed).after(HOUR, away());
    assert_eq!(told.standing.doubts(), 0);
    assert!(told.pause(HOUR) <= 10 * SECOND, "it is asked again soon");
    assert_eq!(told.at(SECOND + good_for), Verdict::Fit, "its last pass is recent");
    let Verdict::Unchecked(why) = told.at(2 * SECOND + good_for) else { panic!() };
    assert_eq!(why, "node n1 could not be checked: engine unreachable");
    // One that never passed is not believed because it cannot be asked, ...
    assert!(matches!(Told::new().after(SECOND, away()).at(SECOND), Verdict::Unchecked(_)));
    // ... and one that failed stays so, and is not asked more often.
    let told = Told::new().after(SECOND, failed()).after(2 * SECOND, away());
    assert!(matches!(told.at(2 * SECOND), Verdict::Unfit(_)));
    assert!(told.pause(2 * SECOND) >= 15 * SECOND);
}

#[test]
fn an_engine_that_was_lost_is_examined_at_once_and_takes_nothing_until_then() {
    let mut told = Told::new().after(SECOND, Outcome::Passed);
    assert!(told.standing.engine_lost());
    told.schedule.asked(&told.standing, told.start + 2 * SECOND);
    assert_eq!(told.pause(2 * SECOND), Duration::ZERO);
    let Verdict::Unchecked(why) = told.at(2 * SECOND) else { panic!() };
    assert_eq!(why, "node n1 is being checked by the canary again");
    // One that was lost while it was examined is examined again.
    let begun = told.standing.epoch();
    told.standing.engine_lost();
    let examined = Examined { node: None, outcome: Outcome::Passed };
    let now = told.start + 3 * SECOND;
    told.standing.note(examined, begun, now, OffsetDateTime::UNIX_EPOCH);
    told.schedule.ended(&Outcome::Passed, &told.standing, now);
    assert!(matches!(told.at(3 * SECOND), Verdict::Unchecked(_)));
    assert_eq!(told.pause(3 * SECOND), Duration::ZERO);
    told.note(4 * SECOND, Outcome::Passed);
    assert_eq!(told.at(4 * SECOND), Verdict::Fit);
}

#[test]
fn another_engine_or_another_version_is_examined_anew() {
    let renamed = NodeFacts { id: "another".to_owned(), ..node("28.0.0") };
    let remapped = NodeFacts { security: vec!["userns".to_owned()], ..node("28.0.0") };
    for other in [node("28.0.1"), renamed, remapped] {
        let mut told = Told::new().after(SECOND, Outcome::Passed);
        assert!(!told.standing.seen(&node("28.0.0")), "the same");
        assert_eq!(told.at(SECOND), Verdict::Fit);
        assert!(told.standing.seen(&other));
        assert!(matches!(told.at(SECOND), Verdict::Unchecked(_)));
    }
}

#[test]
fn lost_slots_ask_for_a_canary_but_not_for_one_after_the_other() {
    let mut told = Told::new().after(SECOND, Outcome::Passed);
    for at in [2, 3, 40] {
        told.schedule.asked(&told.standing, told.start + at * SECOND);
        assert_eq!(told.pause(SECOND), LEAST);
    }
    told.schedule.asked(&told.standing, told.start + HOUR / 2);
    assert_eq!(told.pause(SECOND), LEAST, "what is due already is not put off");
    let mut told = Told::new().after(SECOND, Outcome::Passed);
    told.schedule.asked(&told.standing, told.start + HOUR / 2);
    assert_eq!(told.pause(HOUR / 2), Duration::ZERO);
}

#[test]
fn a_disk_without_room_shuts_a_gate_that_the_canary_opened() {
    let mut told = Told::new();
    let space = DiskSpace { free_bytes: 5, total_bytes: 10, free_inodes: 0, total_inodes: 0 };
    told.standing.disk(space, Some("has too little".to_owned()));
    assert!(matches!(told.at(SECOND), Verdict::Unchecked(_)), "that comes first");
    told.note(SECOND, Outcome::Passed);
    assert_eq!(told.at(SECOND), Verdict::Full("node n1 has too little".to_owned()));
    assert_eq!(told.standing.canary(told.start + SECOND), Verdict::Fit);
    told.standing.disk(space, None);
    assert_eq!(told.at(SECOND), Verdict::Fit);
}

#[test]
fn an_examination_that_somebody_wants_is_due_at_once_and_once() {
    let mut told = Told::new().after(SECOND, Outcome::Passed);
    assert!(told.standing.order(1));
    told.schedule.asked(&told.standing, told.start + 2 * SECOND);
    assert_eq!(told.pause(2 * SECOND), Duration::ZERO);
    assert_eq!(told.at(2 * SECOND), Verdict::Fit, "what is known stands meanwhile");
    assert!(!told.standing.order(1), "it was given already");
    told.note(3 * SECOND, Outcome::Passed);
    assert_eq!(told.standing.answered(), 1);
    assert!(told.pause(3 * SECOND) > LEAST);
    // An order that comes while the node is examined is not answered by that.
    let begun = told.standing.epoch();
    assert!(told.standing.order(2));
    let (examined, now) = (Examined { node: None, outcome: away() }, told.start + 4 * SECOND);
    told.standing.note(examined, begun, now, OffsetDateTime::UNIX_EPOCH);
    told.schedule.ended(&away(), &told.standing, now);
    assert_eq!((told.standing.answered(), told.pause(4 * SECOND)), (1, Duration::ZERO));
    told.note(5 * SECOND, away());
    assert_eq!(told.standing.answered(), 2, "also one that could not be run is an answer");
}

#[test]
fn what_is_seen_on_a_node_that_went_away_is_not_believed() {
    let mut told = Told::new().after(SECOND, Outcome::Passed);
    let before = told.standing.doubts();
    told.standing.engine_lost();
    assert_eq!(told.standing.doubts(), before, "the control: that may go by unnoticed");
    told.standing.node_lost();
    assert_ne!(told.standing.doubts(), before);
    assert!(matches!(told.at(SECOND), Verdict::Unchecked(_)), "and it is examined anew");
    told.note(2 * SECOND, Outcome::Passed);
    assert_eq!(told.at(2 * SECOND), Verdict::Fit);
}

/// Answers as it was told to, and then passes; each time when it is let.
struct Examination {
    answers: Mutex<VecDeque<Outcome>>,
    asked: AtomicUsize,
    lets: Semaphore,
}

impl Examination {
    fn of(answers: impl IntoIterator<Item = Outcome>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: AtomicUsize::new(0), lets: Semaphore::new(0) })
    }

    fn watched(self: &Arc<Self>, every: Duration) -> (Gate, tokio_util::sync::DropGuard) {
        let (gate, stop) = (Gate::new(every), CancellationToken::new());
        let (this, theirs, stopped) = (Arc::clone(self), gate.clone(), stop.clone());
        tokio::spawn(async move { watch(&theirs, &*this, every, &stopped).await });
        (gate, stop.drop_guard())
    }
}

impl Examiner for Examination {
    async fn examine(&self) -> Examined {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.lets.acquire().await.expect("it is never closed").forget();
        let outcome = self.answers.lock().unwrap().pop_front().unwrap_or(Outcome::Passed);
        Examined { node: Some(Arc::new(node("28.0.0"))), outcome }
    }
}

#[tokio::test]
async fn whoever_waits_hears_when_the_gate_opens_and_shuts() {
    let examination = Examination::of([Outcome::Passed, failed()]);
    let (gate, _stop) = examination.watched(SOON);
    assert!(!gate.examined());
    examination.lets.add_permits(1);
    gate.opened().await;
    let before = gate.mark();
    assert!(gate.trusted_since(before));
    // The timer comes, and what it finds shuts the gate for whoever has offered himself.
    examination.lets.add_permits(1);
    gate.shut().await;
    assert!(matches!(gate.verdict(), Verdict::Unfit(_)));
    assert!(!gate.trusted_since(before), "what is graded meanwhile is not believed");
    // A lost engine does not wait for the next try of one that failed.
    gate.engine_lost();
    examination.lets.add_permits(1);
    gate.opened().await;
    assert!(!gate.trusted_since(before), "also when it was mended meanwhile");
    assert!(gate.trusted_since(gate.mark()));
}

#[tokio::test]
async fn an_examination_under_way_is_carried_through_when_the_worker_stops() {
    let (examination, gate) = (Examination::of([]), Gate::new(HOUR));
    let stop = CancellationToken::new();
    let (this, theirs, stopped) = (Arc::clone(&examination), gate.clone(), stop.clone());
    let watching = tokio::spawn(async move { watch(&theirs, &*this, HOUR, &stopped).await });
    while examination.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert!(!watching.is_finished());
    examination.lets.add_permits(1);
    watching.await.unwrap();
    assert!(gate.examined());
    // And none is begun after that.
    watch(&gate, &*examination, HOUR, &stop).await;
    assert_eq!(examination.asked.load(Ordering::SeqCst), 1);
}
