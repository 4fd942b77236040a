//! The world of the model: what there is, and every step that can be taken in it.

use std::fmt;

use portcall_shared::domain::{
    ids::Generation,
    state::{Event, Lifecycle, MAX_AGE, Pass},
};
use time::{Duration, OffsetDateTime};

use crate::things::{Cause, Doc, End, Entry, Job, Origin, Outside, graded, id};

/// Workers, and submissions.
pub(crate) const TWO: usize = 2;
/// Renewals of one lease.
const BEATS: u8 = 1;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// What the writes name in their filters, and the claim does; without one of these, something breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) settle_names_generation: bool,
    pub(crate) expiry_names_beat: bool,
    pub(crate) claim_raises_generation: bool,
    pub(crate) acts_name_state: bool,
    pub(crate) answers_wait_for_majority: bool,
    /// How often each submission is claimed at most.
    pub(crate) claims: usize,
    /// How often altogether a worker crashes, an answer is lost, a primary fails or somebody steps in.
    pub(crate) misfortunes: u8,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            settle_names_generation: true,
            expiry_names_beat: true,
            claim_raises_generation: true,
            acts_name_state: true,
            answers_wait_for_majority: true,
            claims: 2,
            misfortunes: 1,
        }
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) submissions: [Entry; TWO],
    pub(crate) workers: [Job; TWO],
    pub(crate) outside: Option<Outside>,
    /// How many misfortunes are left.
    pub(crate) left: u8,
}

/// One step, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(&'static str, Option<usize>, usize);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, worker, submission) = self;
        match worker {
            Some(worker) => write!(f, "worker {worker}: {what} submission {submission}"),
            None => write!(f, "{what} submission {submission}"),
        }
    }
}

