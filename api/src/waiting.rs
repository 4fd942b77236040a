//! How long a queued submission will wait: its place in the fair order, and an estimate from
//! measured times and live slots.

use portcall_shared::{
    domain::{state::State, submission::Submission},
    store::{StoreError, stats::Pace},
};

use crate::{
    state::Shared,
    views::submission::{EtaView, QueueView},
};

/// The place of a submission in the queue; none unless it waits for its turn.
///
/// # Errors
/// When the store cannot say.
pub async fn place(app: &Shared, submission: &Submission) -> Result<Option<QueueView>, StoreError> {
    if submission.life.state != State::Queued || submission.delay.is_some() {
        return Ok(None);
    }
    let (ahead, pace) = tokio::try_join!(app.store.ahead_of(submission), app.pace())?;
    Ok(Some(QueueView { position: ahead + 1, eta: estimate(ahead, &pace) }))
}

/// Until the verdict, with so many before it: as many rounds of all slots as it takes to get to
/// its turn, and its own grading.
fn estimate(ahead: u64, pace: &Pace) -> Option<EtaView> {
    let grading = pace.grading?;
    let rounds = ahead.checked_div(pace.slots)?;
    let seconds = |ms: u64| ms.div_ceil(1000);
    let likely = rounds.saturating_add(1).saturating_mul(grading.p50);
    // Over many rounds slow ones and fast ones even out; over one they do not.
    let slow_round = grading.p50.midpoint(grading.p90);
    let late = rounds.saturating_mul(slow_round).saturating_add(grading.p90);
    Some(EtaView { p50_s: seconds(likely), p90_s: seconds(late.max(likely)) })
}

#[cfg(test)]
mod tests {
    use portcall_shared::store::stats::Quantiles;

    use super::*;

    fn pace(slots: u64) -> Pace {
        let grading = Some(Quantiles { p50: 4000, p90: 10_000 });
        Pace { workers: 1, slots, grading, steps: Vec::new() }
    }

    #[test]
    fn estimates() {
        assert_eq!(estimate(0, &pace(2)), Some(EtaView { p50_s: 4, p90_s: 10 }));
        assert_eq!(estimate(5, &pace(2)), Some(EtaView { p50_s: 12, p90_s: 24 }));
        assert_eq!(estimate(5, &pace(0)), None);
        assert_eq!(estimate(5, &Pace { grading: None, ..pace(2) }), None);
        let far = estimate(u64::MAX, &pace(1)).unwrap();
        assert!(far.p50_s <= far.p90_s);
    }
}
