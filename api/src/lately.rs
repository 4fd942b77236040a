//! Submissions that somebody asked this process for lately, as they are: what their status is answered from
//! while the store is away.
//!
//! They take at most so much memory; those that nobody asked for for the longest time go first. The change
//! stream keeps them as they are, so that what is remembered is no older than everything else in memory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcall_shared::domain::{ids::SubmissionId, submission::Submission};

/// Most memory that they take, in bytes.
pub const MOST: usize = 64 * 1024 * 1024;
/// What one takes beside its texts, at least.
const LEAST: usize = 2048;

/// The submissions.
#[derive(Debug)]
pub struct Lately {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<SubmissionId, One>,
    /// By when they were asked for, counted.
    order: BTreeMap<u64, SubmissionId>,
    asked: u64,
    bytes: usize,
}

#[derive(Debug)]
struct One {
    submission: Arc<Submission>,
    asked: u64,
    bytes: usize,
}

impl Default for Lately {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Lately {
    /// None yet, in at most so many bytes.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self { kept: Mutex::default(), most }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one that was asked for.
    pub fn asked_for(&self, submission: &Submission) {
        let mut kept = self.kept();
        kept.asked += 1;
        let asked = kept.asked;
        let before =
            kept.by_id.get_mut(&submission.id).map(|one| std::mem::replace(&mut one.asked, asked));
        kept.order.insert(asked, submission.id);
        match before {
            Some(before) => drop(kept.order.remove(&before)),
            None => kept.insert(submission, asked),
        }
        kept.renew(submission);
        kept.shrink(self.most);
    }

    /// Takes in how one is now, if it is kept.
    pub fn changed(&self, submission: &Submission) {
        let mut kept = self.kept();
        kept.renew(submission);
        kept.shrink(self.most);
    }

    /// Forgets one that is older than that: nobody told of what changed.
    pub fn forget_older(&self, id: SubmissionId, revision: i64) {
        let mut kept = self.kept();
        if kept.by_id.get(&id).is_some_and(|one| one.submission.revision < revision)
            && let Some(gone) = kept.by_id.remove(&id)
        {
            kept.order.remove(&gone.asked);
            kept.bytes -= gone.bytes;
        }
    }

    /// How one is, as far as is known here.
    #[must_use]
    pub fn get(&self, id: SubmissionId) -> Option<Arc<Submission>> {
        self.kept().by_id.get(&id).map(|one| Arc::clone(&one.submission))
    }

    /// What all of them take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept().bytes
    }
}

impl Kept {
    fn insert(&mut self, submission: &Submission, asked: u64) {
        let bytes = size(submission);
        self.bytes += bytes;
        let submission = Arc::new(submission.clone());
        self.by_id.insert(submission.id, One { submission, asked, bytes });
    }

    fn renew(&mut self, submission: &Submission) {
        let Some(one) = self.by_id.get_mut(&submission.id) else { return };
        if one.submission.revision < submission.revision {
            let bytes = size(submission);
            self.bytes = self.bytes - one.bytes + bytes;
            (one.submission, one.bytes) = (Arc::new(submission.clone()), bytes);
        }
    }

    fn shrink(&mut self, most: usize) {
        while self.bytes > most
            && let Some((_, id)) = self.order.pop_first()
        {
            if let Some(one) = self.by_id.remove(&id) {
                self.bytes -= one.bytes;
            }
        }
    }
}

/// About what one takes: what was seen of its containers is nearly all that can be large.
fn size(submission: &Submission) -> usize {
    let reason = |message: &str| 2 * message.len();
    let attempts = submission.attempts.iter().map(|attempt| {
        let mut written = Counter(0);
        if serde_json::to_writer(&mut written, &attempt.evidence).is_err() {
            written.0 = LEAST;
        }
        let why = attempt.reason.as_ref().map_or(0, |why| reason(&why.message));
        LEAST / 4 + written.0 + why
    });
    let answers =
        submission.answers.iter().map(|(name, answer)| name.len() + answer.as_str().len());
    LEAST + attempts.sum::<usize>() + answers.sum::<usize>()
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::{
        place::Place,
        state::Lifecycle,
        submission::{Marks, Participant},
    };
    use time::OffsetDateTime;

    use super::*;

    fn submission(revision: i64) -> Submission {
        let at = OffsetDateTime::UNIX_EPOCH;
        Submission {
            id: SubmissionId::new(),
            event: "e".parse().unwrap(),
            event_version: 1,
            participant: Participant { name: "G".parse().unwrap(), handle: None, contact: None },
            place: Place { label: "Here".parse().unwrap(), point: None, country: None },
            images: Vec::new(),
            answers: BTreeMap::new(),
            life: Lifecycle::submitted(at),
            created_at: at,
            updated_at: at,
            revision,
            order: at,
            delay: None,
            attempts: Vec::new(),
            verdict: None,
            marks: Marks::default(),
        }
    }

    #[test]
    fn it_takes_no_more_memory_than_it_may() {
        let lately = Lately::of(3 * LEAST);
        let all: Vec<_> = (0..4).map(|_| submission(1)).collect();
        let kept = || all.iter().map(|one| lately.get(one.id).is_some()).collect::<Vec<_>>();
        all[..3].iter().for_each(|one| lately.asked_for(one));
        assert_eq!((lately.bytes(), kept()), (3 * LEAST, vec![true, true, true, false]));
        // One that is asked for again stays, and the one that nobody asked for goes.
        lately.asked_for(&all[0]);
        lately.asked_for(&all[3]);
        assert_eq!((lately.bytes(), kept()), (3 * LEAST, vec![true, false, true, true]));
        // One that grows beyond all that there is takes the others along.
        let mut grown = all[3].clone();
        grown.revision = 2;
        let answer = "x".repeat(200).parse().unwrap();
        grown.answers.insert("why".to_owned(), answer);
        lately.changed(&grown);
        assert_eq!(kept(), [true, false, false, true]);
        assert!(lately.bytes() > 2 * LEAST && lately.bytes() <= 3 * LEAST);
        let none = Lately::of(LEAST - 1);
        none.asked_for(&all[0]);
        assert_eq!((none.bytes(), none.get(all[0].id)), (0, None));
        assert_eq!(none.kept().order.len(), 0);
    }

    #[test]
    fn it_follows_what_is_newer_and_only_of_what_is_kept() {
        let lately = Lately::default();
        let (mut one, other) = (submission(2), submission(2));
        lately.asked_for(&one);
        lately.changed(&other);
        assert_eq!(lately.get(other.id), None);
        let of = |revision| Submission { revision, ..one.clone() };
        let (older, newer) = (of(1), of(3));
        lately.changed(&older);
        assert_eq!(lately.get(one.id).unwrap().revision, 2);
        lately.changed(&newer);
        assert_eq!(lately.get(one.id).unwrap().revision, 3);
        lately.forget_older(one.id, 3);
        assert!(lately.get(one.id).is_some());
        lately.forget_older(one.id, 4);
        assert_eq!((lately.get(one.id), lately.bytes()), (None, 0));
        one.revision = 4;
        lately.asked_for(&one);
        assert_eq!((lately.get(one.id).unwrap().revision, lately.kept().order.len()), (4, 1));
    }
}
