//! What a problem says to people: what happened, and what to do.

use portcall_shared::store::regrades::UNDER_WAY;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ApiError, COUNT, FIELDS, MAX_PENDING, MOST, PATH, Refused};

const METHOD: &str = "The `Allow` header lists the methods that this address answers.";
const MEDIA_TYPE: &str =
    "Send the body as `Content-Type: application/json`, in UTF-8, not compressed.";
const SLOW: &str = "Send the whole body within 10 seconds, and at least 1 KiB a second of it.";
const HTTPS: &str = "Ask by https://. A secret that was sent in plain HTTP is none any more.";
const BROKEN: &str = "The connection broke before the body was complete.";
const KEY_REUSED: &str = "This Idempotency-Key came before with another body. Use a new key for a \
                          new submission.";
const KEY_INVALID: &str = "An Idempotency-Key has 1 to 64 visible ASCII characters, once.";
const SECRET_NEEDED: &str = "Send the secret that came with the answer to the submission: \
                             `Authorization: Bearer <secret>`.";
const TOKEN_NEEDED: &str = "Send an organiser's token that is good: `Authorization: Bearer <token>`. \
                            `portcall token create` makes one.";
const TOKEN_IN_QUERY: &str = "Send the token as `Authorization: Bearer <token>`. Addresses are kept \
                              in logs: have this one revoked (`portcall token revoke`).";
const NOT_UNDETERMINED: &str =
    "Only an undetermined submission that was not erased is tried again.";
const SEAL_KEY: &str = "The secrets of webhooks are kept sealed, and this installation has no key \
                        for that: its operator has to set PORTCALL_SEAL_KEY_FILE.";
const DISABLED: &str = "This webhook answered that it is gone (410), so nothing is sent to it any \
                        more. Delete it and make a new one.";
const FINAL: &str = "The submission has its verdict; nothing is left to cancel.";
const STREAMS: &str = "Too many live streams are open here. Ask again later, or poll the document.";
const STREAMS_HERE: &str =
    "Too many live streams are open from your address. Close one, or poll the document.";
const UNAVAILABLE: &str = "Portcall cannot reach its store right now. Nothing is lost; try again.";
const INTERNAL: &str = "Something went wrong on our side. It is in the log under the request id.";

impl ApiError {
    /// What happened and what to do.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Malformed(errors) | Self::Invalid(errors) => match errors.as_slice() {
                [one] => one.detail.clone(),
                all => format!("{} fields have to be mended; `errors` names each.", all.len()),
            },
            Self::NotFound(what) => format!("There is no such {what} here."),
            Self::MethodNotAllowed => METHOD.into(),
            Self::MediaType => MEDIA_TYPE.into(),
            Self::BodyTooLarge { limit } => format!("At most {limit} bytes of body are read."),
            Self::BodyTooSlow => SLOW.into(),
            Self::PathTooLong => format!("A path with its query has at most {PATH} bytes."),
            Self::HeadTooLarge => {
                format!("At most {COUNT} header fields of {FIELDS} bytes in all are read.")
            }
            Self::NotHttp => "What was sent cannot be read as HTTP.".into(),
            Self::HttpsRequired => HTTPS.into(),
            Self::BodyBroken => BROKEN.into(),
            Self::NotYetOpen(opens) => format!("The event opens at {}.", moment(*opens)),
            Self::Closed(closed) => format!("The event closed at {}.", moment(*closed)),
            Self::ClosedByOrganisers(at) => {
                format!("The organisers closed the event at {}.", moment(*at))
            }
            Self::TooManyPending => format!(
                "{MAX_PENDING} submissions of this participant are not graded yet. Wait for one."
            ),
            Self::TooManyRequests(Refused { whose, per_minute, .. }) => format!(
                "There were too many {}: {per_minute} a minute are answered. `Retry-After` says when \
                 to come again.",
                whose.what()
            ),
            Self::KeyReused => KEY_REUSED.into(),
            Self::KeyInvalid => KEY_INVALID.into(),
            Self::SecretNeeded => SECRET_NEEDED.into(),
            Self::SecretWrong => "The secret is not the one of this submission.".into(),
            Self::TokenNeeded => TOKEN_NEEDED.into(),
            Self::TokenInQuery => TOKEN_IN_QUERY.into(),
            Self::NotYours => "This token is for another event.".into(),
            Self::NotUndetermined => NOT_UNDETERMINED.into(),
            Self::SealKeyMissing => SEAL_KEY.into(),
            Self::TooManyWebhooks => {
                format!("An event has at most {MOST} webhooks. Delete one first.")
            }
            Self::WebhookDisabled => DISABLED.into(),
            Self::TooManyRegrades => format!(
                "At most {UNDER_WAY} re-grades of an event are under way at once. Wait for one, or give it \
                 up."
            ),
            Self::TooManyVersions(most) => {
                format!("There are {most} versions, and an event has no more.")
            }
            Self::RegradeIs(state) => format!(
                "The re-grade is {}. It is applied when it is ready, undone when it is applied, and \
                 given up before it is applied.",
                state.as_str()
            ),
            Self::AlreadyFinal => FINAL.into(),
            Self::TooManyStreams => STREAMS.into(),
            Self::TooManyStreamsHere => STREAMS_HERE.into(),
            Self::Unavailable(_) | Self::Held(_) => UNAVAILABLE.into(),
            Self::Internal(..) => INTERNAL.into(),
        }
    }
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}
