//! What came of a rehearsal: what was sent is held against what the database has, and against the
//! truth. Everything here is computed from values; nothing is asked.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    time::Duration,
};

use portcall_shared::domain::{
    ids::SubmissionId,
    state::{State, Step},
    submission::Submission,
    verdict::Outcome,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    figures::{Crowd, Need, Rate, Spread, ms, tenth},
    fleet::Fleet,
    plan::{ATTACKS, Half, Kind, Truth},
    post::{Answer, Sent},
};

/// How many of a kind are told one by one.
const TOLD: usize = 10;

/// All that a report is made of.
pub(super) struct Facts<'a> {
    pub(super) event: &'a str,
    pub(super) shadow: &'a str,
    pub(super) rate: Rate,
    pub(super) hostile: f64,
    pub(super) sent: &'a [Sent],
    pub(super) submissions: &'a [Submission],
    pub(super) truth: &'a dyn Fn(Kind) -> Truth,
    pub(super) escaped: Vec<String>,
    pub(super) lures: usize,
    pub(super) fleet: &'a Fleet,
    pub(super) busiest: u64,
    pub(super) crowd: Crowd,
}

/// What an organiser wants to know.
pub(super) struct Report {
    event: String,
    shadow: String,
    rate: Rate,
    hostile: f64,
    sent: usize,
    accepted: usize,
    refused: BTreeMap<String, usize>,
    unanswered: usize,
    sent_again: usize,
    /// In the database, though no answer said so.
    silent: usize,
    states: BTreeMap<&'static str, usize>,
    lost: Vec<String>,
    unfinished: usize,
    wrong: Vec<String>,
    escaped: Vec<String>,
    lures: usize,
    attacks: BTreeMap<&'static str, (usize, usize)>,
    repeated: usize,
    per_minute: f64,
    times: Vec<(&'static str, Option<Spread>)>,
    held_ms: u64,
    busiest: u64,
    slots: u64,
    slots_of_a_node: u64,
    crowd: Crowd,
    need: Need,
}

/// One that was taken in, with what became of it.
struct Ended<'a> {
    sent: &'a Sent,
    one: &'a Submission,
}

impl Report {
    pub(super) fn of(facts: Facts<'_>) -> Self {
        let by_id: HashMap<SubmissionId, &Submission> =
            facts.submissions.iter().map(|one| (one.id, one)).collect();
        let (mut refused, mut lost, mut unanswered) = (BTreeMap::new(), Vec::new(), 0);
        let mut acknowledged = HashSet::new();
        let mut ended = Vec::new();
        for sent in facts.sent {
            match &sent.answer {
                Answer::Accepted(id) => {
                    acknowledged.insert(*id);
                    match by_id.get(id) {
                        Some(one) => ended.push(Ended { sent, one }),
                        None => lost.push(format!("{id}: accepted, and not in the database")),
                    }
                }
                Answer::Refused(status, code) => {
                    *refused.entry(format!("{status} {code}")).or_default() += 1;
                }
                Answer::None(_) => unanswered += 1,
            }
        }
        let held_ms = held(&ended);
        let need = facts.crowd.needs(held_ms, facts.fleet.slots_of_a_node());
        let mut report = Self {
            event: facts.event.to_owned(),
            shadow: facts.shadow.to_owned(),
            rate: facts.rate,
            hostile: facts.hostile,
            sent: facts.sent.len(),
            accepted: acknowledged.len(),
            refused,
            unanswered,
            sent_again: facts.sent.iter().filter(|sent| sent.tries > 1).count(),
            silent: facts.submissions.iter().filter(|one| !acknowledged.contains(&one.id)).count(),
            states: BTreeMap::new(),
            lost,
            unfinished: 0,
            wrong: Vec::new(),
            escaped: facts.escaped,
            lures: facts.lures,
            attacks: BTreeMap::new(),
            repeated: facts.submissions.iter().filter(|one| one.attempts.len() > 1).count(),
            per_minute: per_minute(&ended),
            times: times(facts.sent, &ended),
            held_ms,
            busiest: facts.busiest,
            slots: facts.fleet.slots(),
            slots_of_a_node: facts.fleet.slots_of_a_node(),
            crowd: facts.crowd,
            need,
        };
        for one in &ended {
            report.judge(one, facts.truth);
        }
        report
    }

