//! From a named answer to a reason: a server plays it, a prober asks, the judge judges, all with
//! the parts that the worker itself uses.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use portcall_hostile::answers;
use portcall_shared::domain::{
    event::Event,
    event_file,
    ids::SubmissionId,
    place::Place,
    state::Lifecycle,
    submission::{Marks, Participant, Submission, SubmittedImage},
    verdict::Fault,
};
use portcall_worker::{
    judge::{self, Judgement, Presence, Seen},
    probe::{
        address::AddressSet,
        asking::{self, TIMES},
        client::ProberClient,
        serve::serve,
        wire::{AskLimits, Observation},
    },
};
use time::OffsetDateTime;
use tokio::time::Instant;

/// How long a port that hangs up may be getting ready in these tests.
const READY: Duration = Duration::from_millis(300);

/// A server that plays a mode, on loopback, for as long as the test runs.
pub(crate) fn played(mode: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mode = mode.to_owned();
    thread::spawn(move || answers::serve(&mode, listener).unwrap());
    address
}

/// A prober in this process, and the worker's end of it.
pub(crate) fn prober(allowed: fn(IpAddr) -> bool, within: &str) -> ProberClient {
    let (worker, prober) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(worker);
    let (requests, observations) = tokio::io::split(prober);
    let within: AddressSet = within.parse().unwrap();
    tokio::spawn(serve(requests, observations, within));
    ProberClient::new(reader, writer, allowed)
}

/// The event that the expectations of the rows are for.
pub(crate) fn event() -> Event {
    let check = answers::CHECK;
    event_file::parse(&format!("slug = \"e\"\ntitle = \"E\"\n{check}")).expect("valid")
}

pub(crate) fn submission() -> Submission {
    let now = OffsetDateTime::UNIX_EPOCH;
    Submission {
        id: SubmissionId::new(),
        event: "e".parse().unwrap(),
        event_version: 1,
        participant: Participant { name: "Gordon".parse().unwrap(), handle: None, contact: None },
        place: Place { label: "X".parse().unwrap(), point: None, country: None },
        images: vec![SubmittedImage { image: "a/b".parse().unwrap(), pinned: None }],
        answers: [].into(),
        life: Lifecycle::submitted(now),
        created_at: now,
        updated_at: now,
        revision: 1,
        order: now,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    }
}

/// What an image that answers like this comes to.
pub(crate) async fn judged(mode: &str) -> Judgement {
    judged_at(played(mode), AskLimits::default(), TIMES).await
}

/// The same under other limits, or asked another number of times.
pub(crate) async fn judged_at(address: SocketAddr, limits: AskLimits, times: usize) -> Judgement {
    let (event, submission) = (event(), submission());
    let mut question = asking::question(&event.checks[0], &event, &submission, "app", address);
    assert_eq!(question.limits, AskLimits::default(), "the promise to participants");
    question.limits = limits;
    let client = prober(|address| address.is_loopback(), "127.0.0.0/8");
    let answers = asking::ask(&client, &question, times, Instant::now() + READY).await;
    judge::judge(&event, &submission, &[seen(answers.unwrap())])
}

pub(crate) fn seen(answers: Vec<Observation>) -> Seen {
    Seen { alias: "app".into(), presence: Presence::Listening, answers: vec![(0, answers)] }
}

/// `passed` or the code of the reason, as the page shows it.
pub(crate) fn code(judgement: &Judgement) -> String {
    match &judgement.outcome {
        Ok(()) => "passed".into(),
        Err(fault) => Fault::from(fault.clone()).reason().code,
    }
}
