//! What goes over the wire, as snapshots: they are the contract with the page and with clients.

#![expect(clippy::unwrap_used, reason = "a test fails by it, in its helpers too")]

mod admin;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcall_api::{
    map::{
        course::Course,
        grid::Bbox,
        index::{MapIndex, MapSummary},
    },
    views::{
        event::{EventView, EventsView},
        image::ImageNameView,
        map::{PinsView, RecentView},
        replay::ReplayView,
        stats::StatsView,
        submission::{AcceptedView, EtaView, QueueView, SubmissionView},
        submit::NewSubmissionBody,
    },
};
use portcall_hostile::answers::strings::{self, Hostile};
use portcall_shared::{
    domain::{
        event::Event,
        event_file,
        evidence::{CheckEvidence, ContainerEvidence, EXCERPT, Evidence, Failure, Transcript},
        ids::{Generation, SubmissionId, WorkerId},
        place::{LatLng, Place},
        state::{Lifecycle, State, Step},
        submission::{
            Attempt, AttemptOutcome, Delay, Marks, Participant, Pinned, StepTime, Submission,
            SubmittedImage,
        },
        text::{defused, defused_line, is_hidden},
        verdict::{
            Fault, Limit, Outcome, ParticipantCode, ParticipantFault, RegistryCode, RegistryFault,
            Verdict,
        },
    },
    store::{
        doors::Closing,
        events::EventVersion,
        pins::Pin,
        stats::{Pace, Quantiles, Stats, StepTimes},
    },
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-03-20 12:00:00.123456 UTC);

const EVENT: &str = r#"
slug = "birthday-3"
title = "Docker Birthday #3"
opens = 2026-03-20T00:00:00Z
profile = "ordinary"

[images]
min = 1
max = 4
aliases = ["vote", "result"]
registries = ["docker.io", "127.0.0.1:5000"]

[[answers]]
name = "vote"
label = "Your vote"
one_of = ["Cats", "Dogs"]

[[answers]]
name = "motto"
max_length = 10

[[services]]
alias = "redis"
image = "redis:7-alpine"

[[checks]]
name = "config"
image = "any"
get = "/getconfig"
status = 200
json = [
  { path = "$.name", equals = "{participant.name}" },
  { path = "$.vote", equals = "{answers.vote}" },
]
"#;

fn event() -> EventVersion {
    let event: Event = event_file::parse(EVENT).unwrap();
    EventVersion {
        version: 3,
        applied_at: NOW,
        event: Arc::new(event),
        source: EVENT.to_owned(),
        schema: 1,
        shadow_of: None,
    }
}

fn id(last: u128) -> Uuid {
    Uuid::from_u128(0x0190_a6f0_0000_7000_8000_0000_0000_0000 + last)
}

fn queued() -> Submission {
    let digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
    let pinned = Pinned { digest, platform: "linux/amd64".into(), size: 1_234_567, layers: 3 };
    Submission {
        id: SubmissionId::from(id(1)),
        event: "birthday-3".parse().unwrap(),
        event_version: 3,
        participant: Participant {
            name: "Gordon".parse().unwrap(),
            handle: Some("@docker".parse().unwrap()),
            contact: Some("gordon@example.test".parse().unwrap()),
        },
        place: Place {
            label: "San Francisco, CA, USA".parse().unwrap(),
            point: Some(LatLng::new(37.77, -122.42).unwrap()),
            country: Some("US".to_owned()),
        },
        images: vec![
            SubmittedImage { image: "u/vote:1".parse().unwrap(), pinned: Some(pinned) },
            SubmittedImage { image: "u/result".parse().unwrap(), pinned: None },
        ],
        answers: BTreeMap::from([("vote".to_owned(), "Cats".parse().unwrap())]),
        life: Lifecycle::submitted(NOW),
        created_at: NOW,
        updated_at: NOW,
        revision: 1,
        order: NOW,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    }
}

