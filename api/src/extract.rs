//! Extractors: the only ways in for bodies, queries and path parameters.
//!
//! A body or query is checked whole before a handler sees it: its type, its size, its JSON, its
//! shape (nothing unknown, nothing twice), the bounds that its type declares. A bad field is
//! answered with its JSON pointer. What the domain has to say about the values comes after.

use std::{str::FromStr, time::Duration};

use axum::{
    RequestPartsExt,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError};
use portcall_shared::store::submissions::sha256_hex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::Instant;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use crate::{
    problem::{ApiError, FieldError},
    strict::{self, Flaw, Object},
};

/// Largest body that is read, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;
/// How many bytes of a request's body are read. The layer that holds bodies to it puts it into the
/// extensions of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(BODY_LIMIT)
    }
}

/// Until the whole body must have come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a body may take to begin to come as fast as it must.
const BODY_START: Duration = Duration::from_secs(5);
/// The slowest that it may come, in bytes each second.
const BODY_RATE: f64 = 1024.0;

/// A JSON body, checked.
#[derive(Debug)]
pub struct ValidJson<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
}

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for ValidJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if media_type(request.headers())? != MediaType::Json {
            return Err(ApiError::MediaType);
        }
        let bytes = read(request).await?;
        let value = from_json(&bytes)?;
        Ok(Self { value, digest: sha256_hex(&bytes) })
    }
}

/// A body as JSON or, as old clients send it, as form fields; a field that comes several times is
/// a list.
#[derive(Debug)]
pub struct ValidForm<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for ValidForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let media_type = media_type(request.headers())?;
        let bytes = read(request).await?;
        match media_type {
            MediaType::Json => from_json(&bytes).map(Self),
            MediaType::Form => {
                let mut fields = Map::new();
                for (name, value) in url::form_urlencoded::parse(&bytes) {
                    let value = Value::String(value.into_owned());
                    match fields.get_mut(name.as_ref()) {
                        Some(Value::Array(all)) => all.push(value),
                        Some(first) => *first = Value::Array(vec![first.take(), value]),
                        None => drop(fields.insert(name.into_owned(), value)),
                    }
                }
                from_value(Value::Object(fields)).map(Self)
            }
        }
    }
}

/// A query, checked. Its fields are texts; what they mean is for the route.
#[derive(Debug)]
pub struct ValidQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let mut fields = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let pointer = strict::step(&name);
            if fields.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
                let detail = "This parameter stands in the query twice.";
                let error = FieldError::new(pointer, "duplicate_field", detail);
                return Err(ApiError::Malformed(vec![error]));
            }
        }
        from_value(Value::Object(fields)).map(Self)
    }
}

/// The parameter of the path. One that is no valid id is answered like one that is unknown.
#[derive(Debug)]
pub struct Id<T>(pub T);

/// What a type of id names, for the answer when there is none.
pub trait Named: FromStr {
    /// The word.
    const WHAT: &'static str;
}

impl Named for portcall_shared::domain::ids::SubmissionId {
    const WHAT: &'static str = "submission";
}

impl Named for portcall_shared::domain::ids::WebhookId {
    const WHAT: &'static str = "webhook";
}

impl Named for portcall_shared::domain::image::Digest {
    const WHAT: &'static str = "image";
}

impl Named for portcall_shared::domain::ids::EventSlug {
    const WHAT: &'static str = "event";
}

impl<S: Send + Sync, T: Named> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let unknown = || ApiError::NotFound(T::WHAT);
        let parameters = parts.extract::<RawPathParams>().await.map_err(|_| unknown())?;
        let (_, text) = parameters.iter().next().ok_or_else(unknown)?;
        text.parse().map(Self).map_err(|_| unknown())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Json,
    Form,
}

/// Which of the types that are read here the body is of; in UTF-8 and not compressed.
fn media_type(headers: &HeaderMap) -> Result<MediaType, ApiError> {
    // Said twice, somebody before or behind here may have believed the other one.
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return Err(ApiError::MediaType) };
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(ApiError::MediaType);
    }
    let full = only.to_str().map_err(|_| ApiError::MediaType)?.to_ascii_lowercase();
    let mut parts = full.split(';').map(str::trim);
    let media_type = match parts.next() {
        Some("application/json") => MediaType::Json,
        Some("application/x-www-form-urlencoded") => MediaType::Form,
        _ => return Err(ApiError::MediaType),
    };
    let utf8 = |value: &str| matches!(value.trim_matches('"'), "utf-8" | "utf8");
    match parts.all(|p| p.strip_prefix("charset=").is_none_or(utf8)) {
        true => Ok(media_type),
        false => Err(ApiError::MediaType),
    }
}

