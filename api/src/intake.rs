//! Taking a submission in: the story of a POST, from a body that can be read to a stored
//! submission. Both contracts, today's and that of 2016, come here.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcall_shared::{
    domain::{
        event::Door,
        ids::{EventSlug, SubmissionId},
        place::Place,
        state::Lifecycle,
        submission::{Marks, Submission, SubmittedImage},
    },
    gazetteer::{self, Found, Located},
    store::{
        events::EventVersion,
        rehearsals,
        submissions::{Before, Idempotency, NewSubmission, Taken},
    },
    telemetry::traces,
};
use rand::RngCore as _;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::Span;

use crate::{
    admission,
    problem::ApiError,
    refusals,
    state::Shared,
    views::submit::{NewSubmissionBody, Wish},
};

/// The share of the budget that is kept for storing what was admitted.
const KEPT_FOR_STORING: u32 = 8;
/// How far from a place that a label stands for, in degrees, its country is still believed.
const SAME_COUNTRY: f64 = 5.0;

/// What came in.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// To which event.
    pub event: &'a EventSlug,
    /// The body.
    pub body: &'a NewSubmissionBody,
    /// The key under which it may have come before.
    pub idempotency: Option<Idempotency>,
    /// What to do if the same was sent before.
    pub same: Same,
}

/// What to do with a submission of which the same was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// Show the earlier one.
    Show,
    /// Grade it again.
    Again,
}

/// Where what is answered comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was taken in just now. With it goes the participant's secret.
    New {
        /// The secret.
        secret: String,
    },
    /// It came before under the same key.
    Replayed,
    /// It is an earlier one that is the same.
    Earlier,
}

