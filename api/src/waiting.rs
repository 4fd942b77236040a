//! How long a queued submission will wait: its place in the fair order, and an estimate from
//! measured times, live slots, and how far those are that are being graded.

use std::time::Duration;

use portcall_shared::{
    domain::submission::Submission,
    store::{
        line::Turn,
        stats::{Pace, Quantiles},
    },
};
use time::OffsetDateTime;

use crate::{
    problem::ApiError,
    queue::{Ahead, Place},
    state::Shared,
    views::submission::{EtaView, QueueView},
};

/// From here to the front every step forward is told.
const NEAR: u64 = 20;
/// Beyond, a step is told that is so large a part of the way, one in twenty, and not so soon after
/// the last.
const PART: u64 = 20;
const FAR: Duration = Duration::from_secs(5);
/// However little changed, it is told after this.
const QUIET: Duration = Duration::from_secs(15);

/// The place of a submission in the queue; none unless it waits for its turn, and while the store does not
/// say.
///
/// # Errors
/// When the store refuses.
pub async fn place(app: &Shared, submission: &Submission) -> Result<Option<QueueView>, ApiError> {
    let Some(turn) = Turn::awaited(submission) else { return Ok(None) };
    let asked = async {
        let (place, pace) = tokio::try_join!(app.queue.place(&app.store, turn), app.pace())?;
        Ok(Some(view(&place, &pace, OffsetDateTime::now_utc())))
    };
    app.or_remembered(asked, || Some(None)).await
}

fn view(place: &Place, pace: &Pace, now: OffsetDateTime) -> QueueView {
    let running = place.begun.iter().map(|at| {
        let elapsed = (now - *at).whole_milliseconds().max(0);
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    });
    match place.ahead {
        Ahead::Exactly(ahead) => QueueView {
            position: ahead + 1,
            at_least: false,
            eta: estimate(ahead, pace, &running.collect::<Vec<_>>()),
        },
        Ahead::AtLeast(ahead) => QueueView { position: ahead + 1, at_least: true, eta: None },
    }
}

/// Until the verdict, with so many before it, and some being graded for so many milliseconds: until
/// the slot is free that comes to it, as many rounds of all slots as it takes, and its own grading.
fn estimate(ahead: u64, pace: &Pace, running: &[u64]) -> Option<EtaView> {
    let grading = pace.grading?;
    let rounds = ahead.checked_div(pace.slots)?;
    let nth = usize::try_from(ahead % pace.slots).unwrap_or(usize::MAX);
    let seconds = |ms: u64| ms.div_ceil(1000);
    let Quantiles { p50, p90 } = grading;
    let free = |length| until_free(pace.slots, running, length, nth);
    let likely = free(p50).saturating_add(rounds.saturating_add(1).saturating_mul(p50));
    // Over many rounds slow ones and fast ones even out; over one they do not.
    let slow_round = rounds.saturating_mul(p50.midpoint(p90));
    let late = free(p90).saturating_add(slow_round).saturating_add(p90);
    Some(EtaView { p50_s: seconds(likely), p90_s: seconds(late.max(likely)) })
}

/// When the n-th slot is free, counted from 0, if each grading takes so long. One that takes longer
/// already may end at any moment.
fn until_free(slots: u64, running: &[u64], length: u64, nth: usize) -> u64 {
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    let mut left: Vec<u64> = running.iter().map(|ran| length.saturating_sub(*ran)).collect();
    left.sort_unstable();
    // Where there are more than slots, the first that end make room for nobody.
    let busy = &left[left.len().saturating_sub(slots)..];
    let idle = slots - busy.len();
    nth.checked_sub(idle).and_then(|n| busy.get(n)).copied().unwrap_or(0)
}

