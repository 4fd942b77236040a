//! The page: its files as they were built, and `index.html` for every address that the page itself
//! makes sense of.

use std::path::Path;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::{problem::ApiError, state::AppState};

/// Files with a hash in their names never change.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Others are asked for each time whether they changed.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const NOT_BUILT: &str = "The api runs, but the page is not here.\n\
    Build it with `npm ci && npm run build` in `web`, or set PORTCALL_WEB_DIR to where it is.\n";

/// The page, at one of its addresses.
pub async fn index(State(app): State<AppState>) -> Response {
    match tokio::fs::read(app.settings.web_dir.join("index.html")).await {
        Ok(html) => {
            let headers = [(header::CONTENT_TYPE, HTML), (header::CACHE_CONTROL, REVALIDATE)];
            (headers, html).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, TEXT)], NOT_BUILT)
            .into_response(),
    }
}

/// A file with a hash in its name.
pub async fn asset(State(app): State<AppState>, request: Request) -> Response {
    serve(&app.settings.web_dir, request, IMMUTABLE).await
}

/// Any other address: a file of the page, or nothing.
pub async fn file(State(app): State<AppState>, request: Request) -> Response {
    let path = request.uri().path();
    let ours = ["/api/", "/competition/"].iter().any(|prefix| path.starts_with(prefix));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if ours || !reads || path.ends_with('/') {
        return nothing();
    }
    serve(&app.settings.web_dir, request, REVALIDATE).await
}

fn nothing() -> Response {
    ApiError::NotFound("address").into_response()
}

async fn serve(dir: &Path, request: Request, caching: HeaderValue) -> Response {
    let files = ServeDir::new(dir).append_index_html_on_directories(false);
    let Ok(response) = files.oneshot(request).await;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => {
            let mut response = response.into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, caching);
            with_charset(response.headers_mut());
            response
        }
        // How large it is, and nothing that could be taken for a part of it.
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let size = response.headers().get(header::CONTENT_RANGE).cloned();
            let mut refused = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            refused.headers_mut().extend(size.map(|size| (header::CONTENT_RANGE, size)));
            refused
        }
        _ => nothing(),
    }
}

/// Says of text that it is UTF-8.
fn with_charset(headers: &mut HeaderMap) {
    let Some(media_type) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return;
    };
    let text = media_type.starts_with("text/") && !media_type.contains("charset");
    if text && let Ok(value) = HeaderValue::from_str(&format!("{media_type}; charset=utf-8")) {
        headers.insert(header::CONTENT_TYPE, value);
    }
}
