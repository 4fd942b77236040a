//! Lines of the audit log.

use portcall_shared::store::audit::AuditLine;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::views::moment;

/// Lines, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditPageView {
    /// Those of this page.
    pub items: Vec<AuditView>,
    /// What to ask for as `before` to go on, if there is more.
    pub next: Option<String>,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditView {
    /// Its id.
    pub id: Uuid,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// The name of the token that was used.
    pub by: String,
    /// The id of that token.
    pub token: Uuid,
    /// Its role: `organiser` or `operator`.
    pub role: String,
    /// What was done, in a word such as `hide`.
    pub what: String,
    /// To which submission.
    pub submission: Option<Uuid>,
    /// Why, in their own words.
    pub note: Option<String>,
    /// What else there is to know.
    #[schema(value_type = Option<Object>)]
    pub detail: Value,
    /// The id of the request.
    pub request: Option<Uuid>,
    /// How it ended: `done`, `failed`, or `refused` where the token did not extend to it; none while
    /// it is under way, or if the process died meanwhile.
    pub outcome: Option<String>,
}

impl AuditView {
    /// Of one line.
    #[must_use]
    pub fn of(line: &AuditLine) -> Self {
        Self {
            id: line.id,
            at: moment(line.at),
            by: line.by.clone(),
            token: line.token,
            role: line.role.clone(),
            what: line.what.clone(),
            submission: line.submission.map(|id| id.uuid()),
            note: line.note.clone(),
            detail: line.detail.clone(),
            request: line.request,
            outcome: line.outcome.clone(),
        }
    }
}