type Steps = Vec<(Step, Result<World, &'static str>)>;

impl World {
    /// Two fresh submissions, and two idle workers.
    pub(crate) fn begin(rules: Rules) -> Self {
        let life = Lifecycle::submitted(NOW);
        let fresh = Doc { life, beat: 0, judged: 0, verdict: None };
        let entry =
            Entry { kept: fresh, primary: fresh, unacknowledged: None, told: None, before: None };
        let (submissions, workers) = ([entry; TWO], [Job::Idle; TWO]);
        Self { submissions, workers, outside: None, left: rules.misfortunes }
    }

    /// Every step that can be taken, and where it leads, or what is wrong there. Between a write and
    /// its acknowledgement nothing else is tried when no misfortune is left: all that could happen then
    /// is read what was there before, and that can be read before.
    pub(crate) fn steps(&self, rules: Rules) -> Steps {
        let mut steps = Vec::new();
        if self.left == 0
            && let Some(n) = self.submissions.iter().position(|it| it.unacknowledged.is_some())
        {
            self.steps_of_store(n, &mut steps);
            return steps;
        }
        for n in 0..TWO {
            for worker in 0..TWO {
                self.steps_of_worker(worker, n, rules, &mut steps);
            }
            self.steps_of_store(n, &mut steps);
            self.steps_of_outside(n, rules, &mut steps);
        }
        steps
    }

    fn with<T>(
        &self,
        change: impl FnOnce(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Self, &'static str> {
        let mut next = self.clone();
        change(&mut next)?;
        Ok(next)
    }

    fn unlucky(&self) -> Self {
        Self { left: self.left - 1, ..self.clone() }
    }

    fn steps_of_worker(&self, worker: usize, n: usize, rules: Rules, steps: &mut Steps) {
        let entry = &self.submissions[n];
        let free = entry.unacknowledged.is_none();
        let mut step = |what, next| steps.push((Step(what, Some(worker), n), next));
        match self.workers[worker] {
            Job::Idle if free && entry.may_be_claimed(rules.claims) => {
                step("claims", self.with(|w| w.claim(worker, n, rules)));
            }
            Job::Holding(of, generation) if of == n => {
                if free && entry.primary.beat < BEATS {
                    step("renews", self.with(|w| w.renew(worker, n, generation)));
                }
                for end in End::of(generation) {
                    step("is about to end", self.with(|w| w.read(worker, n, generation, end)));
                }
            }
            Job::Again(of, generation, end) if of == n => {
                step("tries again to end", self.with(|w| w.read(worker, n, generation, end)));
            }
            Job::Ending(of, generation, end, next) if of == n && free => {
                let ended = self.with(|w| w.end(worker, n, generation, end, next, rules));
                step("ends", ended);
            }
            _ => {}
        }
        let about = match self.workers[worker] {
            Job::Idle => None,
            Job::Claiming(n) | Job::Holding(n, _) | Job::Ending(n, ..) => Some(n),
            Job::Ended(n, ..) | Job::Again(n, ..) => Some(n),
        };
        if about == Some(n) && self.left > 0 {
            step(
                "crashes over",
                self.unlucky().with(|w| {
                    w.workers[worker] = Job::Idle;
                    Ok(())
                }),
            );
        }
    }

    fn claim(&mut self, worker: usize, n: usize, rules: Rules) -> Result<(), &'static str> {
        let entry = &mut self.submissions[n];
        let doc = &mut entry.primary;
        let claimed = doc.life.apply(Event::Claim { worker: id(worker) }, NOW);
        let mut claimed = claimed.map_err(|_| "what is queued cannot be claimed")?;
        if !rules.claim_raises_generation {
            claimed.generation = doc.life.generation;
        }
        *doc = Doc { life: claimed, beat: 0, ..*doc };
        entry.unacknowledged = Some(Cause::Claim(worker));
        self.workers[worker] = Job::Claiming(n);
        if !rules.answers_wait_for_majority {
            self.tell_claimed(worker, n)?;
        }
        Ok(())
    }

    /// The worker hears that it has the lease.
    fn tell_claimed(&mut self, worker: usize, n: usize) -> Result<(), &'static str> {
        let entry = &mut self.submissions[n];
        let generation = entry.primary.life.generation;
        if entry.told.replace(generation) >= Some(generation) {
            return Err("I5: two claims were answered with one generation");
        }
        self.workers[worker] = Job::Holding(n, generation);
        Ok(())
    }

    fn renew(&mut self, worker: usize, n: usize, of: Generation) -> Result<(), &'static str> {
        let entry = &mut self.submissions[n];
        match entry.primary.holder() {
            Some(holder) if holder == (id(worker), of) => {
                // One that is taken back again is as one that was not made.
                entry.primary.beat += 1;
                entry.kept.beat += 1;
            }
            // It finds out that the lease is lost.
            _ => self.workers[worker] = Job::Idle,
        }
        Ok(())
    }

    /// Reads the document before its lease is ended, and lets the lifecycle decide.
    fn read(
        &mut self,
        worker: usize,
        n: usize,
        of: Generation,
        end: End,
    ) -> Result<(), &'static str> {
        let kept = &self.submissions[n].kept;
        self.workers[worker] = match kept.life.apply(end.event(of), NOW) {
            Ok(next) => Job::Ending(n, of, end, next),
            // Its own earlier write, seen again, or somebody else's: nothing is left to do.
            Err(_) => Job::Idle,
        };
        Ok(())
    }

    fn end(
        &mut self,
        worker: usize,
        n: usize,
        of: Generation,
        end: End,
        next: Lifecycle,
        rules: Rules,
    ) -> Result<(), &'static str> {
        let entry = &mut self.submissions[n];
        let named = !rules.settle_names_generation || entry.primary.life.generation == of;
        match entry.primary.holder() {
            Some(holder) if named => {
                if holder != (id(worker), of) {
                    return Err("I4: a verdict was written under somebody else's lease");
                }
                entry.primary.life = next;
                if let Some(origin) = end.verdict() {
                    entry.primary.judge(of, origin);
                }
                entry.unacknowledged = Some(Cause::End(worker));
                self.workers[worker] = Job::Ended(n, of, end);
            }
            _ => self.workers[worker] = Job::Again(n, of, end),
        }
        Ok(())
    }

    fn steps_of_store(&self, n: usize, steps: &mut Steps) {
        let Some(cause) = self.submissions[n].unacknowledged else { return };
        let mut step = |what, next| steps.push((Step(what, None, n), next));
        step("the majority has", self.with(|w| w.acknowledge(n, cause, Heard::Yes)));
        if self.left == 0 {
            return;
        }
        let unlucky = self.unlucky();
        if matches!(cause, Cause::End(_)) {
            let next = unlucky.with(|w| w.acknowledge(n, cause, Heard::No));
            step("the majority has, and the answer is lost, of", next);
        }
        step(
            "a failover takes back the write of",
            unlucky.with(|w| {
                w.submissions[n].primary = w.submissions[n].kept;
                w.submissions[n].unacknowledged = None;
                for job in &mut w.workers {
                    *job = match *job {
                        Job::Claiming(of) if of == n => Job::Idle,
                        Job::Ended(of, generation, end) if of == n => {
                            Job::Again(n, generation, end)
                        }
                        other => other,
                    };
                }
                Ok(())
            }),
        );
    }

    fn acknowledge(&mut self, n: usize, cause: Cause, heard: Heard) -> Result<(), &'static str> {
        let entry = &mut self.submissions[n];
        let (before, after) = (entry.kept, entry.primary);
        entry.kept = after;
        entry.unacknowledged = None;
        let changed = before.life.state != after.life.state;
        if before.life.state.is_final() && changed && cause != Cause::Audited {
            return Err("I3: what was final changed without an act");
        }
        if after.life.generation < before.life.generation {
            return Err("I5: a generation went back");
        }
        after.check()?;
        match cause {
            Cause::Claim(worker) if self.workers[worker] == Job::Claiming(n) => {
                self.tell_claimed(worker, n)
            }
            Cause::End(worker) => {
                if let Job::Ended(of, generation, end) = self.workers[worker]
                    && of == n
                {
                    self.workers[worker] = match heard {
                        Heard::Yes => Job::Idle,
                        Heard::No => Job::Again(n, generation, end),
                    };
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn steps_of_outside(&self, n: usize, rules: Rules, steps: &mut Steps) {
        let entry = &self.submissions[n];
        let mut step = |what, next| steps.push((Step(what, None, n), next));
        match self.outside {
            Some(outside) if outside.submission == n && entry.unacknowledged.is_none() => {
                step(
                    "what somebody read and changes is written to",
                    self.with(|w| w.step_in(outside, rules)),
                );
            }
            Some(_) => {}
            None => self.readings(n, &mut step),
        }
    }

    /// Who reads a document to change it from outside.
    fn readings(&self, n: usize, step: &mut impl FnMut(&'static str, Result<Self, &'static str>)) {
        let entry = &self.submissions[n];
        if let Some((_, generation)) = entry.kept.holder() {
            let event = Event::LeaseExpired { generation };
            if let Some(next) = self.planned(n, event, None, Cause::Expiry, NOW) {
                step("an observer has seen the beat of", Ok(next));
            }
        }
        if self.left == 0 {
            return;
        }
        let late = NOW + MAX_AGE + Duration::SECOND;
        let pass = |pass| Event::Regrade { pass };
        let regraded = Some(Origin::Regraded);
        let mut acts = vec![
            ("somebody cancels", Event::Cancel, None, Cause::Ending, NOW),
            ("the sweep finds too old", Event::Overdue, None, Cause::Ending, late),
            ("an operator queues again", Event::Requeue, None, Cause::Audited, NOW),
            ("a re-grade passes", pass(Pass::Yes), regraded, Cause::Audited, NOW),
            ("a re-grade fails", pass(Pass::No), regraded, Cause::Audited, NOW),
        ];
        if let Some(to) = entry.before {
            let restore = Event::Restore { to };
            acts.push(("a re-grade is undone of", restore, None, Cause::Audited, NOW));
        }
        for (what, event, brings, cause, now) in acts {
            if let Some(next) = self.unlucky().planned(n, event, brings, cause, now) {
                step(what, Ok(next));
            }
        }
    }

    fn planned(
        &self,
        n: usize,
        event: Event,
        brings: Option<Origin>,
        cause: Cause,
        now: OffsetDateTime,
    ) -> Option<Self> {
        let read = self.submissions[n].kept;
        let next = read.life.apply(event, now).ok()?;
        let beat = (cause == Cause::Expiry).then_some(read.beat);
        let (state, generation) = (read.life.state.as_str(), read.life.generation);
        let outside = Outside { submission: n, state, generation, beat, next, brings, cause };
        Some(Self { outside: Some(outside), ..self.clone() })
    }

    /// Whoever read a document from outside writes it.
    fn step_in(&mut self, outside: Outside, rules: Rules) -> Result<(), &'static str> {
        self.outside = None;
        let entry = &mut self.submissions[outside.submission];
        let doc = &mut entry.primary;
        let same_state = doc.life.state.as_str() == outside.state;
        let same_beat = outside.beat.is_none_or(|beat| beat == doc.beat);
        let named = doc.life.generation == outside.generation
            && (same_state || !rules.acts_name_state)
            && (same_beat || !rules.expiry_names_beat);
        if !named {
            return Ok(());
        }
        if !same_beat {
            return Err("I4: a lease ended that had been renewed");
        }
        if let Some(origin) = outside.brings {
            entry.before = graded(doc.life.state);
            doc.judge(outside.next.generation, origin);
        }
        doc.life = outside.next;
        entry.unacknowledged = Some(outside.cause);
        Ok(())
    }
}

/// Whether a worker gets the answer.
#[derive(Clone, Copy)]
enum Heard {
    Yes,
    No,
}
