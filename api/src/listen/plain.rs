//! Plain HTTP beside TLS: it proves to a certificate authority that the name is ours, sends people
//! to the page over TLS, and takes nothing else, least of all a token or a secret.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::heads;
use crate::{certificates::Certificates, layers, problem::ApiError};

/// Where a certificate authority looks (RFC 8555 §8.3).
const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// What is not a page.
const API: [&str; 3] = ["/api", "/competition", "/openapi.json"];

#[derive(Clone, Debug)]
struct Plain {
    public_url: Arc<str>,
    certificates: Option<Certificates>,
}

/// All that plain HTTP answers.
pub fn router(public_url: &str, certificates: Option<Certificates>) -> Router {
    let layers = ServiceBuilder::new()
        .layer(middleware::map_response(layers::secure))
        .layer(middleware::from_fn(layers::observe))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::hold))
        .layer(middleware::from_fn(heads::limit));
    let plain = Plain { public_url: public_url.into(), certificates };
    Router::new().fallback(answer).layer(layers).with_state(plain)
}

async fn answer(State(plain): State<Plain>, request: Request) -> Response {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) || is_api(path) {
        return ApiError::HttpsRequired.into_response();
    }
    if let Some(token) = path.strip_prefix(CHALLENGE) {
        let proof = match &plain.certificates {
            Some(certificates) => certificates.http_challenge(token).await,
            None => None,
        };
        let kind = (header::CONTENT_TYPE, "application/octet-stream");
        return match proof {
            Some(proof) => ([kind], proof).into_response(),
            None => ApiError::NotFound("challenge").into_response(),
        };
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match HeaderValue::try_from(format!("{}{path}", plain.public_url)) {
        Ok(there) if path.starts_with('/') => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, there)]).into_response()
        }
        _ => ApiError::HttpsRequired.into_response(),
    }
}

fn is_api(path: &str) -> bool {
    let rests = API.iter().filter_map(|root| path.strip_prefix(root));
    rests.into_iter().any(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use rstest::rstest;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(method: Method, uri: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let router = router("https://portcall.example", None);
        let response = router.oneshot(request).await.unwrap();
        let there = response.headers().get(header::LOCATION);
        let there = there.map_or("", |there| there.to_str().unwrap()).to_owned();
        assert!(response.headers().contains_key("content-security-policy"));
        (response.status().as_u16(), there)
    }

    #[rstest]
    #[case(Method::GET, "/", 308, "https://portcall.example/")]
    #[case(Method::HEAD, "/events/a?b=c", 308, "https://portcall.example/events/a?b=c")]
    #[case(Method::GET, "/apis", 308, "https://portcall.example/apis")]
    #[case(Method::GET, "//evil.example/", 308, "https://portcall.example//evil.example/")]
    #[case(Method::GET, "http://evil.example/x", 308, "https://portcall.example/x")]
    #[case(Method::POST, "/", 403, "")]
    #[case(Method::GET, "/api", 403, "")]
    #[case(Method::GET, "/api/v1/events", 403, "")]
    #[case(Method::POST, "/competition", 403, "")]
    #[case(Method::GET, "/openapi.json", 403, "")]
    #[case(Method::GET, "/.well-known/acme-challenge/bad", 404, "")]
    #[case(Method::POST, "/.well-known/acme-challenge/good", 403, "")]
    #[tokio::test]
    async fn it_takes_little(
        #[case] method: Method,
        #[case] uri: &str,
        #[case] status: u16,
        #[case] there: &str,
    ) {
        assert_eq!(asked(method, uri).await, (status, there.to_owned()));
    }
}