fn failed() -> Submission {
    let fault = ParticipantFault {
        rule: Some("config".to_owned()),
        ..ParticipantFault::new(ParticipantCode::RuleFailed, "The answer is not what it should be.")
            .hint("Look at the JSON that your app answers.")
            .limit(Limit::new("answers", 1, "answer"))
    };
    let reason = Fault::from(fault).reason();
    let transcript = Transcript {
        request: "GET /getconfig HTTP/1.1".into(),
        address: "vote:80".into(),
        status: Some(200),
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"name":"Gordon","vote":"Dogs"}"#.into(),
        body_bytes: 31,
        truncated: false,
        ms: 3,
        error: None,
    };
    let failure = Failure {
        path: "$.vote".into(),
        expected: "Cats".into(),
        got: "Dogs".into(),
        message: "$.vote is \"Dogs\", expected \"Cats\"".into(),
    };
    let check = CheckEvidence {
        name: "config".into(),
        image: 0,
        passed: false,
        transcripts: vec![transcript],
        failures: vec![failure],
        skipped: None,
    };
    let container = ContainerEvidence {
        image: Some(0),
        alias: "vote".into(),
        exit_code: None,
        oom_killed: false,
        log: "listening on :80\n".into(),
    };
    let attempt = Attempt {
        number: 1,
        worker: WorkerId::from(id(9)),
        worker_name: "worker-1".into(),
        node: Some("node-1".into()),
        generation: Generation(1),
        started_at: NOW,
        ended_at: Some(NOW + Duration::from_millis(1500)),
        steps: vec![
            StepTime { step: Step::Resolving, at: NOW, ms: Some(20) },
            StepTime { step: Step::Pulling, at: NOW, ms: None },
        ],
        outcome: Some(AttemptOutcome::Failed),
        reason: Some(reason.clone()),
        evidence: Some(Evidence {
            checks: vec![check],
            containers: vec![container],
            reproduce: vec!["docker run --rm -p 8080:80 u/vote:1".into()],
        }),
    };
    let mut submission = queued();
    submission.life.state = State::Failed;
    submission.life.deadline = None;
    submission.revision = 9;
    submission.attempts = vec![attempt];
    submission.verdict = Some(Verdict {
        outcome: Outcome::Failed,
        reason: Some(reason),
        at: NOW + Duration::from_millis(1500),
        attempt: 1,
        grading_ms: 1500,
    });
    submission
}

#[test]
fn a_submission_that_was_just_accepted() {
    let event = event();
    let queue =
        QueueView { at_least: false, position: 3, eta: Some(EtaView { p50_s: 12, p90_s: 40 }) };
    let url = "https://portcall.example";
    let submission = SubmissionView::of(&queued(), Some(&event.event), Some(queue), url);
    let accepted = AcceptedView { submission, secret: Some("s3cr3t".to_owned()), note: None };
    let text = serde_json::to_string(&accepted).unwrap();
    assert!(!text.contains("example.test"), "the contact is never public");
    insta::assert_json_snapshot!(accepted);
}

#[test]
fn a_submission_that_failed() {
    let event = event();
    let url = "https://portcall.example";
    insta::assert_json_snapshot!(SubmissionView::of(&failed(), Some(&event.event), None, url));
}

/// Strings that mean harm, on every field of a submission that a stranger's words reach: what a
/// view gives is on one line of the stream, and nothing in it is hidden from the reader.
#[test]
fn what_strangers_wrote_is_plain_in_every_view() {
    let event = event();
    for Hostile { what, text } in strings::ALL {
        let mut submission = failed();
        let fault = ParticipantFault::new(ParticipantCode::Exited, *text).hint(*text);
        let reason = Fault::from(fault).reason();
        let line = defused_line(text, 200);
        let attempt = &mut submission.attempts[0];
        attempt.reason = Some(reason.clone());
        let evidence = attempt.evidence.as_mut().unwrap();
        evidence.containers[0].log = defused(text.as_bytes(), EXCERPT);
        let check = &mut evidence.checks[0];
        check.failures[0].got.clone_from(&line);
        check.transcripts[0].headers = vec![(line.clone(), line)];
        check.transcripts[0].body = defused(text.as_bytes(), EXCERPT);
        submission.verdict.as_mut().unwrap().reason = Some(reason.clone());
        submission.delay = Some(Delay { reason, next_try: NOW });
        let view = SubmissionView::of(&submission, Some(&event.event), None, "http://x");
        let sent = serde_json::to_string(&view).unwrap();
        let joiner = |c| c == '\u{200d}';
        assert!(!sent.chars().any(|c| is_hidden(c) && !joiner(c)), "{what}: {sent:?}");
        let read: serde_json::Value = serde_json::from_str(&sent).unwrap();
        let log = read["attempts"][0]["evidence"]["containers"][0]["log"].as_str().unwrap();
        assert_eq!(log, defused(text.as_bytes(), EXCERPT), "{what}: as it is stored");
    }
}

#[test]
fn a_submission_that_is_delayed_or_graded() {
    let event = event();
    let mut submission = queued();
    let fault = RegistryFault {
        code: RegistryCode::RegistryLimited,
        message: "docker.io limits how often it may be asked".into(),
        retry_after: None,
    };
    let reason = Fault::from(fault).reason();
    submission.delay = Some(Delay { reason, next_try: NOW + Duration::from_secs(300) });
    let view = |s: &Submission| SubmissionView::of(s, Some(&event.event), None, "http://x");
    insta::assert_json_snapshot!(view(&submission).delayed);
    submission.life.state = State::Grading { worker: WorkerId::from(id(9)), step: Step::Pulling };
    assert_eq!((view(&submission).state, view(&submission).step), ("grading", Some("pulling")));
}

