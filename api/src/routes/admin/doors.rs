//! `POST /api/v1/admin/events/{event}/close` and `/reopen`: whether an event takes submissions,
//! whatever its rules say about when.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::EventSlug;

use super::{note::Note, to_the_end};
use crate::{
    auth::Organiser,
    extract::Id,
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::admin::{door::DoorView, note::NoteBody},
};

/// Closes an event at once. One that is closed stays so.
///
/// # Errors
/// When the token does not extend to the event, the note is not acceptable, there is no such event,
/// or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/{event}/close",
    operation_id = "closeEvent",
    description = "At once; what was taken in before is graded all the same. Whether the rules say that it is open makes no difference.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses((status = 200, description = "The event's door.", body = DoorView))
)]
pub async fn close(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    turn(app, organiser, event, note, Turn::Close).await
}

/// Takes that back. What the rules say about when the event is open holds again.
///
/// # Errors
/// As those of closing.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/{event}/reopen",
    operation_id = "reopenEvent",
    summary = "Opens an event again that was closed",
    description = "Takes the closing back. What the rules say about when it is open holds again.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses((status = 200, description = "The event's door.", body = DoorView))
)]
pub async fn reopen(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    turn(app, organiser, event, note, Turn::Reopen).await
}

#[derive(Clone, Copy)]
enum Turn {
    Close,
    Reopen,
}

async fn turn(
    app: AppState,
    organiser: Organiser,
    event: EventSlug,
    note: Option<String>,
    turn: Turn,
) -> Result<Reply<DoorView>, ApiError> {
    to_the_end(async move {
        let what = match turn {
            Turn::Close => "close",
            Turn::Reopen => "reopen",
        };
        let act = organiser.act(&event, what, None, note);
        organiser.may(&app, &act).await?;
        app.event(&event).await?;
        let turned = async {
            match turn {
                Turn::Close => app.store.close_event(&event, &organiser.0).await,
                Turn::Reopen => app.store.reopen_event(&event, &organiser.0).await,
            }
        };
        app.store.audited(act, turned).await?;
        let (version, closing) = tokio::try_join!(app.event(&event), app.event_closed(&event))?;
        Ok(Reply::ok(DoorView::of(&version, closing.as_ref(), time::OffsetDateTime::now_utc())))
    })
    .await
}