    /// Holds one against the truth.
    fn judge(&mut self, ended: &Ended<'_>, truth: &dyn Fn(Kind) -> Truth) {
        let (one, truth) = (ended.one, truth(ended.sent.kind));
        *self.states.entry(one.life.state.as_str()).or_default() += 1;
        let reason = one.verdict.as_ref().and_then(|verdict| verdict.reason.as_ref());
        let code = reason.map(|reason| reason.code.as_str());
        let holds = match (one.life.state, &one.verdict) {
            (State::Queued | State::Grading { .. }, _) => {
                self.unfinished += 1;
                true
            }
            (_, Some(verdict)) => truth.holds(verdict.outcome, code),
            (_, None) => false,
        };
        if !holds {
            let (state, code) = (one.life.state.as_str(), code.unwrap_or("no reason"));
            let (what, truth) = (what(ended.sent.kind), truth.words());
            self.wrong.push(format!("{}: {what} is {state} ({code}), and {truth}", one.id));
        }
        if let Kind::Hostile(number) = ended.sent.kind
            && let Some(attack) = ATTACKS.get(number)
        {
            let (all, held) = self.attacks.entry(attack.what).or_default();
            *all += 1;
            *held += usize::from(holds);
            if attack.mode == "reach"
                && let Some(reached) = reached(one)
            {
                self.escaped
                    .push(format!("{}: reached {reached} addresses of this machine", one.id));
            }
        }
    }

    /// Whether nothing was lost, nobody got out, and every verdict is right.
    pub(super) fn is_good(&self) -> bool {
        let clean = self.lost.is_empty() && self.escaped.is_empty() && self.wrong.is_empty();
        clean && self.unfinished == 0 && self.unanswered == 0 && self.accepted > 0
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let share = match self.hostile {
            0.0 => String::new(),
            share => format!(", {} % of the second half hostile", tenth(share * 100.0)),
        };
        writeln!(
            text,
            "Rehearsal of {}: {} submissions, {}{share}",
            self.event, self.sent, self.rate
        )?;
        let refused: usize = self.refused.values().sum();
        let (accepted, unanswered) = (self.accepted, self.unanswered);
        writeln!(
            text,
            "\n  accepted         {accepted}, refused {refused}, without an answer {unanswered}"
        )?;
        for (why, count) in &self.refused {
            writeln!(text, "    refused        {count} × {why}{}", advice(why))?;
        }
        if self.sent_again + self.silent > 0 {
            let (again, silent) = (self.sent_again, self.silent);
            writeln!(text, "    sent again     {again}; taken in without an answer: {silent}")?;
        }
        let of = |state| self.states.get(state).copied().unwrap_or(0);
        let (passed, failed, not) = (of("passed"), of("failed"), of("undetermined"));
        writeln!(text, "  verdicts         {passed} passed, {failed} failed, {not} undetermined")?;
        writeln!(text, "  a minute         {} verdicts", tenth(self.per_minute))?;
        writeln!(text, "  lost             {}", self.lost.len())?;
        writeln!(
            text,
            "  escaped          {} (lures at {} addresses, the canary on every node)",
            self.escaped.len(),
            self.lures
        )?;
        writeln!(text, "  wrong verdicts   {}", self.wrong.len())?;
        if self.unfinished > 0 {
            writeln!(text, "  not ended        {}: they still wait (--drain)", self.unfinished)?;
        }
        if self.repeated > 0 {
            writeln!(text, "  graded again     {} after a fault of the platform's", self.repeated)?;
        }
        for line in [&self.lost, &self.escaped, &self.wrong]
            .into_iter()
            .flat_map(|all| all.iter().take(TOLD))
        {
            writeln!(text, "    ! {line}")?;
        }
        for (what, (all, held)) in &self.attacks {
            writeln!(text, "    {what:<24} {held} of {all} as they must")?;
        }
        self.write_times(text)?;
        self.write_need(text)
    }

