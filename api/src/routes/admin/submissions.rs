//! `GET /api/v1/admin/events/{event}/submissions` and `GET /api/v1/admin/submissions/{id}`: what
//! organisers find, and what they see of it.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        submission::Submission,
        text,
    },
    store::{
        moderation::Visibility,
        search::{STATES, Search},
    },
};
use serde::Deserialize;
use validator::Validate;

use super::{listing, own};
use crate::{
    auth::Organiser,
    extract::{Id, ValidQuery},
    problem::ApiError,
    reply::Reply,
    routes::status,
    state::{AppState, Shared},
    views::{
        admin::submission::{AdminSubmissionView, FoundPageView, WholeView},
        submit::refused,
    },
    waiting,
};

/// Most characters of what is looked for.
const LONGEST_TEXT: usize = 200;
/// How many audit lines are shown with a submission.
const AUDIT_LINES: i64 = 100;

/// What is searched for; all of it must hold. Every parameter is a text that something is compared
/// with.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Stands in the name, the handle, an image's reference or the place's name, whatever the case;
    /// or is the id.
    #[validate(length(max = 800, code = "too_long", message = "This is too long to be found."))]
    #[param(max_length = 800)]
    q: Option<String>,
    /// `queued`, `grading`, `passed`, `failed`, `undetermined` or `cancelled`.
    #[validate(length(max = 20, code = "state_unknown", message = "There is no such state."))]
    #[param(pattern = "^(queued|grading|passed|failed|undetermined|cancelled)$")]
    state: Option<String>,
    /// The code of the verdict's reason.
    #[validate(length(min = 1, max = 80, code = "reason_invalid", message = "Not a reason."))]
    #[param(min_length = 1, max_length = 80)]
    reason: Option<String>,
    /// The code of the place's country, two letters.
    #[validate(length(equal = 2, code = "country_invalid", message = "Two letters."))]
    #[param(min_length = 2, max_length = 2)]
    country: Option<String>,
    /// Whether an organiser took the pin off the map: `true` or `false`.
    #[validate(length(max = 8, code = "invalid_value", message = "Say true or false."))]
    #[param(value_type = Option<bool>)]
    hidden: Option<String>,
    /// The `next` of the page before.
    #[validate(length(max = 100, code = "too_long", message = "This is too long for a cursor."))]
    #[param(max_length = 100)]
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a limit."))]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

impl SearchQuery {
    fn search(&self) -> Result<Search, ApiError> {
        let text = match self.q.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(text) => Some(
                text::checked(text, LONGEST_TEXT)
                    .map_err(|error| ApiError::Invalid(vec![refused("/q", &error)]))?,
            ),
        };
        let visibility = listing::truth("/hidden", self.hidden.as_deref())?
            .map(|hidden| if hidden { Visibility::Hidden } else { Visibility::Shown });
        Ok(Search {
            text,
            state: self.state.as_deref().map(state).transpose()?,
            reason: self.reason.clone(),
            country: self.country.as_deref().map(str::to_ascii_uppercase),
            visibility,
        })
    }
}

fn state(word: &str) -> Result<&'static str, ApiError> {
    let detail = || format!("A state is one of these: {}.", STATES.join(", "));
    let known = STATES.into_iter().find(|state| *state == word);
    known.ok_or_else(|| ApiError::invalid("/state", "state_unknown", detail()))
}

/// The submissions of an event, the newest first.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, there is no such event, or
/// the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/submissions",
    operation_id = "searchSubmissions",
    description = "The newest first, in short. All of what is asked for must hold.",
    params(SearchQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "What was found.", body = FoundPageView, links(
        ("whole" = (operation_id = "getForOrganisers", parameters(
            ("id" = "$response.body#/items/0/id"),
        ))),
    )))
)]
pub async fn search(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<SearchQuery>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&event)?;
    let search = query.search()?;
    let after = listing::behind("/after", query.after.as_deref())?.map(SubmissionId::from);
    let length = listing::length(query.limit.as_deref())?;
    app.is_event(&event).await?;
    let _turn = app.searches.acquire().await;
    let page = app.store.search(&event, &search, after, length).await?;
    let next = page.next.map(|id| listing::cursor(id.uuid()));
    Ok(Reply::ok(FoundPageView::of(&page.items, next)))
}

/// A submission, whole.
///
/// # Errors
/// When there is no such submission for this token, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/submissions/{id}",
    operation_id = "getForOrganisers",
    description = "With what only organisers see, and what was done to it.",
    security(("bearer" = [])),
    responses((status = 200, description = "The submission.", body = AdminSubmissionView))
)]
pub async fn show(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
) -> Result<impl IntoResponse, ApiError> {
    let submission = own(&app, &organiser, id).await?;
    Ok(Reply::ok(document(&app, &submission).await?))
}

/// The document that organisers get of a submission.
pub(super) async fn document(
    app: &Shared,
    submission: &Submission,
) -> Result<AdminSubmissionView, ApiError> {
    let queue = waiting::place(app, submission).await?;
    let public = status::document(app, submission, queue).await?;
    let (event, id) = (&submission.event, Some(submission.id));
    let lines = app.store.audit_lines(event, id, None, AUDIT_LINES).await?;
    Ok(AdminSubmissionView::of(WholeView::of(submission, public), &lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> SearchQuery {
        let given = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        serde_json::from_value(serde_json::Value::Object(given.collect())).unwrap()
    }

    #[test]
    fn what_is_searched_for_is_checked() {
        let all = [
            ("q", " Zoë "),
            ("state", "failed"),
            ("reason", "rule_failed:config"),
            ("country", "us"),
            ("hidden", "true"),
        ];
        let expected = Search {
            text: Some("Zoë".into()),
            state: Some("failed"),
            reason: Some("rule_failed:config".into()),
            country: Some("US".into()),
            visibility: Some(Visibility::Hidden),
        };
        assert_eq!(query(&all).search().unwrap(), expected);
        assert_eq!(query(&[("q", "  ")]).search().unwrap(), Search::default());
        let code = |name: &str, value: &str| {
            query(&[(name, value)]).search().unwrap_err().code().into_owned()
        };
        assert_eq!(code("state", "$ne"), "state_unknown");
        assert_eq!(code("hidden", "yes"), "invalid_value");
        assert_eq!(code("q", "a\0b"), "character_not_allowed");
        assert!(query(&[("q", &"x".repeat(200))]).search().is_ok());
        assert_eq!(code("q", &"x".repeat(201)), "too_long");
        let bounded = |name: &str, value: &str| query(&[(name, value)]).validate().is_ok();
        assert!(bounded("reason", &"r".repeat(80)) && !bounded("reason", &"r".repeat(81)));
        assert!(bounded("country", "DE") && !bounded("country", "D") && !bounded("country", "DEU"));
    }
}