/// Whether whoever was told the one place so long ago wants to hear of the other: near the front of
/// every step, far from it only of those that say something, so that thousands who wait are not told
/// something for each verdict.
#[must_use]
pub fn is_news(told: Option<QueueView>, now: Option<QueueView>, ago: Duration) -> bool {
    let (Some(told), Some(now)) = (told, now) else { return told != now };
    if told == now {
        return false;
    }
    if now.position > NEAR && ago < FAR {
        return false;
    }
    let step = told.position.abs_diff(now.position);
    let moved = step > 0 && (now.position <= NEAR || step >= told.position / PART);
    let eta = |view: QueueView| view.eta.map(|eta| eta.p50_s);
    let other_eta = match (eta(told), eta(now)) {
        (Some(told), Some(now)) => told.abs_diff(now) >= (told / 10).max(2),
        (told, now) => told.is_some() != now.is_some(),
    };
    moved || other_eta || told.at_least != now.at_least || ago >= QUIET
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(slots: u64) -> Pace {
        let grading = Some(Quantiles { p50: 4000, p90: 10_000 });
        Pace { workers: 1, slots, grading, steps: Vec::new() }
    }

    fn eta(p50_s: u64, p90_s: u64) -> Option<EtaView> {
        Some(EtaView { p50_s, p90_s })
    }

    #[test]
    fn estimates() {
        assert_eq!(estimate(0, &pace(2), &[]), eta(4, 10));
        assert_eq!(estimate(5, &pace(2), &[]), eta(12, 24));
        assert_eq!(estimate(5, &pace(0), &[]), None);
        assert_eq!(estimate(5, &Pace { grading: None, ..pace(2) }, &[]), None);
        let far = estimate(u64::MAX, &pace(1), &[0]).unwrap();
        assert!(far.p50_s <= far.p90_s);
    }

    #[test]
    fn what_runs_already_is_part_of_the_wait() {
        // One slot is idle, the other will be: the first takes it at once, the second waits.
        assert_eq!(estimate(0, &pace(2), &[1000]), eta(4, 10));
        assert_eq!(estimate(1, &pace(2), &[1000]), eta(7, 19));
        assert_eq!(estimate(2, &pace(2), &[1000]), eta(8, 17), "the round after");
        // It takes longer than most: the next may begin at any moment.
        assert_eq!(estimate(0, &pace(1), &[60_000]), eta(4, 10));
        assert_eq!(estimate(0, &pace(1), &[0]), eta(8, 20));
        // A worker with three slots went: two of its gradings end without a successor.
        assert_eq!(estimate(0, &pace(1), &[3000, 2000, 1000]), eta(7, 19));
    }

    #[test]
    fn far_from_the_front_only_what_says_something_is_told() {
        let at = |position| Some(QueueView { position, at_least: false, eta: eta(60, 90) });
        let soon = Duration::from_secs(2);
        assert!(!is_news(at(5), at(5), QUIET), "nothing changed");
        assert!(is_news(at(5), at(4), soon) && is_news(at(4), at(5), soon));
        assert!(is_news(at(21), at(20), soon));
        assert!(!is_news(at(1000), at(951), FAR) && is_news(at(1000), at(950), FAR));
        assert!(!is_news(at(1000), at(21), soon), "so soon after the last");
        assert!(is_news(at(1000), at(999), QUIET));
        assert!(is_news(at(1000), None, soon) && is_news(None, at(1000), soon));
        let waits = |p50_s| Some(QueueView { position: 9, at_least: false, eta: eta(p50_s, 900) });
        assert!(!is_news(waits(100), waits(91), soon) && is_news(waits(100), waits(90), soon));
        assert!(!is_news(waits(3), waits(2), soon) && is_news(waits(3), waits(1), soon));
        let unmeasured = Some(QueueView { position: 9, at_least: false, eta: None });
        assert!(is_news(unmeasured, waits(9), soon));
        let beyond = |at_least| Some(QueueView { position: 10_001, at_least, eta: None });
        assert!(is_news(beyond(true), beyond(false), FAR));
    }

    #[test]
    fn where_nobody_counts_nothing_is_estimated() {
        let place = Place { ahead: Ahead::AtLeast(10_000), begun: [].into() };
        let view = view(&place, &pace(2), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(view, QueueView { position: 10_001, at_least: true, eta: None });
    }
}