    fn write_times(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n  {:<34} {:>9} {:>9} {:>9} {:>6}", "", "p50", "p95", "p99", "of")?;
        for (what, spread) in &self.times {
            match spread {
                Some(s) => writeln!(
                    text,
                    "  {what:<34} {:>9} {:>9} {:>9} {:>6}",
                    ms(s.p50),
                    ms(s.p95),
                    ms(s.p99),
                    s.measured
                )?,
                None => writeln!(text, "  {what:<34} {:>9}", "none")?,
            }
        }
        Ok(())
    }

    fn write_need(&self, text: &mut String) -> std::fmt::Result {
        let (crowd, need) = (self.crowd, self.need);
        let (people, minutes) = (crowd.people, tenth(crowd.within.as_secs_f64() / 60.0));
        let (a_minute, held) = (tenth(crowd.per_minute()), ms(self.held_ms));
        writeln!(
            text,
            "\n  {people} people within {minutes} min are {a_minute} a minute; each holds a slot for {held}"
        )?;
        writeln!(
            text,
            "  needs            {} slots ({a_minute} / 60 × {held} / 0.8), {} grader nodes of {} slots",
            need.slots, need.nodes, self.slots_of_a_node
        )?;
        let through = crowd.through(self.held_ms, self.slots).as_secs_f64() / 60.0;
        let (slots, busiest) = (self.slots, self.busiest);
        writeln!(
            text,
            "  there are        {slots} slots, {busiest} busy at the most; alone with the crowd they need {} min",
            tenth(through)
        )?;
        if busiest * 2 < slots {
            writeln!(
                text,
                "                   (more than half were idle: on full nodes a grading may take longer)"
            )?;
        }
        Ok(())
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let times: serde_json::Map<String, Value> = self
            .times
            .iter()
            .map(|(what, spread)| {
                let told = spread.map(|s| {
                    json!({ "p50_ms": s.p50, "p95_ms": s.p95, "p99_ms": s.p99, "max_ms": s.most, "of": s.measured })
                });
                ((*what).to_owned(), json!(told))
            })
            .collect();
        let attacks: serde_json::Map<String, Value> = self
            .attacks
            .iter()
            .map(|(what, (all, held))| {
                ((*what).to_owned(), json!({ "sent": all, "as_they_must": held }))
            })
            .collect();
        json!({
            "event": self.event,
            "shadow": self.shadow,
            "good": self.is_good(),
            "rate_per_minute": self.rate.per_minute(),
            "hostile": self.hostile,
            "sent": self.sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "sent_again": self.sent_again,
            "taken_without_an_answer": self.silent,
            "states": self.states,
            "verdicts_per_minute": self.per_minute,
            "lost": self.lost,
            "unfinished": self.unfinished,
            "escaped": self.escaped,
            "lures": self.lures,
            "wrong": self.wrong,
            "attacks": attacks,
            "graded_again": self.repeated,
            "times": times,
            "held_ms": self.held_ms,
            "slots": { "there": self.slots, "busiest": self.busiest, "of_a_node": self.slots_of_a_node },
            "crowd": { "people": self.crowd.people, "within_s": self.crowd.within.as_secs() },
            "needs": { "slots": self.need.slots, "nodes": self.need.nodes },
        })
    }
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Good => "a good image",
        Kind::Bad => "an image with a mistake",
        Kind::Hostile(number) => ATTACKS.get(number).map_or("an attack", |attack| attack.what),
    }
}

/// What to do about a refusal.
fn advice(why: &str) -> &'static str {
    match why {
        "429 too_many_requests" => {
            " (one address may send so many: --forwarded, or PORTCALL_RATE_PER_ADDRESS)"
        }
        "429 too_many_pending" => " (too many of one participant wait: a slower --rate)",
        _ => "",
    }
}

/// How many addresses the attack that dials this machine says that it reached, if any.
fn reached(one: &Submission) -> Option<u64> {
    let evidence = one.attempts.iter().filter_map(|attempt| attempt.evidence.as_ref());
    let bodies = evidence.flat_map(|e| &e.checks).flat_map(|c| &c.transcripts).map(|t| &t.body);
    bodies
        .filter_map(|body| {
            let digits = body.split_once("open=")?.1;
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        })
        .find(|reached| *reached > 0)
}

