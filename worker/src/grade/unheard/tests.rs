//! Who is charged for what did not arrive, case by case.

use std::{cell::Cell, future::ready};

use portcall_shared::domain::{
    event_file,
    verdict::{Disposition, Fault, ParticipantCode as Code, ParticipantFault},
};
use rstest::rstest;

use super::*;

const LONG: Option<Unheard> = Some(Unheard::Silence(Duration::from_secs(4)));

/// Two images; every check asks both, or those of `image`.
fn event(image: &str) -> Event {
    let file = format!(
        "slug = \"e\"\ntitle = \"E\"\n[images]\nmax = 2\n\
         [[checks]]\nname = \"config\"\nget = \"/\"\ncontains = \"x\"\nimage = {image}\n"
    );
    event_file::parse(&file).expect("valid")
}

fn judged(code: Code) -> Judgement {
    Judgement { outcome: Err(ParticipantFault::new(code, "why")), checks: Vec::new() }
}

fn seen(presence: Presence, answers: &[Observation]) -> Seen {
    Seen { alias: "app".into(), presence, answers: vec![(0, answers.to_vec())] }
}

fn failed(failure: AskFailure) -> Observation {
    Observation::Failed { id: 1, failure, detail: "detail".into(), ms: 1 }
}

fn answered(status: u16) -> Observation {
    Observation::Answer { id: 1, status, headers: vec![], body: vec![], body_ms: 0, ms: 1 }
}

fn silent() -> Presence {
    Presence::Silent { open: vec![], exposed: vec![], waited_s: 30 }
}

#[rstest]
#[case::slow(&[failed(AskFailure::HeadersTimeout)], Code::AnswerTimeout)]
#[case::slow_body(&[failed(AskFailure::BodyTimeout)], Code::AnswerTimeout)]
#[case::slow_once(&[answered(200), failed(AskFailure::BodyTimeout)], Code::UnstableAnswer)]
#[case::connecting(&[failed(AskFailure::ConnectTimeout)], Code::NotListening)]
#[case::refused(&[failed(AskFailure::ConnectRefused)], Code::NotListening)]
#[case::reset(&[failed(AskFailure::ConnectReset)], Code::NotListening)]
#[case::broken_off(&[failed(AskFailure::Truncated)], Code::AnswerTruncated)]
#[case::never_asked(&[], Code::AnswerTimeout)]
#[tokio::test]
async fn what_a_silence_may_explain_is_charged_only_without_one(
    #[case] answers: &[Observation],
    #[case] code: Code,
) {
    let one = [seen(Presence::Listening, answers)];
    let kept = charged(judged(code), &event("\"any\""), &one, ready(None)).await;
    assert_eq!(kept, Ok(judged(code)), "a slow app is a slow app");
    let excused = charged(judged(code), &event("\"any\""), &one, ready(LONG)).await;
    let fault = excused.expect_err("the platform's");
    assert_eq!(fault.code, PlatformCode::NodeLost);
    assert!(fault.message.contains("4 s"), "{fault:?}");
    // Tried again, as whatever is the platform's.
    assert!(matches!(Fault::from(fault).disposition(1), Disposition::Release { .. }));
    let no_way = ready(Some(Unheard::NoWay));
    let excused = charged(judged(code), &event("\"any\""), &one, no_way).await;
    assert_eq!(excused.expect_err("the platform's").code, PlatformCode::NodeLost);
}

#[rstest]
#[case::silent(silent(), true)]
#[case::exited(Presence::Exited { code: 1 }, false)]
#[case::killed(Presence::Killed { limit_mib: 64 }, false)]
#[case::out_of_memory(Presence::OutOfMemory { limit_mib: 64 }, false)]
#[case::disk(Presence::DiskFull { limit_mib: 64 }, false)]
#[case::not_started(Presence::NotStarted { detail: "no such file".into() }, false)]
#[tokio::test]
async fn what_its_node_tells_of_a_process_is_no_silence(
    #[case] presence: Presence,
    #[case] is_excused: bool,
) {
    let one = [seen(presence, &[failed(AskFailure::Truncated)])];
    let all = charged(judged(Code::NotListening), &event("\"all\""), &one, ready(LONG)).await;
    assert_eq!(all.is_err(), is_excused, "{one:?}");
}

/// Then nobody waits to hear how the node was.
#[rstest]
#[case::wrong(&[answered(500), answered(500)], Code::AnswerStatus)]
#[case::too_large(&[failed(AskFailure::BodyTooLarge)], Code::AnswerTooLarge)]
#[case::no_http(&[failed(AskFailure::NotHttp)], Code::AnswerNotHttp)]
#[case::encoded(&[failed(AskFailure::Encoding)], Code::AnswerEncoding)]
#[tokio::test]
async fn what_arrived_is_charged_whatever_the_node_was_like(
    #[case] answers: &[Observation],
    #[case] code: Code,
) {
    let one = [seen(Presence::Listening, answers)];
    assert_eq!(unasked(judged(code), &event("\"any\""), &one).await, Ok(judged(code)));
}

#[tokio::test]
async fn what_passed_has_passed() {
    let passed = || Judgement { outcome: Ok(()), checks: Vec::new() };
    let both = [
        seen(Presence::Listening, &[answered(200), answered(200)]),
        seen(Presence::Listening, &[failed(AskFailure::HeadersTimeout)]),
    ];
    assert_eq!(unasked(passed(), &event("\"any\""), &both).await, Ok(passed()));
}

/// The one that answered wrongly came furthest and is told of; the other might have passed.
#[tokio::test]
async fn one_image_of_several_is_enough() {
    let lost = seen(Presence::Listening, &[failed(AskFailure::HeadersTimeout)]);
    let wrong = seen(Presence::Listening, &[answered(500), answered(500)]);
    let both = [wrong, lost];
    let verdict = || judged(Code::AnswerStatus);
    assert!(charged(verdict(), &event("\"any\""), &both, ready(LONG)).await.is_err());
    assert!(charged(verdict(), &event("\"any\""), &both, ready(None)).await.is_ok());
    // The control: what no check asks was not lost.
    let unwanted = Seen { answers: Vec::new(), ..both[1].clone() };
    let both = [both[0].clone(), unwanted];
    assert_eq!(unasked(verdict(), &event("0"), &both).await, Ok(verdict()));
}

/// With a silence that would excuse, if anybody asked for it.
async fn unasked(
    judgement: Judgement,
    event: &Event,
    seen: &[Seen],
) -> Result<Judgement, PlatformFault> {
    let asked = Cell::new(false);
    let silence = async {
        asked.set(true);
        LONG
    };
    let outcome = charged(judgement, event, seen, silence).await;
    assert!(!asked.get(), "{seen:?}");
    outcome
}
