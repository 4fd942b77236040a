//! `GET /api/v1/events/{event}/live`: pins and numbers of an event as they change, as server-sent
//! events: `hello`, then `pin`, `stats`, and `reset` when the map is to be read again.
//!
//! No event has an id: whoever comes back, to whichever process, reads the map again.

use std::convert::Infallible;

use axum::{
    extract::State,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt as _, stream};
use portcall_shared::domain::ids::EventSlug;

use super::submission_live::HEARTBEAT;
use crate::{extract::Id, live, problem::ApiError, state::AppState};

/// What happens on the map from now on.
///
/// # Errors
/// When there is no such event, too many streams are open, or the store cannot say.
pub async fn follow(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
) -> Result<impl IntoResponse, ApiError> {
    app.is_event(&slug).await?;
    // Followed before the revision is read, so that no change falls between the two.
    let news = app.hub.follow_event(slug.clone())?;
    let revision = app.map.revision(&slug);
    let hello = format!(r#"{{"revision":{revision}}}"#);
    let hello = Event::default().event("hello").data(hello);
    let rest = stream::unfold(news, |mut news| async move {
        let next = news.next().await?;
        Some((Event::default().event(next.name).data(&next.data), news))
    });
    let farewell = stream::once(async { live::farewell() });
    let events = stream::iter([hello]).chain(rest).chain(farewell).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}
