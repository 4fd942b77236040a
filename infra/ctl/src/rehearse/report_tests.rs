//! Reports of rehearsals that never were: what is counted, and what makes one bad.

use std::collections::BTreeMap;

use portcall_shared::domain::{
    evidence::{CheckEvidence, Evidence, Transcript},
    ids::{Generation, WorkerId},
    state::Step,
    submission::{Attempt, StepTime},
    verdict::{Owner, Reason, Verdict},
};

use super::*;
use crate::rehearse::{images::tests::somebody, plan::ATTACKS};

const WAITED: i64 = 100;
const HELD: u64 = 1000;

/// One that ended so, `created` milliseconds after the beginning.
fn ended(state: State, code: Option<&str>, created: i64) -> Submission {
    let mut one = somebody("Ann");
    let at = |ms: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(ms);
    one.created_at = at(created);
    one.life.state = state;
    let step = |step, ms| StepTime { step, at: at(created + WAITED), ms: Some(ms) };
    one.attempts = vec![Attempt {
        number: 1,
        worker: WorkerId::new(),
        worker_name: "w".to_owned(),
        node: None,
        generation: Generation(1),
        started_at: at(created + WAITED),
        ended_at: None,
        steps: vec![step(Step::Probing, HELD - 200), step(Step::Cleaning, 200)],
        outcome: None,
        reason: None,
        evidence: None,
    }];
    let outcome = match state {
        State::Passed => Outcome::Passed,
        State::Failed => Outcome::Failed,
        _ => Outcome::Undetermined,
    };
    let reason = code.map(|code| Reason {
        code: code.to_owned(),
        owner: Owner::Participant,
        message: String::new(),
        hint: None,
        limit: None,
    });
    let verdict = Verdict { outcome, reason, at: at(created + 900), attempt: 1, grading_ms: 800 };
    one.verdict = state.is_final().then_some(verdict);
    one
}

fn sent(half: Half, kind: Kind, one: &Submission) -> Sent {
    let answer = Answer::Accepted(one.id);
    Sent { half, kind, took: Duration::from_millis(50), tries: 1, answer }
}

fn truth(kind: Kind) -> Truth {
    match kind {
        Kind::Good => Truth::Passes,
        Kind::Bad => Truth::Fails(&["rule_failed:"]),
        Kind::Hostile(number) => {
            ATTACKS[number].truth(portcall_shared::domain::event::Profile::Ordinary)
        }
    }
}

fn report(sent: &[Sent], submissions: &[Submission], escaped: &[&str]) -> Report {
    let fleet = Fleet { nodes: BTreeMap::from([("n1".to_owned(), 2)]) };
    Report::of(Facts {
        event: "e",
        shadow: "e-rehearsal-1",
        rate: "60/min".parse().unwrap(),
        hostile: 0.2,
        sent,
        submissions,
        truth: &truth,
        escaped: escaped.iter().map(|&one| one.to_owned()).collect(),
        lures: 1,
        fleet: &fleet,
        busiest: 2,
        crowd: Crowd { people: 1180, within: Duration::from_secs(600) },
    })
}

/// All as it must be: two good, one bad, one hostile.
fn good() -> (Vec<Sent>, Vec<Submission>) {
    let all = vec![
        ended(State::Passed, None, 0),
        ended(State::Failed, Some("rule_failed:config"), 1000),
        ended(State::Passed, None, 10_000),
        ended(State::Failed, Some("oom_killed"), 11_000),
    ];
    let kinds = [
        (Half::Calm, Kind::Good),
        (Half::Calm, Kind::Bad),
        (Half::Hostile, Kind::Good),
        (Half::Hostile, Kind::Hostile(1)),
    ];
    let sent = kinds.iter().zip(&all).map(|((half, kind), one)| sent(*half, *kind, one)).collect();
    (sent, all)
}

