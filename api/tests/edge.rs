//! The edge of the api without a store behind it: headers, problems, the page's files.

#![expect(clippy::unwrap_used, reason = "a test fails by it, in its helpers too")]

use std::{collections::BTreeMap, path::PathBuf};

use axum::{Router, body::Body};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use portcall_api::{router::router, settings::Settings, state::AppState};
use portcall_shared::{settings::Reader, shutdown::Stop, store::Store};
use rstest::rstest;
use serde_json::Value;
use tower::ServiceExt as _;

const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("content-security-policy", portcall_api::layers::CONTENT_SECURITY_POLICY),
];

/// A folder of its own, removed with the test.
struct Page(PathBuf);

impl Page {
    fn built() -> Self {
        let dir = std::env::temp_dir().join(format!("portcall-page-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("assets")).unwrap();
        std::fs::write(dir.join("index.html"), "<!doctype html><title>Portcall</title>").unwrap();
        std::fs::write(dir.join("icon.svg"), "<svg/>").unwrap();
        std::fs::write(dir.join("assets/main-a1b2.js"), "export {}").unwrap();
        Self(dir)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Leftovers of a test in the folder for them harm nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn api(page: &Page, stop: Stop) -> Router {
    let dir = page.0.to_str().unwrap().to_owned();
    let given = BTreeMap::from([("PORTCALL_WEB_DIR".to_owned(), dir)]);
    let (settings, _) = Settings::read(Reader::from_map(given)).unwrap();
    // Nothing listens there, and nothing here asks it.
    let store = Store::open("mongodb://127.0.0.1:1/?replicaSet=rs", "edge", "test").await.unwrap();
    router(AppState::new(settings, store, stop))
}

async fn ask(request: Request<Body>) -> Response<Body> {
    let page = Page::built();
    api(&page, Stop::default()).await.oneshot(request).await.unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let json = "application/json";
    Request::post(path).header(header::CONTENT_TYPE, json).body(body.into()).unwrap()
}

async fn json(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

fn text<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[rstest]
#[case(get("/"), 200)]
#[case(get("/assets/main-a1b2.js"), 200)]
#[case(get("/api/v1/places?q=paris"), 200)]
#[case(get("/api/v1/nothing"), 404)]
#[case(get("/api/v1/submissions/not-an-id"), 404)]
#[case(get("/api/v1/events/Not%20A%20Slug/stats"), 404)]
#[case(get("/api/v1/places"), 422)]
#[case(get("/api/v1/places?q=a&x=1"), 400)]
#[case(Request::put("/api/v1/events").body(Body::empty()).unwrap(), 405)]
#[case(Request::post("/api/v1/events/e/submissions").body(Body::from("{}")).unwrap(), 415)]
#[case(post("/api/v1/events/e/submissions", "{"), 400)]
#[case(post("/api/v1/events/e/submissions", vec![b' '; 20_000]), 413)]
#[tokio::test]
async fn every_answer_has_the_security_headers(
    #[case] request: Request<Body>,
    #[case] status: u16,
) {
    let response = ask(request).await;
    assert_eq!(response.status().as_u16(), status);
    for (name, value) in HEADERS {
        assert_eq!(text(&response, name), value, "{name}");
    }
    assert!(!text(&response, "x-request-id").is_empty());
    assert!(!response.headers().contains_key(header::SERVER));
    let type_ = text(&response, "content-type").to_owned();
    if status >= 400 {
        assert_eq!(text(&response, "cache-control"), "no-store");
        assert_eq!(type_, "application/problem+json");
        let id = text(&response, "x-request-id").to_owned();
        let problem = json(response).await;
        assert_eq!((&problem["status"], &problem["request_id"]), (&status.into(), &id.into()));
    } else {
        assert!(type_.contains("charset=utf-8"), "{type_}");
    }
}

#[rstest]
#[case(get("/"))]
#[case(get("/api/v1/nothing"))]
#[case(post("/api/v1/events/e/submissions", "{"))]
#[tokio::test]
async fn connections_are_let_go_from_when_the_process_is_told_to_stop(
    #[case] request: Request<Body>,
) {
    let (page, stop) = (Page::built(), Stop::default());
    let api = api(&page, stop.clone()).await;
    let again = Request::get(request.uri()).body(Body::empty()).unwrap();
    let before = api.clone().oneshot(request).await.unwrap();
    assert_eq!(text(&before, "connection"), "");
    stop.told.cancel();
    let after = api.oneshot(again).await.unwrap();
    assert_eq!(text(&after, "connection"), "close");
}

#[rstest]
#[case("PATCH", "/api/v1/events", "GET,HEAD")]
#[case("TRACE", "/api/v1/submissions/x", "GET,HEAD,DELETE")]
#[case("GET", "/competition", "POST")]
#[case("DEBUG", "/", "GET,HEAD")]
#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones(
    #[case] method: &str,
    #[case] path: &str,
    #[case] allow: &str,
) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = get(path);
    *request.method_mut() = method;
    let response = ask(request).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(text(&response, "allow"), allow);
    assert_eq!(json(response).await["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_body_without_a_length_is_read_up_to_the_limit() {
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let response = ask(post("/api/v1/events/e/submissions", Body::from_stream(endless))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(&response, "connection"), "close");
    assert_eq!(json(response).await["code"], "body_too_large");
}

#[rstest]
#[case(r#"{"state":"passed"}"#, 400, "unknown_field", "/state")]
#[case(r#"{"participant":{"name":{"$gt":""}}}"#, 400, "wrong_type", "/participant/name")]
#[case(r#"{"participant":{"name":"a","name":"b"}}"#, 400, "duplicate_field", "/participant/name")]
#[case(r#"{"participant":{"name":"a"},"place":{"label":"x"}}"#, 422, "required", "/images")]
#[case(
    r#"{"participant":{"name":"a"},"place":{"label":"x","lat":1},"images":["a"]}"#,
    422,
    "coordinates_incomplete",
    "/place"
)]
#[tokio::test]
async fn bad_bodies_are_told_where(
    #[case] body: &'static str,
    #[case] status: u16,
    #[case] code: &str,
    #[case] pointer: &str,
) {
    let response = ask(post("/api/v1/events/e/submissions", body)).await;
    assert_eq!(response.status().as_u16(), status);
    let problem = json(response).await;
    assert_eq!(problem["code"], code, "{problem:#}");
    assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
}

#[rstest]
#[case("recent?limit=0", 422, "limit_invalid")]
#[case("recent?limit=51", 422, "limit_invalid")]
#[case("recent?limit=123456789", 422, "too_long")]
#[case("recent?after=x", 400, "unknown_field")]
#[case("replay?steps=9", 422, "steps_invalid")]
#[case("replay?steps=601", 422, "steps_invalid")]
#[case("replay?steps=10&steps=11", 400, "duplicate_field")]
#[case("images/check", 422, "required")]
#[case("images/check?ref=a&q=b", 400, "unknown_field")]
#[tokio::test]
async fn queries_out_of_bounds_are_told(
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let response = ask(get(&format!("/api/v1/events/birthday-3/{path}"))).await;
    assert_eq!(response.status().as_u16(), status, "{path}");
    assert_eq!(json(response).await["code"], code, "{path}");
}

#[rstest]
#[case("/", "no-cache", "text/html; charset=utf-8")]
#[case("/events/birthday-3", "no-cache", "text/html; charset=utf-8")]
#[case("/events/birthday-3/submit", "no-cache", "text/html; charset=utf-8")]
#[case("/events/birthday-3/board", "no-cache", "text/html; charset=utf-8")]
#[case("/submissions/0190a6f0-0000-7000-8000-000000000000", "no-cache", "text/html; charset=utf-8")]
#[case("/console", "no-cache", "text/html; charset=utf-8")]
#[case("/console/birthday-3/rules", "no-cache", "text/html; charset=utf-8")]
#[case("/icon.svg", "no-cache", "image/svg+xml")]
#[case(
    "/assets/main-a1b2.js",
    "public, max-age=31536000, immutable",
    "text/javascript; charset=utf-8"
)]
#[tokio::test]
async fn the_page(#[case] path: &str, #[case] caching: &str, #[case] media_type: &str) {
    let response = ask(get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(text(&response, "cache-control"), caching);
    assert_eq!(text(&response, "content-type"), media_type);
}

#[rstest]
#[case("/assets/missing.js")]
#[case("/assets/../index.html")]
#[case("/assets/..%2f..%2f..%2fetc%2fpasswd")]
#[case("/%2e%2e/%2e%2e/etc/passwd")]
#[case("/events/a/b/c")]
#[case("/events/a/board/b")]
#[case("/console/")]
#[case("/console/a/b")]
#[case("/console/a/rules/b")]
#[case("/missing.txt")]
#[case("/assets/")]
#[tokio::test]
async fn what_is_not_there(#[case] path: &str) {
    let response = ask(get(path)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    assert_eq!(json(response).await["code"], "not_found");
}

#[tokio::test]
async fn a_page_that_is_not_built_says_so() {
    let page = Page::built();
    std::fs::remove_file(page.0.join("index.html")).unwrap();
    let response = api(&page, Stop::default()).await.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("npm run build"));
}

#[tokio::test]
async fn places_are_suggested() {
    let found = json(ask(get("/api/v1/places?q=san%20fr")).await).await;
    let places = found["places"].as_array().unwrap();
    assert!((1..=8).contains(&places.len()));
    assert!(places.iter().any(|p| p["label"].as_str().unwrap().starts_with("San Francisco")));
}

#[tokio::test]
async fn a_panic_is_a_plain_500_and_nothing_of_it_leaves() {
    use axum::{middleware, routing::get as route};
    use portcall_api::layers;
    use tower_http::catch_panic::CatchPanicLayer;

    async fn handler() {
        panic!("the password is hunter2");
    }
    let app: Router = Router::new()
        .route("/", route(handler))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::observe))
        .layer(middleware::map_response(layers::secure));
    let response = app.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(text(&response, "x-content-type-options"), "nosniff");
    let problem = json(response).await;
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("hunter2"));
}