#[test]
fn an_event_with_its_rules() {
    insta::assert_json_snapshot!(EventView::of(&event(), None, NOW));
}

#[test]
fn events_are_listed_open_ones_first() {
    let version = |slug: &str, times: &str| {
        let source = format!("slug = \"{slug}\"\ntitle = \"{slug}\"\n{times}\n{}", &checks());
        let event = Arc::new(event_file::parse(&source).unwrap());
        EventVersion { version: 1, applied_at: NOW, event, source, schema: 1, shadow_of: None }
    };
    let events = [
        version("closed", "opens = 2026-03-01T00:00:00Z\ncloses = 2026-03-10T00:00:00Z"),
        version("new", "opens = 2026-03-20T00:00:00Z"),
        version("old", "opens = 2026-03-02T00:00:00Z"),
        version("soon", "opens = 2026-04-01T00:00:00Z"),
    ];
    let slugs = |view: &EventsView| {
        let all = view.events.iter().map(|e| e.slug.clone());
        all.collect::<Vec<String>>()
    };
    let view = EventsView::of(&events, &BTreeMap::new(), NOW);
    assert_eq!(slugs(&view), ["new", "old", "soon", "closed"]);
    assert_eq!(view.events.iter().filter(|e| e.open).count(), 2);
    // One that its organisers closed is no longer among the open ones.
    let closing = Closing { at: NOW, by: "ann".into() };
    let closings = BTreeMap::from([("new".to_owned(), closing.clone())]);
    let view = EventsView::of(&events, &closings, NOW);
    assert_eq!(slugs(&view), ["old", "soon", "new", "closed"]);
    assert!(!view.events[2].open && view.events[2].closed_at.is_some());
    let shown = EventView::of(&events[2], Some(&closing), NOW).summary;
    assert!(!shown.open && shown.closed_at.is_some(), "{shown:?}");
}

fn checks() -> String {
    EVENT
        .split_once("[[checks]]")
        .map(|(_, checks)| format!("[[checks]]{checks}"))
        .unwrap()
        .replace("  { path = \"$.vote\", equals = \"{answers.vote}\" },\n", "")
}

#[test]
fn the_numbers_of_an_event() {
    let stats = Stats {
        states: BTreeMap::from([("passed".to_owned(), 5), ("queued".to_owned(), 2)]),
        delayed: 1,
        reasons: vec![("not_listening".to_owned(), 3)],
        hours: vec![(datetime!(2026-03-20 11:00 UTC), 7, 5)],
        participants: 6,
        oldest: Some(NOW - Duration::from_secs(42)),
        countries: vec![("US".to_owned(), 4), ("FR".to_owned(), 1)],
    };
    let map = MapSummary { pins: 4, places: 3, countries: vec![("US".to_owned(), 4)] };
    let quantiles = Quantiles { p50: 100, p90: 900 };
    let pace =
        Pace { workers: 1, slots: 2, grading: None, steps: vec![(Step::Pulling, quantiles)] };
    let times = [
        StepTimes { step: Step::Resolving, measured: 0, took: None },
        StepTimes { step: Step::Pulling, measured: 5, took: Some(quantiles) },
    ];
    insta::assert_json_snapshot!(StatsView::of("birthday-3", &stats, map, &pace, &times, NOW));
}

fn pin(n: u128, name: &str, lat: f64, lng: f64) -> Pin {
    Pin {
        submission: SubmissionId::from(id(n)),
        event: "birthday-3".parse().unwrap(),
        participant: format!("name:{name}"),
        name: name.to_owned(),
        handle: (n == 1).then(|| "@docker".to_owned()),
        place: "A place".to_owned(),
        country: None,
        point: LatLng::new(lat, lng).unwrap(),
        at: NOW,
    }
}

#[test]
fn cells_and_pins_of_the_map() {
    let index = MapIndex::default();
    index.replace(vec![
        pin(1, "Gordon", -33.87, 151.21),
        pin(2, "Ada", 48.86, 2.35),
        pin(3, "Grace", 48.86, 2.35),
        pin(4, "Edsger", 37.77, -122.42),
        pin(5, "Barbara", 37.34, -121.89),
    ]);
    let view = index.view(&"birthday-3".parse().unwrap(), &Bbox::WORLD, 2);
    insta::assert_json_snapshot!(PinsView::of(&view));
}

/// Three pins, the second a minute after the first and the third an hour.
fn along_the_time() -> MapIndex {
    let index = MapIndex::default();
    let later = |pin: Pin, minutes| Pin { at: NOW + time::Duration::minutes(minutes), ..pin };
    index.replace(vec![
        pin(1, "Gordon", -33.87, 151.21),
        later(pin(2, "Ada", 48.86, 2.35), 1),
        later(pin(3, "Grace", 48.86, 2.35), 60),
    ]);
    index
}

