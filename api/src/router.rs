//! Every address of the api in one table, every layer in one stack.

use axum::{Router, middleware, routing::get};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    client, cors, docs, layers,
    listen::heads,
    openapi,
    problem::ApiError,
    rates,
    routes::{
        admin, cancel, competition, event, event_live, events, images, pages, pins, places, recent,
        replay, stats, status, submission_live, submit,
    },
    state::AppState,
};

/// The public side.
pub fn router(state: AppState) -> Router {
    // From the outside in. The security headers come first so that every answer has them, whoever
    // made it, and with them what a process that was told to stop adds, and the age of what comes from memory. Then the request gets its id
    // and its log line, which must see the answer of a panic too, and pages of others theirs. Panics
    // end there. A head that is too large goes no further. Who asks is known next, and whether that is too much, before anything is read. Within
    // that no request is held for ever. The limit on bodies is innermost: its refusal is a problem like any
    // other, with headers and a log line.
    let layers = ServiceBuilder::new()
        .layer(middleware::map_response(layers::secure))
        .layer(middleware::map_response_with_state(state.clone(), layers::let_go))
        .layer(middleware::from_fn_with_state(state.clone(), layers::age))
        .layer(middleware::from_fn(layers::observe))
        .layer(middleware::from_fn_with_state(state.clone(), cors::share))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(heads::limit))
        .layer(middleware::from_fn_with_state(state.clone(), client::identify))
        .layer(middleware::from_fn_with_state(state.clone(), rates::limit))
        .layer(middleware::from_fn(layers::hold))
        .layer(middleware::from_fn(layers::limit_body));
    Router::from(table())
        .fallback(pages::file)
        .method_not_allowed_fallback(refuse)
        .layer(layers)
        .with_state(state)
}

/// The addresses: the api by resource, organisers' part of it, the contract of 2016, what
/// describes them, then the page. What is registered with `routes!` is at the same time described,
/// at [`openapi`], by the `#[utoipa::path]` of its handler, which also has the address.
pub(crate) fn table() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(events::list))
        .routes(routes!(event::show))
        .routes(routes!(submit::submit))
        .routes(routes!(stats::show))
        .routes(routes!(pins::show))
        .routes(routes!(recent::list))
        .routes(routes!(replay::show))
        .routes(routes!(images::check))
        .routes(routes!(event_live::follow))
        .routes(routes!(status::show, cancel::cancel))
        .routes(routes!(submission_live::follow))
        .routes(routes!(places::find))
        .merge(admin())
        .routes(routes!(competition::submit))
        .routes(routes!(competition::stats))
        .routes(routes!(competition::show))
        .merge(pages())
}

/// What organisers do with their tokens, all of it under `/api/v1/admin`. One line for each
/// address, with every method that it answers: `.routes(routes!(webhooks::list, webhooks::create))`.
fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(admin::me::show))
        .routes(routes!(admin::fleet::show))
        .routes(routes!(admin::suspects::list))
        .routes(routes!(admin::suspects::judge))
        .routes(routes!(admin::submissions::search))
        .routes(routes!(admin::submissions::show))
        .routes(routes!(admin::moderation::hide))
        .routes(routes!(admin::moderation::unhide))
        .routes(routes!(admin::moderation::cancel))
        .routes(routes!(admin::moderation::requeue))
        .routes(routes!(admin::doors::close))
        .routes(routes!(admin::doors::reopen))
        .routes(routes!(admin::rules::show, admin::rules::replace))
        .routes(routes!(admin::rules::versions))
        .routes(routes!(admin::export::export))
        .routes(routes!(admin::history::show))
        .routes(routes!(admin::audit::list))
        .routes(routes!(admin::regrades::list, admin::regrades::create))
        .routes(routes!(admin::regrades::show))
        .routes(routes!(admin::regrades::apply))
        .routes(routes!(admin::regrades::undo))
        .routes(routes!(admin::regrades::discard))
        .routes(routes!(admin::erase::erase))
        .routes(routes!(admin::webhooks::list, admin::webhooks::create))
        .routes(routes!(admin::webhooks::show, admin::webhooks::delete))
        .routes(routes!(admin::webhooks::ping))
        .routes(routes!(admin::webhooks::deliveries))
}

/// Pages for people and what they are made of: the only addresses that no operation describes. A
/// test knows them by name.
fn pages() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .route("/openapi.json", get(openapi::show))
        .route("/docs", get(docs::show))
        .route("/docs.css", get(docs::style))
        .route("/assets/{*file}", get(pages::asset))
        .merge(views_of_the_page())
}

/// What the page itself makes sense of; `web/src/router.tsx` has the same list.
fn views_of_the_page() -> OpenApiRouter<AppState> {
    let all = [
        "/",
        "/events/{event}",
        "/events/{event}/submit",
        "/events/{event}/board",
        "/submissions/{id}",
        "/console",
        "/console/{event}",
        "/console/{event}/submissions",
        "/console/{event}/submissions/{id}",
        "/console/{event}/regrades",
        "/console/{event}/regrades/{id}",
        "/console/{event}/rules",
        "/console/{event}/suspects",
        "/console/{event}/suspects/{digest}",
        "/console/{event}/audit",
        "/console/{event}/webhooks",
    ];
    all.into_iter()
        .fold(OpenApiRouter::default(), |table, path| table.route(path, get(pages::index)))
}

async fn refuse() -> ApiError {
    ApiError::MethodNotAllowed
}
