//! From a check of an event to observations: which question it is, and asking it often enough.
//!
//! A right answer may be luck, and an image may tell the first question from the second. So every
//! question is asked [`TIMES`] times on separate connections, and every answer must hold.

use std::{net::SocketAddr, time::Duration};

use portcall_shared::domain::{
    event::{self, Check, Event},
    submission::Submission,
};
use tokio::time::Instant;

use super::{
    client::{ProberClient, ProberError},
    wire::{AskFailure, AskLimits, Method, Observation, Question},
};

/// Each question is asked so often, on separate connections.
pub const TIMES: usize = 2;

/// Between two tries at a port that hung up.
const AGAIN: Duration = Duration::from_millis(100);

/// What a check asks an image, under the limits of its event. The client gives it an id.
#[must_use]
pub fn question(
    check: &Check,
    event: &Event,
    submission: &Submission,
    alias: &str,
    address: SocketAddr,
) -> Question {
    let limits = &event.limits;
    let total_ms = crate::lease::millis(limits.request);
    let default = AskLimits::default();
    let body = check.body.as_ref().map(|body| body.fill(submission));
    let headers = body.iter().map(|_| ("content-type".into(), "application/json".into()));
    Question {
        id: 0,
        address,
        host: alias.to_owned(),
        method: match check.method {
            event::Method::Get => Method::Get,
            event::Method::Post => Method::Post,
            event::Method::Head => Method::Head,
        },
        path: check.path.fill_encoded(submission),
        headers: headers.collect(),
        body,
        limits: AskLimits {
            headers_ms: default.headers_ms.max(total_ms * 3 / 5).min(total_ms),
            total_ms,
            body_bytes: limits.body_kib as usize * 1024,
            ..default
        },
    }
}

/// Asks so many times, or until there is no answer, which is not worth its time twice. A
/// connection that is refused or reset is tried again until `ready`, as long as the image may
/// still be getting ready.
///
/// # Errors
/// When the prober fails, which says nothing about the image.
pub async fn ask(
    prober: &ProberClient,
    question: &Question,
    times: usize,
    ready: Instant,
) -> Result<Vec<Observation>, ProberError> {
    let mut answers = Vec::with_capacity(times);
    while answers.len() < times {
        let answer = prober.ask(question.clone()).await?;
        let Observation::Failed { failure, .. } = &answer else {
            answers.push(answer);
            continue;
        };
        let hung_up = matches!(failure, AskFailure::ConnectRefused | AskFailure::ConnectReset);
        if hung_up && Instant::now() < ready {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        answers.push(answer);
        break;
    }
    Ok(answers)
}
