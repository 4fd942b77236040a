//! `GET /api/v1/admin/events/{event}/export`: all submissions of an event, in one file.
//!
//! The file is written as it is sent, a page of the store at a time, so its size costs no memory and
//! a slow reader holds nothing but its own connection. A file that cannot be completed is broken off
//! with its connection: nothing that came whole is incomplete.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use portcall_shared::{
    domain::ids::{EventSlug, SubmissionId},
    store::{
        StoreError,
        search::{Detail, Entry},
    },
};
use serde::Deserialize;
use time::{OffsetDateTime, macros::format_description};
use validator::Validate;

use super::{listing, to_the_end};
use crate::{
    auth::Organiser,
    csv::BOM,
    extract::{Id, ValidQuery},
    problem::{ApiError, REQUEST_ID, chain},
    routes::status,
    state::AppState,
    views::admin::{
        export::{EntryView, ExportView, Questions, json_head, json_tail},
        submission::WholeView,
    },
};

/// How much is sent at once, in bytes: whoever reads slowly is seen to read.
const PIECE: usize = 32 * 1024;

/// In which form.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv`, a table that is safe to open in a spreadsheet, or `json`, with every attempt; `csv`
    /// without it.
    #[validate(length(max = 8, code = "format_unknown", message = "Say csv or json."))]
    #[param(pattern = "^(csv|json)$")]
    format: Option<String>,
    /// `true`: the table begins with a byte order mark, for programs that would not take it for
    /// UTF-8.
    #[validate(length(max = 8, code = "invalid_value", message = "Say true or false."))]
    #[param(value_type = Option<bool>)]
    bom: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv { bom: bool },
    Json,
}

impl ExportQuery {
    fn format(&self) -> Result<Format, ApiError> {
        let bom = listing::truth("/bom", self.bom.as_deref())?;
        match (self.format.as_deref(), bom) {
            (None | Some("csv"), bom) => Ok(Format::Csv { bom: bom.unwrap_or(false) }),
            (Some("json"), None | Some(false)) => Ok(Format::Json),
            (Some("json"), Some(true)) => {
                let detail = "JSON has no byte order mark (RFC 8259 §8.1).";
                Err(ApiError::invalid("/bom", "invalid_value", detail))
            }
            _ => Err(ApiError::invalid("/format", "format_unknown", "Say csv or json.")),
        }
    }
}

/// All submissions of an event with what is personal in them, in the order of time. What was erased
/// is not in it. That it was taken out has a line in the audit log.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, there is no such event, or
/// the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/export",
    operation_id = "exportSubmissions",
    description = "A table (RFC 4180) or one JSON document, with what is personal in it but what was \
        erased. Cells that a spreadsheet would take for a formula begin with an apostrophe. A file \
        that could not be completed is broken off with its connection; the JSON document ends with \
        `complete`.",
    params(ExportQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "The file.", content(
        (String = "text/csv"),
        (ExportView = "application/json"),
    ), headers(("Content-Disposition" = String, description = "What to save it as."))))
)]
pub async fn export(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<ExportQuery>,
) -> Result<Response, ApiError> {
    let format = query.format()?;
    let begun = to_the_end({
        let (app, event) = (app.clone(), event.clone());
        async move {
            let mut act = organiser.act(&event, "export", None, None);
            act.detail = serde_json::json!({ "format": format.extension() });
            organiser.may(&app, &act).await?;
            app.event(&event).await?;
            app.store.audited(act, begin(&app, &event, format)).await
        }
    });
    let begun = begun.await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_DISPOSITION, attachment(&event, format, OffsetDateTime::now_utc())),
    ];
    Ok((headers, Body::from_stream(begun.stream(app))).into_response())
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Json => "json",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Csv { .. } => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// How many submissions are read at once. Whole ones may have megabytes of evidence.
    fn at_once(self) -> u32 {
        match self {
            Self::Csv { .. } => 50,
            Self::Json => 10,
        }
    }

    fn detail(self) -> Detail {
        match self {
            Self::Csv { .. } => Detail::Heads,
            Self::Json => Detail::Whole,
        }
    }
}