/// What became of it.
#[derive(Debug)]
pub struct TakenIn {
    /// The submission.
    pub submission: Submission,
    /// The version of the event that it is graded by.
    pub event: Option<EventVersion>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Checks, admits and stores a submission; or finds that it has been.
///
/// # Errors
/// Why it is not taken in.
pub async fn take_in(app: &Shared, incoming: Incoming<'_>) -> Result<TakenIn, ApiError> {
    let until =
        Instant::now() + app.settings.admission_budget * (KEPT_FOR_STORING - 1) / KEPT_FOR_STORING;
    let result = story(app, incoming, until).await;
    let outcome = match &result {
        Ok(TakenIn { origin: Origin::Replayed, .. }) => "replayed",
        Ok(TakenIn { origin: Origin::Earlier, .. }) => "duplicate",
        Ok(taken) if taken.submission.images.iter().all(|i| i.pinned.is_some()) => "accepted",
        Ok(_) => "accepted_unpinned",
        Err(error) if error.status().is_server_error() => "error",
        Err(ApiError::TooManyPending) => "too_many_pending",
        Err(ApiError::TooManyRequests(_)) => "too_many_requests",
        Err(ApiError::NotYetOpen(_) | ApiError::Closed(_) | ApiError::ClosedByOrganisers(_)) => {
            "not_open"
        }
        Err(_) => "refused",
    };
    metrics::counter!("portcall_admissions_total", "outcome" => outcome).increment(1);
    result
}

async fn story(app: &Shared, incoming: Incoming<'_>, until: Instant) -> Result<TakenIn, ApiError> {
    // What came before is told again whatever stands at the door now.
    let (replayed, door) = tokio::join!(replayed(app, &incoming), app.door(incoming.event));
    if let Some(taken) = replayed? {
        return told_again(app, taken).await;
    }
    let (event, closing) = door?;
    if let Some(closing) = closing {
        return Err(ApiError::ClosedByOrganisers(closing.at));
    }
    let now = OffsetDateTime::now_utc();
    match event.event.door(now) {
        Door::Open => {}
        Door::NotYet(opens) => return Err(ApiError::NotYetOpen(opens)),
        Door::Closed(closed) => return Err(ApiError::Closed(closed)),
    }
    let mut wish = incoming.body.wish(&event.event).map_err(ApiError::Invalid)?;
    let participant = wish.participant.key();
    // Looked at before registries are asked; only what is taken in counts.
    app.rates.may_submit(incoming.event, &participant)?;
    let images = std::mem::take(&mut wish.images);
    let admitted = admission::pin(&app.registry, &event.event, images, until).await;
    let images = admitted.map_err(ApiError::Invalid)?;
    refusals::check(app, &images).await?;
    let submission = submission(wish, &event, images);
    let before = match incoming.same {
        Same::Show => app.store.before(&submission).await?,
        Same::Again => Before::default(),
    };
    if let Some(earlier) = app.store.same_as(&before).await? {
        return shown(app, earlier, &participant, incoming.idempotency).await;
    }
    let secret = fresh_secret();
    let idempotency = incoming.idempotency;
    let new =
        NewSubmission { submission, secret: secret.clone(), idempotency, schema: event.schema };
    match app.store.take_after(new, before).await? {
        Taken::Stored(submission) => {
            app.numbers.saw(&submission);
            app.lately.asked_for(&submission);
            app.rates.submitted(&submission.event, &participant);
            tracing::info!(
                submission.id = %submission.id,
                event.slug = %submission.event,
                event.version = submission.event_version,
                images = submission.images.len(),
                "taken in"
            );
            let (origin, event) = (Origin::New { secret }, Some(event));
            Ok(TakenIn { submission: *submission, event, origin })
        }
        other => told_again(app, other).await,
    }
}

/// What came before under the same key.
async fn replayed(app: &Shared, incoming: &Incoming<'_>) -> Result<Option<Taken>, ApiError> {
    // A participant that is not acceptable is told so later, with everything else that is not.
    match (&incoming.idempotency, incoming.body.participant()) {
        (Some(idempotency), Ok(participant)) => {
            Ok(app.store.replay(incoming.event, &participant.key(), idempotency).await?)
        }
        _ => Ok(None),
    }
}

/// What was found of the same. If it is what came under the very same key a moment ago, this is its
/// replay.
async fn shown(
    app: &Shared,
    earlier: Submission,
    participant: &str,
    idempotency: Option<Idempotency>,
) -> Result<TakenIn, ApiError> {
    if let Some(idempotency) = idempotency
        && let Some(taken) = app.store.replay(&earlier.event, participant, &idempotency).await?
    {
        return told_again(app, taken).await;
    }
    let event = app.event_version(&earlier.event, earlier.event_version).await?;
    Ok(TakenIn { submission: earlier, event, origin: Origin::Earlier })
}

/// What is answered where nothing new was stored.
async fn told_again(app: &Shared, taken: Taken) -> Result<TakenIn, ApiError> {
    match taken {
        Taken::Stored(submission) | Taken::Replayed(submission) => {
            let version = submission.event_version;
            let event = app.event_version(&submission.event, version).await?;
            Ok(TakenIn { submission: *submission, event, origin: Origin::Replayed })
        }
        Taken::KeyReused => Err(ApiError::KeyReused),
        Taken::TooManyPending => Err(ApiError::TooManyPending),
    }
}

fn submission(wish: Wish, event: &EventVersion, images: Vec<SubmittedImage>) -> Submission {
    let now = OffsetDateTime::now_utc();
    Submission {
        id: SubmissionId::new(),
        event: event.event.slug.clone(),
        event_version: event.version,
        place: place(&wish),
        participant: wish.participant,
        images,
        answers: wish.answers,
        life: Lifecycle::submitted(now),
        created_at: now,
        updated_at: now,
        revision: 1,
        order: rehearsals::turn(event, now),
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks { trace: traces::traceparent(&Span::current()), ..Marks::default() },
    }
}

/// Where a label without a point stands: at the likeliest of the places that it may mean. A wish
/// with a point stands there, and gets the country of its label if that is near.
fn place(wish: &Wish) -> Place {
    let known = match gazetteer::locate(wish.label.as_str()) {
        Located::One(found) => Some(found),
        Located::Many(found) => found.into_iter().next(),
        Located::None => None,
    };
    let near = |found: &Found| match wish.point {
        None => true,
        Some(point) => {
            let across = (point.lng() - found.lng).abs();
            let across = across.min(360.0 - across);
            (point.lat() - found.lat).abs() < SAME_COUNTRY && across < SAME_COUNTRY
        }
    };
    let known = known.filter(near);
    let point =
        |found: &Found| portcall_shared::domain::place::LatLng::new(found.lat, found.lng).ok();
    Place {
        label: wish.label.clone(),
        point: wish.point.or_else(|| known.as_ref().and_then(point)),
        country: known.map(|found| found.country.to_owned()),
    }
}

/// 32 random bytes, base64url.
fn fresh_secret() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::{place::LatLng, submission::Participant};

    use super::*;

    fn wish(label: &str, point: Option<(f64, f64)>) -> Wish {
        Wish {
            participant: Participant { name: "G".parse().unwrap(), handle: None, contact: None },
            label: label.parse().unwrap(),
            point: point.map(|(lat, lng)| LatLng::new(lat, lng).unwrap()),
            images: Vec::new(),
            answers: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn labels_are_found_on_the_map() {
        let found = place(&wish("San Francisco, CA, USA", None));
        let point = found.point.unwrap();
        assert!((point.lat() - 37.77).abs() < 0.1 && (point.lng() + 122.42).abs() < 0.1);
        assert_eq!(found.country.as_deref(), Some("US"));
        assert_eq!(place(&wish("Nowhere At All 123", None)).point, None);
    }

    #[test]
    fn a_given_point_wins() {
        let found = place(&wish("San Francisco, CA, USA", Some((48.86, 2.35))));
        assert_eq!((found.point.unwrap().lat(), found.country), (48.86, None));
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (a, b) = (fresh_secret(), fresh_secret());
        assert_eq!((a.len(), b.len()), (43, 43));
        assert_ne!(a, b);
    }
}