#[test]
fn the_newest_pins() {
    let newest = along_the_time().recent(&"birthday-3".parse().unwrap(), 2);
    insta::assert_json_snapshot!(RecentView::of(&newest));
}

#[test]
fn a_replay_of_the_map() {
    let sketch = along_the_time().sketch(&"birthday-3".parse().unwrap());
    let replay = Course::of(&sketch).replay(240);
    insta::assert_json_snapshot!(ReplayView::of("birthday-3".to_owned(), 240, replay));
}

#[test]
fn names_of_images() {
    let long = "x".repeat(513);
    let names = ["nginx", "127.0.0.1:5000/u/app:2", "evil.test/x", "Nope", "", &long];
    let views = names.map(|name| ImageNameView::of(name.to_owned(), &event().event));
    insta::assert_json_snapshot!(views);
    // As a submission with them is answered.
    let body = serde_json::json!({
        "participant": { "name": "Gordon" }, "place": { "label": "x" },
        "images": ["nginx", "evil.test/x", "Nope"],
        "answers": { "vote": "Cats", "motto": "m" },
    });
    let body: NewSubmissionBody = serde_json::from_value(body).unwrap();
    let refused = body.wish(&event().event).unwrap_err();
    let told = |n: usize| {
        let problem = views[n].problem.clone().unwrap();
        (problem.code, problem.detail, problem.hint)
    };
    let refused: Vec<_> = refused
        .into_iter()
        .map(|e| (e.code.into_owned(), e.detail, e.help.and_then(|help| help.hint)))
        .collect();
    assert_eq!(refused, [told(2), told(3)]);
}

fn wish_errors(body: &str) -> Vec<(String, String)> {
    let body: NewSubmissionBody = serde_json::from_str(body).unwrap();
    let errors = body.wish(&event().event).unwrap_err();
    errors.into_iter().map(|e| (e.pointer, e.code.into_owned())).collect()
}

#[test]
fn what_the_events_rules_refuse_is_told_all_at_once() {
    let errors = wish_errors(
        r#"{"participant":{"name":" Gordon","handle":""},
            "place":{"label":"x","lat":91,"lng":"2"},
            "images":["u/app","Nope","evil.test/x","a","b"],
            "answers":{"vote":"Birds","motto":"far too long a motto","extra":"1"}}"#,
    );
    let errors: Vec<(&str, &str)> =
        errors.iter().map(|(pointer, code)| (pointer.as_str(), code.as_str())).collect();
    assert_eq!(
        errors,
        [
            ("/participant/name", "surrounding_space"),
            ("/participant/handle", "empty"),
            ("/place/lat", "coordinate_out_of_range"),
            ("/images", "too_many_images"),
            ("/images/1", "image_name_invalid"),
            ("/images/2", "image_host_denied"),
            ("/answers/extra", "answer_unknown"),
            ("/answers/vote", "answer_not_allowed"),
            ("/answers/motto", "too_long"),
        ]
    );
}

#[test]
fn missing_answers_and_images_are_told() {
    let errors = wish_errors(
        r#"{"participant":{"name":"Gordon"},"place":{"label":"x","lat":1,"lng":"2"},"images":[]}"#,
    );
    let errors: Vec<(&str, &str)> =
        errors.iter().map(|(pointer, code)| (pointer.as_str(), code.as_str())).collect();
    assert_eq!(
        errors,
        [
            ("/place/lng", "coordinate_out_of_range"),
            ("/images", "too_few_images"),
            ("/answers/vote", "required"),
            ("/answers/motto", "required"),
        ]
    );
}

#[test]
fn the_2016_body_is_todays_in_other_words() {
    use portcall_api::views::competition::CompetitionBody;
    let bodies = [
        r#"{"name":"Gordon","twitter":"@docker","location":"San Francisco, CA, USA",
            "repo":["example/votingapp_voting-app","example/votingapp_result-app"],"vote":"Cats"}"#,
        r#"{"name":" Gordon ","twitter":"@docker","location":"San Francisco, CA, USA","more":1,
            "repo":["example/votingapp_voting-app","example/votingapp_result-app",""],"vote":["Cats"]}"#,
    ];
    for body in bodies {
        let body: CompetitionBody = serde_json::from_str(body).unwrap();
        let today = body.today(&event().event);
        let names: Vec<&str> = today.images.iter().map(String::as_str).collect();
        assert_eq!(names, ["example/votingapp_voting-app", "example/votingapp_result-app"]);
        assert_eq!(today.participant.0.name, "Gordon");
        assert_eq!(today.participant.0.handle.as_deref(), Some("@docker"));
        assert_eq!(today.answers.get("vote").map(String::as_str), Some("Cats"));
    }
}