#[test]
fn a_rehearsal_that_went_well_is_told_with_its_numbers() {
    let (sent, all) = good();
    let report = report(&sent, &all, &[]);
    assert!(report.is_good());
    let told = report.json();
    assert_eq!((&told["accepted"], &told["states"]["passed"]), (&json!(4), &json!(2)));
    // Each half lasts 1.9 s from the first that came to the last verdict, with two verdicts.
    let per_minute = told["verdicts_per_minute"].as_f64().unwrap();
    assert!((per_minute - 4.0 * 60.0 / 3.8).abs() < 0.01, "{per_minute}");
    let time = |name: &str| told["times"][name]["p50_ms"].as_u64();
    assert_eq!((time("waiting"), time("probing")), (Some(100), Some(800)));
    assert_eq!((time("POST to answer"), time("POST to verdict")), (Some(50), Some(950)));
    assert_eq!(time("pulling"), None);
    assert_eq!(told["times"]["POST to verdict, beside hostile"]["of"], 1, "{told:#}");
    // 1180 in 10 min, each for 1 s, four fifths busy: 2.46 slots.
    assert_eq!(
        (&told["held_ms"], &told["needs"]),
        (&json!(1000), &json!({ "slots": 3, "nodes": 2 }))
    );
    let text = report.text();
    for line in [
        "Rehearsal of e: 4 submissions, 60 a minute, 20 % of the second half hostile",
        "accepted         4, refused 0, without an answer 0",
        "lost             0",
        "wrong verdicts   0",
        "takes all memory         1 of 1 as they must",
        "needs            3 slots (118 / 60 × 1000 ms / 0.8), 2 grader nodes of 2 slots",
        "there are        2 slots, 2 busy at the most; alone with the crowd they need 9.8 min",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[test]
fn what_was_accepted_and_is_not_there_is_lost() {
    let (sent, mut all) = good();
    let gone = all.remove(0);
    let report = report(&sent, &all, &[]);
    assert!(!report.is_good());
    assert_eq!(report.lost, [format!("{}: accepted, and not in the database", gone.id)]);
    assert!(report.text().contains("lost             1\n"), "{}", report.text());
}

#[test]
fn a_verdict_that_is_not_the_truth_is_wrong() {
    for (state, code, said) in [
        (State::Failed, Some("not_listening"), "is failed (not_listening), and passes"),
        (State::Undetermined, Some("node_lost"), "is undetermined (node_lost), and passes"),
        (State::Cancelled, None, "is cancelled (no reason), and passes"),
    ] {
        let (mut sent, mut all) = good();
        all[0] = ended(state, code, 0);
        sent[0].answer = Answer::Accepted(all[0].id);
        let report = report(&sent, &all, &[]);
        assert!(!report.is_good() && report.text().contains(said), "{}", report.text());
    }
    // A hostile one that fails for another reason is wrong too.
    let (mut sent, mut all) = good();
    all[3] = ended(State::Failed, Some("exited"), 11_000);
    sent[3].answer = Answer::Accepted(all[3].id);
    assert_eq!(report(&sent, &all, &[]).wrong.len(), 1);
}

#[test]
fn what_has_not_ended_is_neither_lost_nor_well() {
    let (mut sent, mut all) = good();
    all[0] = ended(State::Queued, None, 0);
    sent[0].answer = Answer::Accepted(all[0].id);
    let report = report(&sent, &all, &[]);
    assert!(!report.is_good() && report.lost.is_empty() && report.wrong.is_empty());
    assert!(report.text().contains("not ended        1"), "{}", report.text());
}

#[test]
fn whoever_got_out_is_told() {
    let (sent, all) = good();
    assert!(!report(&sent, &all, &["n1: the canary got out: mount DONE"]).is_good());

    let reach = |opened: &str| {
        let (mut sent, mut all) = good();
        let body = format!("{{\"name\":\"\",\"outcome\":\"open={opened}\"}}");
        let transcript = Transcript { body, ..Transcript::default() };
        let check = CheckEvidence { transcripts: vec![transcript], ..CheckEvidence::default() };
        all[3].attempts[0].evidence = Some(Evidence { checks: vec![check], ..Evidence::default() });
        sent[3].kind = Kind::Hostile(0);
        report(&sent, &all, &[])
    };
    assert_eq!(ATTACKS[0].mode, "reach");
    assert!(reach("0").is_good());
    let escaped = reach("2");
    assert!(
        !escaped.is_good() && escaped.text().contains("reached 2 addresses"),
        "{}",
        escaped.text()
    );
}

#[test]
fn refusals_are_counted_with_what_to_do() {
    let (mut sent, all) = good();
    let mut more = sent[0].clone();
    more.answer = Answer::Refused(429, "too_many_requests".to_owned());
    sent.push(more.clone());
    let refused = report(&sent, &all, &[]);
    assert!(refused.is_good(), "a refusal is an answer");
    assert!(
        refused.text().contains("1 × 429 too_many_requests (one address"),
        "{}",
        refused.text()
    );
    more.answer = Answer::None("connection refused".to_owned());
    sent.push(more.clone());
    assert!(!report(&sent, &all, &[]).is_good(), "no answer is none");
    more.answer = Answer::Refused(422, "invalid".to_owned());
    assert!(!report(&[more], &[], &[]).is_good(), "nothing was tried");
}

#[test]
fn only_what_is_cleaned_is_over() {
    let mut one = ended(State::Passed, None, 0);
    assert!(is_over(&one));
    one.attempts[0].steps[1].ms = None;
    assert!(!is_over(&one), "it is being cleaned");
    one.attempts[0].steps.pop();
    assert!(is_over(&one));
    assert!(!is_over(&ended(State::Queued, None, 0)));
    assert!(is_over(&ended(State::Undetermined, None, 0)));
}
