//! A state in a few numbers, the same for states that differ only in which worker is the first and
//! which submission.

use portcall_shared::domain::{
    ids::Generation,
    state::{Graded, Lifecycle, State},
};

use crate::{
    things::{Cause, Doc, End, Entry, Job, Origin, Outside, id},
    world::{TWO, World},
};

/// A state: the submissions, the workers, and whoever steps in from outside.
pub(crate) type Key = [u64; 2 * TWO + 1];

/// What is a worker's place or a submission's, with places changed or not.
#[derive(Clone, Copy)]
struct Places {
    workers: usize,
    submissions: usize,
}

/// The least of the codes that a state has with the places changed or not.
pub(crate) fn key(world: &World) -> Key {
    let all = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let codes = all.map(|(workers, submissions)| Places { workers, submissions }.world(world));
    codes.into_iter().min().unwrap_or_default()
}

/// Numbers put side by side, each with so many values.
#[derive(Default)]
struct Digits(u64);

impl Digits {
    fn add(&mut self, value: usize, of: usize) {
        assert!(value < of, "{value} of {of}");
        self.0 = self.0 * of as u64 + value as u64;
    }

    fn generation(&mut self, generation: Generation) {
        self.add(usize::try_from(generation.0).unwrap_or(usize::MAX), 8);
    }
}

impl Places {
    fn world(self, world: &World) -> Key {
        let mut key = Key::default();
        for n in 0..TWO {
            key[n ^ self.submissions] = self.entry(&world.submissions[n]);
            key[TWO + (n ^ self.workers)] = self.job(&world.workers[n]);
        }
        let mut last = Digits(u64::from(world.left));
        match &world.outside {
            None => last.add(0, 2),
            Some(outside) => {
                last.add(1, 2);
                self.outside(&mut last, outside);
            }
        }
        key[2 * TWO] = last.0;
        key
    }

    fn entry(self, entry: &Entry) -> u64 {
        let mut digits = Digits::default();
        self.doc(&mut digits, &entry.kept);
        self.doc(&mut digits, &entry.primary);
        digits.add(entry.unacknowledged.map_or(0, |cause| 1 + self.cause(cause)), 8);
        match entry.told {
            None => digits.add(0, 2),
            Some(generation) => {
                digits.add(1, 2);
                digits.generation(generation);
            }
        }
        let before = |graded| Graded::ALL.iter().position(|it| *it == graded).unwrap_or(0);
        digits.add(entry.before.map_or(0, |graded| 1 + before(graded)), 4);
        digits.0
    }

    fn doc(self, digits: &mut Digits, doc: &Doc) {
        self.life(digits, &doc.life);
        digits.add(usize::from(doc.beat), 3);
        digits.add(usize::from(doc.judged), 4);
        match doc.verdict {
            None => digits.add(0, 4),
            Some((generation, origin)) => {
                digits.add(1 + origin as usize, 4);
                digits.generation(generation);
            }
        }
    }

    fn life(self, digits: &mut Digits, life: &Lifecycle) {
        let state = match life.state {
            State::Queued => 0,
            State::Passed => 1,
            State::Failed => 2,
            State::Undetermined => 3,
            State::Cancelled => 4,
            State::Grading { worker, .. } => 5 + (usize::from(worker == id(1)) ^ self.workers),
        };
        digits.add(state, 7);
        digits.generation(life.generation);
        digits.add(life.lost as usize, 4);
    }

    fn cause(self, cause: Cause) -> usize {
        match cause {
            Cause::Claim(worker) => worker ^ self.workers,
            Cause::End(worker) => 2 + (worker ^ self.workers),
            Cause::Expiry => 4,
            Cause::Ending => 5,
            Cause::Audited => 6,
        }
    }

    fn job(self, job: &Job) -> u64 {
        let mut digits = Digits::default();
        let mut about = |what, n: usize, generation, end: Option<End>| {
            digits.add(what, 8);
            digits.add(n ^ self.submissions, 2);
            digits.generation(generation);
            digits.add(end.map_or(0, |end| 1 + ending(end)), 8);
        };
        match *job {
            Job::Idle => {}
            Job::Claiming(n) => about(1, n, Generation::ZERO, None),
            Job::Holding(n, generation) => about(2, n, generation, None),
            Job::Ended(n, generation, end) => about(3, n, generation, Some(end)),
            Job::Again(n, generation, end) => about(4, n, generation, Some(end)),
            Job::Ending(n, generation, end, next) => {
                about(5, n, generation, Some(end));
                self.life(&mut digits, &next);
            }
        }
        digits.0
    }

    fn outside(self, digits: &mut Digits, outside: &Outside) {
        digits.add(outside.submission ^ self.submissions, 2);
        // No two states begin with the same letter.
        digits.add(usize::from(outside.state.as_bytes()[0] - b'a'), 26);
        digits.generation(outside.generation);
        digits.add(outside.beat.map_or(0, |beat| 1 + usize::from(beat)), 4);
        self.life(digits, &outside.next);
        digits.add(usize::from(outside.brings == Some(Origin::Regraded)), 2);
        digits.add(self.cause(outside.cause), 8);
    }
}

fn ending(end: End) -> usize {
    match end {
        End::Settle(Graded::Passed) => 0,
        End::Settle(_) => 1,
        End::Release => 2,
        End::HandBack => 3,
        End::GiveUp => 4,
    }
}
