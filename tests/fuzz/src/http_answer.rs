//! Answers on port 80 of strangers' containers, as they come out of a connection.

use portcall_worker::probe::{
    answer::{AnswerReader, observe},
    wire::{AskLimits, DETAIL_CHARS, LINE_BYTES, Method, Observation},
};

use crate::property::is_a_sentence;

/// Any bytes become one observation, of the same outcome in whatever pieces they come; what is kept of
/// them is within the limits, and what is reported fits a line to the worker.
pub fn check(input: &[u8]) {
    let [kind, cuts, bytes @ ..] = input else { return };
    let method = [Method::Get, Method::Post, Method::Head][usize::from(kind % 3)];
    let limits = match kind / 3 % 3 {
        0 => AskLimits::default(),
        1 => AskLimits { head_bytes: 96, header_fields: 3, body_bytes: 24, ..AskLimits::default() },
        _ => AskLimits { body_bytes: usize::MAX, head_bytes: usize::MAX, ..AskLimits::default() },
    };
    let size = usize::from(*cuts) + 1;
    let whole = observe(method, limits, [bytes]);
    for size in [size, 1] {
        let pieces = observe(method, limits, bytes.chunks(size));
        assert_eq!(outcome(&whole), outcome(&pieces), "in pieces of {size} bytes");
    }
    reported(&whole, limits.capped());
    kept(AnswerReader::new(method, limits), bytes, size, limits.capped());
}

/// What is judged by: a sentence may name what had come by then.
fn outcome(observation: &Observation) -> Observation {
    let mut outcome = observation.clone();
    if let Observation::Failed { detail, .. } = &mut outcome {
        detail.clear();
    }
    outcome
}

fn reported(observation: &Observation, limits: AskLimits) {
    match observation {
        Observation::Answer { status, headers, body, .. } => {
            assert!((200..=599).contains(status) && body.len() <= limits.body_bytes);
            assert!(headers.len() <= limits.header_fields);
            // A byte that is not UTF-8 becomes three.
            let length: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(length <= 3 * limits.head_bytes);
            let plain = |name: &str| name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            assert!(headers.iter().all(|(name, _)| plain(name) && *name == name.to_lowercase()));
        }
        Observation::Failed { detail, .. } => {
            is_a_sentence(detail);
            assert!(detail.chars().count() <= DETAIL_CHARS);
        }
        other => panic!("neither an answer nor a failure: {other:?}"),
    }
    let line = serde_json::to_string(observation).expect("a line");
    assert!(line.len() < LINE_BYTES && !line.contains('\n'));
    assert_eq!(serde_json::from_str::<Observation>(&line).as_ref().ok(), Some(observation));
}

fn kept(mut reader: AnswerReader, bytes: &[u8], size: usize, limits: AskLimits) {
    for piece in bytes.chunks(size) {
        if reader.push(piece).is_err() {
            return;
        }
        assert!(reader.held() <= limits.head_bytes + limits.body_bytes + size);
    }
}