/// Reads a body, as long as it comes at [`BODY_RATE`] after a start of [`BODY_START`].
async fn read(request: Request) -> Result<Bytes, ApiError> {
    let BodyLimit(limit) = request.extensions().get().copied().unwrap_or_default();
    let (mut body, begun) = (request.into_body(), Instant::now());
    let mut bytes = BytesMut::new();
    loop {
        let earned = Duration::from_secs_f64(bytes.len() as f64 / BODY_RATE);
        let until = begun + BODY_TIME.min(BODY_START + earned);
        let frame = tokio::time::timeout_at(until, body.frame()).await;
        match frame.map_err(|_| ApiError::BodyTooSlow)? {
            None => return Ok(bytes.freeze()),
            Some(Ok(frame)) => bytes.extend(frame.into_data().ok()),
            Some(Err(error)) => return Err(broken(&error, limit)),
        }
    }
}

fn broken(error: &axum::Error, limit: usize) -> ApiError {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return ApiError::BodyTooLarge { limit };
        }
        source = error.source();
    }
    ApiError::BodyBroken
}

fn from_json<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, ApiError> {
    strict::check(bytes).map_err(|(flaw, pointer, message)| match flaw {
        Flaw::NotJson => {
            let detail = format!("The body is not JSON: {message}.");
            ApiError::Malformed(vec![FieldError::new(pointer, "json_malformed", detail)])
        }
        Flaw::Duplicate => {
            let detail = "This key stands in its object twice.";
            ApiError::Malformed(vec![FieldError::new(pointer, "duplicate_field", detail)])
        }
        Flaw::NumberRange => {
            ApiError::invalid(pointer, "number_out_of_range", "The number is out of range.")
        }
    })?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    validated(serde_path_to_error::deserialize(&mut reader))
}

fn from_value<T: DeserializeOwned + Validate>(value: Value) -> Result<T, ApiError> {
    validated(serde_path_to_error::deserialize(value))
}

fn validated<T: Validate>(
    read: Result<Object<T>, serde_path_to_error::Error<serde_json::Error>>,
) -> Result<T, ApiError> {
    let Object(value) = read.map_err(|error| misshapen(&error))?;
    value.validate().map_err(|errors| {
        let mut found = Vec::new();
        collect(&errors, "", &mut found);
        found.sort_by(|a: &FieldError, b| a.pointer.cmp(&b.pointer));
        ApiError::Invalid(found)
    })?;
    Ok(value)
}

/// What serde says about a value that is JSON but not of the wanted shape. Its messages are the
/// only place where it says which of these it is; a test holds us to them.
fn misshapen(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let message = error.inner().to_string();
    let pointer = strict::pointer(error.path());
    let named = || message.split('`').nth(1).map(strict::step).unwrap_or_default();
    if message.starts_with("unknown field") {
        let detail = "There is no such field here.";
        ApiError::Malformed(vec![FieldError::new(pointer, "unknown_field", detail)])
    } else if message.starts_with("missing field") {
        ApiError::invalid(pointer + &named(), "required", "This field is needed.")
    } else if message.starts_with("invalid type") {
        let wanted = message.rsplit_once("expected ").map_or("something else", |(_, rest)| rest);
        let wanted = wanted.split(" at line").next().unwrap_or(wanted);
        let detail = format!("This is of the wrong type: expected {wanted}.");
        ApiError::Malformed(vec![FieldError::new(pointer, "wrong_type", detail)])
    } else {
        ApiError::invalid(pointer, "invalid_value", "This value is not one that is taken here.")
    }
}

