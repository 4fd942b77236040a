//! The line of those that wait, in memory: one for all who ask for their place in it.
//!
//! It is read from the store when somebody asks and what is there is a second old, so by nobody while
//! nobody asks, and once a second however many do. While it is read again nobody waits for that: they
//! are answered from what there is, unless that is older than [`BEARABLE`]. In between it follows the change stream, so that
//! who comes right after another is not given the same place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portcall_shared::{
    domain::{ids::SubmissionId, state::State, submission::Submission},
    store::{
        Store, StoreError,
        line::{Line, Turn},
    },
};
use time::OffsetDateTime;

/// How long the line stays good.
const GOOD: Duration = Duration::from_secs(1);
/// How old it may be for those who ask while it is read again.
const BEARABLE: Duration = Duration::from_secs(2);

/// The line, shared by all who ask. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    line: Arc<Mutex<Waiting>>,
    /// Held by whoever reads it.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// When it was read.
    read: Option<Instant>,
    /// In order; the first of them, if there are more.
    ready: Vec<Turn>,
    more: bool,
    running: HashMap<SubmissionId, OffsetDateTime>,
    /// When those began that are being graded; made anew when they change.
    begun: Option<Arc<[OffsetDateTime]>>,
}

/// Who has their turn before one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many wait before it.
    pub ahead: Ahead,
    /// When those began that are being graded now.
    pub begun: Arc<[OffsetDateTime]>,
}

/// How many wait before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// So many.
    Exactly(u64),
    /// At least so many: further than that nobody counts.
    AtLeast(u64),
}

impl Queue {
    /// Where one stands that waits for its turn.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn place(&self, store: &Store, turn: Turn) -> Result<Place, StoreError> {
        match self.age() {
            Some(age) if age < GOOD => {}
            Some(age) if age < BEARABLE => self.read_beside(store),
            _ => {
                let _reading = self.reading.lock().await;
                self.read_again(store).await?;
            }
        }
        Ok(self.line().place(turn))
    }

    /// Has it read again, unless it is being read.
    fn read_beside(&self, store: &Store) {
        let Ok(reading) = Arc::clone(&self.reading).try_lock_owned() else { return };
        let (queue, store) = (self.clone(), store.clone());
        tokio::spawn(async move {
            if let Err(error) = queue.read_again(&store).await {
                tracing::debug!(%error, "cannot read the line");
            }
            drop(reading);
        });
    }

    /// Reads it, unless somebody just has.
    async fn read_again(&self, store: &Store) -> Result<(), StoreError> {
        if self.age().is_some_and(|age| age < GOOD) {
            return Ok(());
        }
        let line = store.line().await?;
        metrics::counter!("portcall_queue_reads_total").increment(1);
        *self.line() = Waiting::from(line);
        Ok(())
    }

    fn age(&self) -> Option<Duration> {
        self.line().read.map(|read| read.elapsed())
    }

    /// Takes in what a submission is now. What this misses, or takes in too early, is right again
    /// with the next reading.
    pub fn saw(&self, submission: &Submission) {
        self.line().saw(submission);
    }

    fn line(&self) -> MutexGuard<'_, Waiting> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Line> for Waiting {
    fn from(line: Line) -> Self {
        let Line { ready, more, running } = line;
        let (read, running) = (Some(Instant::now()), running.into_iter().collect());
        Self { read, ready, more, running, begun: None }
    }
}

impl Waiting {
    fn place(&mut self, turn: Turn) -> Place {
        let ahead = match self.ready.binary_search(&turn) {
            Ok(at) => Ahead::Exactly(at as u64),
            Err(at) if at == self.ready.len() && self.more => Ahead::AtLeast(at as u64),
            Err(at) => Ahead::Exactly(at as u64),
        };
        let running = &self.running;
        let begun = self.begun.get_or_insert_with(|| running.values().copied().collect());
        Place { ahead, begun: Arc::clone(begun) }
    }

    fn saw(&mut self, submission: &Submission) {
        let turn = Turn::of(submission);
        match (Turn::awaited(submission), self.ready.binary_search(&turn)) {
            // Beyond the last that is counted nobody knows who else is there.
            (Some(_), Err(at)) if at < self.ready.len() || !self.more => {
                self.ready.insert(at, turn);
            }
            (None, Ok(at)) => drop(self.ready.remove(at)),
            (Some(_), _) | (None, Err(_)) => {}
        }
        let begun = match submission.life.state {
            State::Grading { .. } => submission.attempts.last().map(|last| last.started_at),
            _ => None,
        };
        let before = match begun {
            Some(at) => self.running.insert(submission.id, at),
            None => self.running.remove(&submission.id),
        };
        if before != begun {
            self.begun = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-03-20 12:00 UTC);

    fn turn(order: i64) -> Turn {
        Turn { order, id: SubmissionId::new() }
    }

    fn line(ready: &[Turn], more: bool) -> Waiting {
        let running = vec![(SubmissionId::new(), START)];
        Waiting::from(Line { ready: ready.to_vec(), more, running })
    }

    #[test]
    fn a_place_is_what_stands_before_it() {
        let turns = [turn(1), turn(5), turn(5), turn(9)];
        let mut waiting = line(&turns, false);
        let mut ahead = |turn| waiting.place(turn).ahead;
        for (n, turn) in turns.into_iter().enumerate() {
            assert_eq!(ahead(turn), Ahead::Exactly(n as u64));
        }
        assert_eq!(ahead(turn(0)), Ahead::Exactly(0), "not in the line yet");
        assert_eq!(ahead(turn(10)), Ahead::Exactly(4));
        assert_eq!(*waiting.place(turns[0]).begun, [START]);
    }

    #[test]
    fn beyond_what_is_counted_it_is_more_than_that() {
        let turns = [turn(1), turn(5)];
        let mut waiting = line(&turns, true);
        assert_eq!(waiting.place(turns[1]).ahead, Ahead::Exactly(1));
        assert_eq!(waiting.place(turn(3)).ahead, Ahead::Exactly(1));
        assert_eq!(waiting.place(turn(6)).ahead, Ahead::AtLeast(2));
    }
}