/// The verdicts in a minute, while there was something to do: from the first that came in a half to
/// its last verdict.
fn per_minute(ended: &[Ended<'_>]) -> f64 {
    let (mut verdicts, mut busy) = (0_u32, 0.0);
    for half in [Half::Calm, Half::Hostile] {
        let of_half = || ended.iter().filter(move |one| one.sent.half == half);
        let ends = || of_half().filter_map(|one| Some(one.one.verdict.as_ref()?.at));
        let (first, last) = (of_half().map(|one| one.one.created_at).min(), ends().max());
        if let (Some(first), Some(last)) = (first, last) {
            busy += (last - first).as_seconds_f64().max(0.001);
            verdicts += u32::try_from(ends().count()).unwrap_or(u32::MAX);
        }
    }
    if verdicts == 0 { 0.0 } else { f64::from(verdicts) * 60.0 / busy }
}

/// How long a submission holds a slot on average, in milliseconds: all steps of all its attempts. Of
/// the half with hostile ones, where there is one.
fn held(ended: &[Ended<'_>]) -> u64 {
    let of = |half| ended.iter().filter(move |one| one.sent.half == half);
    let half = if of(Half::Hostile).next().is_some() { Half::Hostile } else { Half::Calm };
    let (mut all, mut count) = (0, 0);
    for one in of(half).filter(|one| !one.one.attempts.is_empty()) {
        let steps = one.one.attempts.iter().flat_map(|attempt| &attempt.steps);
        all += steps.filter_map(|step| step.ms).sum::<u64>();
        count += 1;
    }
    all.div_ceil(count.max(1))
}

fn times(sent: &[Sent], ended: &[Ended<'_>]) -> Vec<(&'static str, Option<Spread>)> {
    let mut times = vec![
        ("POST to answer", Spread::of(sent.iter().map(|sent| millis(sent.took)).collect())),
        ("waiting", Spread::of(ended.iter().filter_map(waited).collect())),
    ];
    for step in Step::ALL {
        let of = |one: &Ended<'_>| {
            let steps = &one.one.attempts.last()?.steps;
            steps.iter().find(|time| time.step == step)?.ms
        };
        times.push((step.as_str(), Spread::of(ended.iter().filter_map(of).collect())));
    }
    let harmless = |half| {
        let of = move |one: &&Ended<'_>| {
            one.sent.half == half && !matches!(one.sent.kind, Kind::Hostile(_))
        };
        ended.iter().filter(of)
    };
    times.push(("POST to verdict", Spread::of(ended.iter().filter_map(to_verdict).collect())));
    for (half, verdict, grading) in [
        (Half::Calm, "POST to verdict, calm", "grading, calm"),
        (Half::Hostile, "POST to verdict, beside hostile", "grading, beside hostile"),
    ] {
        times.push((verdict, Spread::of(harmless(half).filter_map(to_verdict).collect())));
        let graded = |one: &Ended<'_>| Some(one.one.verdict.as_ref()?.grading_ms);
        times.push((grading, Spread::of(harmless(half).filter_map(graded).collect())));
    }
    times
}

/// From taken in to the first attempt.
fn waited(ended: &Ended<'_>) -> Option<u64> {
    Some(between(ended.one.created_at, ended.one.attempts.first()?.started_at))
}

/// From when it should have been sent to the verdict: to the answer by our clock, and from taken in to
/// the verdict by the platform's. The moment between the two is counted twice.
fn to_verdict(ended: &Ended<'_>) -> Option<u64> {
    let verdict = ended.one.verdict.as_ref()?;
    Some(millis(ended.sent.took) + between(ended.one.created_at, verdict.at))
}

fn between(from: OffsetDateTime, to: OffsetDateTime) -> u64 {
    u64::try_from((to - from).whole_milliseconds()).unwrap_or(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How it ended, if it has: what a rehearsal waits for.
pub(super) fn is_over(one: &Submission) -> bool {
    let graded = one
        .verdict
        .as_ref()
        .is_some_and(|verdict| matches!(verdict.outcome, Outcome::Passed | Outcome::Failed));
    let cleaned = || {
        let last = one.attempts.last();
        let cleaning = last.and_then(|last| last.steps.iter().find(|s| s.step == Step::Cleaning));
        cleaning.is_none_or(|step| step.ms.is_some())
    };
    match one.life.state {
        State::Queued | State::Grading { .. } => false,
        _ => !graded || cleaned(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
