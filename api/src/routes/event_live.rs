//! `GET /api/v1/events/{event}/live`: pins and numbers of an event as they change, as server-sent
//! events: `hello`, then `pin`, `stats`, and `reset` when the map is to be read again.
//!
//! Their ids mean something to the process that gave them. Whoever comes back to it goes on after
//! the last that they saw; whoever comes back to another one, or too late, is told `hello` and
//! `reset`, and reads the map again.

use std::convert::Infallible;

use axum::{
    extract::State,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;

use super::submission_live::{HEARTBEAT, last_seen};
use crate::{
    extract::Id,
    live::{self, Begins, EventStream, audience::Topic},
    peer::Client,
    problem::ApiError,
    state::AppState,
    views::schemas::StreamEvent,
};

/// What happens on the map from now on.
///
/// # Errors
/// When there is no such event, too many streams are open, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/live",
    operation_id = "followEvent",
    description = "Server-sent events: `hello` with the map's revision, then `pin` (a feature as \
        in the list of pins), `stats`, and `reset` when the map is to be read again. A comment \
        every 15 seconds shows that the stream lives.",
    params((
        "Last-Event-ID" = Option<String>,
        Header,
        description = "The id of the last event that the client has; an `EventSource` sends it by \
            itself when it comes back, and then gets what it missed, or `hello` and `reset`.",
        example = "4ede61fbbfb77b0a-7",
    )),
    responses((
        status = 200,
        description = "A stream that ends with the process.",
        body = StreamEvent,
        content_type = "text/event-stream",
    ))
)]
pub async fn follow(
    State(app): State<AppState>,
    client: Client,
    Id(slug): Id<EventSlug>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    app.is_event(&slug).await?;
    // Followed before the revision is read, so that no change falls between the two.
    let news = app.hub.follow_event(&slug, client, last_seen(&headers))?;
    let first = begin(&news, app.map.revision(&slug));
    let rest = stream::unfold(news, |mut news| async move {
        let next = news.next().await?;
        let event = Event::default().event(next.topic.name()).id(news.id(&next)).data(&next.data);
        Some((event, news))
    });
    let farewell = stream::once(async { live::farewell() });
    let events = stream::iter(first).chain(rest).chain(farewell).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// What a stream begins with, before the news.
fn begin(news: &EventStream, revision: u64) -> Vec<Event> {
    let first = Event::default().retry(live::come_back());
    let data = format!(r#"{{"revision":{revision}}}"#);
    let event = |event: Event, name| event.event(name).id(news.first_id()).data(&data);
    match news.begins {
        Begins::Fresh => vec![event(first, "hello")],
        Begins::Resumed => vec![first],
        Begins::Again => {
            vec![event(first, "hello"), event(Event::default(), Topic::Reset.name())]
        }
    }
}
