//! Lease expiry by observation.
//!
//! No wall clock decides when a lease ends, neither a worker's nor the database's. An observer
//! keeps what it has itself seen: a (generation, beat) that did not change for as long as a lease
//! lasts on the observer's own monotonic clock belongs to a holder that fell silent. A clock that
//! is ten minutes off neither steals a lease nor keeps one for ever (the way of Kubernetes' leader
//! election, `client-go/tools/leaderelection`).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::queue::{Expiry, InFlight};
use crate::domain::ids::{Generation, SubmissionId};

#[derive(Clone, Copy, Debug)]
struct Seen {
    generation: Generation,
    since: Instant,
    beat: i64,
    beat_since: Instant,
}

/// What one observer has seen so far.
#[derive(Debug)]
pub struct Observer {
    lease: Duration,
    longest: Duration,
    seen: HashMap<SubmissionId, Seen>,
}

impl Observer {
    /// An observer that calls a holder silent after `lease` without a new beat, and a grading
    /// overdue after `longest` in one generation.
    #[must_use]
    pub fn new(lease: Duration, longest: Duration) -> Self {
        Self { lease, longest, seen: HashMap::new() }
    }

    /// Takes in everything that is being graded, as read at `now`, and tells whose lease is over.
    pub fn observe(&mut self, all: &[InFlight], now: Instant) -> Vec<(InFlight, Expiry)> {
        let mut over = Vec::new();
        let mut still = HashMap::with_capacity(all.len());
        for one in all {
            let fresh = Seen {
                generation: one.lease.generation,
                since: now,
                beat: one.beat,
                beat_since: now,
            };
            let seen = match self.seen.get(&one.lease.submission) {
                Some(s) if s.generation != fresh.generation => fresh,
                Some(s) if s.beat != fresh.beat => Seen { since: s.since, ..fresh },
                Some(s) => *s,
                None => fresh,
            };
            if now.duration_since(seen.beat_since) >= self.lease {
                over.push((*one, Expiry::Silent));
            } else if now.duration_since(seen.since) >= self.longest {
                over.push((*one, Expiry::Overdue));
            }
            still.insert(one.lease.submission, seen);
        }
        self.seen = still;
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::WorkerId, store::queue::Lease};

    const LEASE: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_secs(240);

    fn flight(generation: i64, beat: i64) -> InFlight {
        let submission = SubmissionId::from(uuid::Uuid::nil());
        let worker = WorkerId::from(uuid::Uuid::nil());
        InFlight { lease: Lease { submission, worker, generation: Generation(generation) }, beat }
    }

    #[test]
    fn a_silent_holder_is_found_after_exactly_a_lease() {
        let mut observer = Observer::new(LEASE, LONGEST);
        let start = Instant::now();
        assert!(observer.observe(&[flight(1, 5)], start).is_empty());
        let just_before = start + LEASE - Duration::from_millis(1);
        assert!(observer.observe(&[flight(1, 5)], just_before).is_empty());
        let over = observer.observe(&[flight(1, 5)], start + LEASE);
        assert_eq!(over, vec![(flight(1, 5), Expiry::Silent)]);
    }

    #[test]
    fn a_beat_or_a_new_generation_begins_anew() {
        let mut observer = Observer::new(LEASE, LONGEST);
        let start = Instant::now();
        observer.observe(&[flight(1, 5)], start);
        observer.observe(&[flight(1, 6)], start + LEASE / 2);
        assert!(observer.observe(&[flight(1, 6)], start + LEASE).is_empty());
        assert!(observer.observe(&[flight(2, 6)], start + LEASE * 3 / 2).is_empty());
    }

    #[test]
    fn a_live_holder_may_not_grade_for_ever() {
        let mut observer = Observer::new(LEASE, LONGEST);
        let start = Instant::now();
        let mut over = Vec::new();
        for beat in 0..=24 {
            let now = start + Duration::from_secs(10) * u32::try_from(beat).unwrap();
            over = observer.observe(&[flight(1, beat)], now);
        }
        assert_eq!(over, vec![(flight(1, 24), Expiry::Overdue)]);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut observer = Observer::new(LEASE, LONGEST);
        let start = Instant::now();
        observer.observe(&[flight(1, 5)], start);
        observer.observe(&[], start + LEASE / 2);
        assert!(observer.observe(&[flight(1, 5)], start + LEASE).is_empty());
    }
}