/// The findings of `validator`, without the values that it carries along.
fn collect(errors: &ValidationErrors, at: &str, found: &mut Vec<FieldError>) {
    for (field, kind) in errors.errors() {
        // `__all__` is how the whole struct's own checks come.
        let pointer = match field.as_ref() {
            "__all__" => at.to_owned(),
            field => at.to_owned() + &strict::step(field),
        };
        match kind {
            ValidationErrorsKind::Struct(inner) => collect(inner, &pointer, found),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect(inner, &format!("{pointer}/{index}"), found);
                }
            }
            ValidationErrorsKind::Field(all) => found.extend(all.iter().map(|error| {
                let detail = match &error.message {
                    Some(message) => message.to_string(),
                    None => "This is not what is taken here.".to_owned(),
                };
                FieldError::new(pointer.clone(), error.code.clone(), detail)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        name: String,
        #[serde(default)]
        #[validate(length(max = 2, code = "too_many", message = "At most two."))]
        list: Vec<String>,
        #[validate(nested)]
        inner: Option<Object<Inner>>,
    }

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[validate(length(min = 1, code = "empty", message = "It is empty."))]
        text: String,
    }

    async fn post(content_type: &str, body: &str) -> Result<Shape, ApiError> {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body.to_owned()))
            .unwrap();
        ValidJson::from_request(request, &()).await.map(|json| json.value)
    }

    #[rstest]
    #[case(r#"{"name":"a","state":"passed"}"#, 400, "unknown_field", "/state")]
    #[case(r#"{"name":"a","inner":{"text":"x","_id":1}}"#, 400, "unknown_field", "/inner/_id")]
    #[case(r#"{"name":"a","name":"b"}"#, 400, "duplicate_field", "/name")]
    #[case(r#"{"name":{"$gt":""}}"#, 400, "wrong_type", "/name")]
    #[case(r#"{"name":"a","list":["x",1]}"#, 400, "wrong_type", "/list/1")]
    #[case(r#"{"list":[]}"#, 422, "required", "/name")]
    #[case(r#"{"name":"a","inner":{}}"#, 422, "required", "/inner/text")]
    #[case(r#"{"name":"a","list":["x","y","z"]}"#, 422, "too_many", "/list")]
    #[case(r#"{"name":"a","inner":{"text":""}}"#, 422, "empty", "/inner/text")]
    #[case("{", 400, "json_malformed", "")]
    #[case("[]", 400, "wrong_type", "")]
    #[case(r#"["a"]"#, 400, "wrong_type", "")]
    #[case(r#"{"name":"a","inner":["x"]}"#, 400, "wrong_type", "/inner")]
    #[tokio::test]
    async fn bad_fields_are_named(
        #[case] body: &str,
        #[case] status: u16,
        #[case] code: &str,
        #[case] pointer: &str,
    ) {
        let error = post("application/json", body).await.unwrap_err();
        let (ApiError::Malformed(errors) | ApiError::Invalid(errors)) = &error else {
            panic!("{error:?}")
        };
        assert_eq!((error.status().as_u16(), errors[0].code.as_ref()), (status, code), "{body}");
        assert_eq!(errors[0].pointer, pointer, "{body}");
    }

    #[rstest]
    #[case("application/json", true)]
    #[case("Application/JSON; charset=UTF-8", true)]
    #[case("application/json; charset=utf-16", false)]
    #[case("text/plain", false)]
    #[case("application/x-www-form-urlencoded", false)]
    #[case("multipart/form-data; boundary=x", false)]
    #[case("application/jsonp", false)]
    #[tokio::test]
    async fn only_json_is_read_as_json(#[case] content_type: &str, #[case] good: bool) {
        let result = post(content_type, r#"{"name":"a"}"#).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        if let Err(error) = result {
            assert_eq!(error.status().as_u16(), 415);
        }
    }

    #[tokio::test]
    async fn a_query_has_each_parameter_once() {
        let query = async |uri: &str| {
            let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            ValidQuery::<Shape>::from_request_parts(&mut parts, &()).await.map(|q| q.0.name)
        };
        assert_eq!(query("/?name=a%20b").await.unwrap(), "a b");
        for (uri, code) in [
            ("/?name=a&name=b", "duplicate_field"),
            ("/?name=a&id[$ne]=", "unknown_field"),
            ("/", "required"),
        ] {
            assert_eq!(query(uri).await.unwrap_err().code(), code, "{uri}");
        }
    }

    #[rstest]
    #[case(1, 1000, false)]
    #[case(900, 1000, true)]
    #[case(700, 1000, false)]
    #[case(4000, 4450, true)]
    #[case(4000, 4460, false)]
    #[case(8000, 4990, true)]
    #[case(8000, 5010, false)]
    #[tokio::test(start_paused = true)]
    async fn a_body_comes_at_a_rate(#[case] size: usize, #[case] every: u64, #[case] good: bool) {
        // Eight thousand bytes: nine parts of 900 come within ten seconds, of 700 they do not.
        let parts = futures::stream::unfold(0, move |sent: usize| async move {
            let size = size.min(8000 - sent);
            (size > 0).then_some(())?;
            tokio::time::sleep(Duration::from_millis(every)).await;
            let part = Bytes::from(vec![b' '; size]);
            Some((Ok::<_, std::convert::Infallible>(part), sent + size))
        });
        let read = read(Request::new(Body::from_stream(parts))).await;
        assert_eq!(read.is_ok(), good, "{read:?}");
        if let Err(error) = read {
            assert_eq!(error.code(), "body_too_slow");
        }
    }
}