/// A file that is saved and not shown. A slug has no character that a header or a file's name could
/// not have.
fn attachment(event: &EventSlug, format: Format, now: OffsetDateTime) -> HeaderValue {
    let day = now.format(format_description!("[year]-[month]-[day]")).unwrap_or_default();
    let name = format!("portcall-{event}-{day}.{}", format.extension());
    HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

/// A file under way.
#[derive(Debug)]
struct Export {
    event: EventSlug,
    format: Format,
    questions: Questions,
    /// What is sent first.
    head: Vec<u8>,
    /// What was read and not sent.
    page: Vec<Entry>,
    sent: u64,
    ended: bool,
    request: uuid::Uuid,
}

/// Why a file is broken off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the store did not go on")]
    Store(#[from] StoreError),
    #[error("a submission could not be read whole")]
    Read(#[from] ApiError),
    #[error("a row could not be written")]
    Csv(#[from] csv::Error),
    #[error("a submission could not be written")]
    Json(#[from] serde_json::Error),
}

/// Reads what is sent first: what cannot be begun is answered with an error.
async fn begin(app: &AppState, event: &EventSlug, format: Format) -> Result<Export, ApiError> {
    let mut questions = Questions::default();
    let head = match format {
        Format::Csv { bom } => {
            questions = asked_by(app, event).await?;
            let internal = |_| ApiError::Internal("cannot write the head of a table".into(), None);
            let head = questions.head().map_err(internal)?;
            if bom { [BOM, &head].concat() } else { head }
        }
        Format::Json => json_head(event, OffsetDateTime::now_utc()),
    };
    let page = page(app, event, format, None).await?;
    let (event, request) = (event.clone(), REQUEST_ID.try_with(|id| *id).unwrap_or_default());
    Ok(Export { event, format, questions, head, page, sent: 0, ended: false, request })
}

/// The next submissions, the oldest first.
async fn page(
    app: &AppState,
    event: &EventSlug,
    format: Format,
    after: Option<SubmissionId>,
) -> Result<Vec<Entry>, StoreError> {
    let _turn = app.searches.acquire().await;
    app.store.all_of_event(event, format.detail(), after, format.at_once()).await
}

/// The names of an event's questions, of every version that can be read.
async fn asked_by(app: &AppState, event: &EventSlug) -> Result<Questions, ApiError> {
    Ok(Questions(app.store.event_questions(event).await?))
}

impl Export {
    fn stream(self, app: AppState) -> impl futures::Stream<Item = Result<Bytes, Broken>> {
        stream::try_unfold((self, app, Bytes::new()), |(mut export, app, mut rest)| async move {
            let more = match rest.is_empty() {
                true => export.next(&app).await,
                false => Ok(Some(Vec::new())),
            };
            match more {
                Ok(None) => Ok(None),
                Ok(Some(more)) => {
                    if rest.is_empty() {
                        rest = more.into();
                    }
                    let piece = rest.split_to(rest.len().min(PIECE));
                    Ok(Some((piece, (export, app, rest))))
                }
                Err(error) => {
                    let (request, sent) = (export.request, export.sent);
                    let cause = chain(&error);
                    tracing::error!(request.id = %request, sent, cause, "an export broke off");
                    Err(error)
                }
            }
        })
    }

    /// The next piece of the file; none when all of it was sent.
    async fn next(&mut self, app: &AppState) -> Result<Option<Vec<u8>>, Broken> {
        if self.ended {
            return Ok(None);
        }
        let mut piece = std::mem::take(&mut self.head);
        piece.extend(self.written(app).await?);
        self.sent += self.page.len() as u64;
        // A page that is not full is the last one only if nothing came while it was read.
        match self.page.last().map(Entry::id) {
            Some(last) => self.page = page(app, &self.event, self.format, Some(last)).await?,
            None => {
                self.ended = true;
                if self.format == Format::Json {
                    piece.extend(json_tail(self.sent));
                }
            }
        }
        Ok(Some(piece))
    }

    /// The page as it stands in the file.
    async fn written(&self, app: &AppState) -> Result<Vec<u8>, Broken> {
        if let Format::Csv { .. } = self.format {
            return Ok(self.questions.rows(&self.page)?);
        }
        let mut out = Vec::new();
        for (n, entry) in self.page.iter().enumerate() {
            out.extend_from_slice(if self.sent == 0 && n == 0 { b"\n" } else { b",\n" });
            let view = match entry {
                Entry::Unreadable(id) => EntryView::unreadable(*id),
                Entry::Read(submission) => {
                    let public = status::document(app, submission, None).await?;
                    EntryView::read(WholeView::of(submission, public))
                }
            };
            serde_json::to_writer(&mut out, &view)?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn forms() {
        let read = |format: Option<&str>, bom: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            ExportQuery { format: own(format), bom: own(bom) }.format().ok()
        };
        assert_eq!(read(None, None), Some(Format::Csv { bom: false }));
        assert_eq!(read(Some("csv"), Some("true")), Some(Format::Csv { bom: true }));
        assert_eq!(read(Some("json"), Some("false")), Some(Format::Json));
        for (format, bom) in [
            (Some("xml"), None),
            (Some("CSV"), None),
            (Some("json"), Some("true")),
            (None, Some("1")),
        ] {
            assert_eq!(read(format, bom), None, "{format:?} {bom:?}");
        }
    }

    #[test]
    fn a_file_is_saved_under_a_plain_name() {
        let (event, now) = ("birthday-3".parse().unwrap(), datetime!(2026-03-20 12:00 UTC));
        let value = attachment(&event, Format::Csv { bom: true }, now);
        assert_eq!(value, "attachment; filename=\"portcall-birthday-3-2026-03-20.csv\"");
    }
}
