//! Every address of the api in one table, every layer in one stack.

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    layers,
    problem::ApiError,
    routes::{
        cancel, competition, event, event_live, events, pages, pins, places, stats, status,
        submission_live, submit,
    },
    state::AppState,
};

/// The public side.
pub fn router(state: AppState) -> Router {
    // From the outside in. The security headers come first so that every answer has them, whoever
    // made it, and with them what a process that was told to stop adds. Then the request gets its id
    // and its log line, which must see the answer of a panic too. Panics end there. Within that no
    // request is held for ever. The limit on bodies is innermost: its refusal is a problem like any
    // other, with headers and a log line.
    let layers = ServiceBuilder::new()
        .layer(middleware::map_response(layers::secure))
        .layer(middleware::map_response_with_state(state.clone(), layers::let_go))
        .layer(middleware::from_fn(layers::observe))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::hold))
        .layer(middleware::from_fn(layers::limit_body));
    table()
        .fallback(pages::file)
        .method_not_allowed_fallback(refuse)
        .layer(layers)
        .with_state(state)
}

/// The addresses: the api by resource, the contract of 2016, then the page.
fn table() -> Router<AppState> {
    Router::new()
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/{event}", get(event::show))
        .route("/api/v1/events/{event}/submissions", post(submit::submit))
        .route("/api/v1/events/{event}/stats", get(stats::show))
        .route("/api/v1/events/{event}/pins", get(pins::show))
        .route("/api/v1/events/{event}/live", get(event_live::follow))
        .route("/api/v1/submissions/{id}", get(status::show).delete(cancel::cancel))
        .route("/api/v1/submissions/{id}/live", get(submission_live::follow))
        .route("/api/v1/places", get(places::find))
        .route("/competition", post(competition::submit))
        .route("/competition/stats", get(competition::stats))
        .route("/competition/{id}", get(competition::show))
        .route("/", get(pages::index))
        .route("/events/{event}", get(pages::index))
        .route("/events/{event}/submit", get(pages::index))
        .route("/submissions/{id}", get(pages::index))
        .route("/assets/{*file}", get(pages::asset))
}

async fn refuse() -> ApiError {
    ApiError::MethodNotAllowed
}
