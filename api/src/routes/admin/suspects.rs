//! `GET /api/v1/admin/suspects` and `POST /api/v1/admin/suspects/{digest}`: images that machines went
//! down under, and what operators say of them.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::{
    domain::{ids::EventSlug, image::Digest, suspicion::Standing},
    store::{StoreError, tokens::Role},
};

use super::{note, to_the_end};
use crate::{
    auth::Organiser,
    extract::{Id, ValidJson},
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::admin::suspects::{SuspectOrderBody, SuspectView, SuspectsView, Whose},
};

/// What operators do to an image, in the audit log.
const ORDER: &str = "judge_image";

/// Images that machines went down under, and those machines.
///
/// # Errors
/// When the token is not a good one, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/suspects",
    operation_id = "listSuspects",
    description = "Of all events together: the machines are shared. For any token, so which \
        submissions it were is told to operators alone.",
    security(("bearer" = [])),
    responses((status = 200, description = "What is known.", body = SuspectsView))
)]
pub async fn list(
    State(app): State<AppState>,
    organiser: Organiser,
) -> Result<impl IntoResponse, ApiError> {
    let suspects = app.store.suspects().await?;
    let whose = match organiser.0.role {
        Role::Operator => Whose::Shown,
        Role::Organiser(_) => Whose::Hidden,
    };
    Ok(Reply::ok(SuspectsView::of(&suspects, whose)))
}

/// Says what an image is: for operators.
///
/// # Errors
/// When the token is not an operator's, the body is not acceptable, there is no such event, or the
/// store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/suspects/{digest}",
    operation_id = "judgeImage",
    description = "`cleared` has it graded like any other, and its losses count no more; \
        `quarantined` has it graded alone; `poison` has it refused. What ended as undetermined \
        before is not graded again by this: requeue it. For operators.",
    params(("digest" = String, Path, description = "The image's digest, `sha256:…`.",
        pattern = "^sha256:[0-9a-f]{64}$")),
    request_body = SuspectOrderBody,
    security(("bearer" = [])),
    responses((status = 200, description = "What is known of it now.", body = SuspectView))
)]
pub async fn judge(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(digest): Id<Digest>,
    ValidJson { value: body, .. }: ValidJson<SuspectOrderBody>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(async move {
        let standing = standing(&body.standing)?;
        let event: EventSlug = body.event.parse().map_err(|_| ApiError::NotFound("event"))?;
        let why = body.note.as_deref().map(note::checked).transpose()?;
        let mut act = organiser.act(&event, ORDER, None, why.clone());
        act.detail = serde_json::json!({
            "digest": digest.as_str(),
            "standing": standing.as_str(),
        });
        organiser.may(&app, &act).await?;
        app.event(&event).await?;
        if organiser.0.role != Role::Operator {
            app.store.refused_act(&act).await?;
            return Err(ApiError::NotYours);
        }
        let by = organiser.0.name.as_str();
        let order = app.store.order_standing(&digest, standing, by, why.as_deref());
        let suspect = app.store.audited::<_, StoreError>(act, order).await?;
        Ok(Reply::ok(SuspectView::of(&suspect, Whose::Shown)))
    })
    .await
}

/// What can be said of an image; that it is merely suspected is for the machines to say.
fn standing(word: &str) -> Result<Standing, ApiError> {
    let said = Standing::from_word(word).filter(|standing| *standing != Standing::Suspected);
    let detail = "It is one of these: cleared, quarantined, poison.";
    said.ok_or_else(|| ApiError::invalid("/standing", "standing_unknown", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_said_of_an_image() {
        for word in ["cleared", "quarantined", "poison"] {
            assert_eq!(standing(word).unwrap().as_str(), word);
        }
        for word in ["suspected", "", "Poison", "$ne"] {
            assert_eq!(standing(word).unwrap_err().code(), "standing_unknown", "{word}");
        }
    }
}
