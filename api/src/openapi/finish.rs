//! What all operations have in common.
//!
//! A request goes through layers and extractors before its handler: whoever has a body may send one
//! that cannot be read, whoever has an id may name what is not there, everybody may come too often.
//! Those answers are written down once and referred to, so that a handler's annotation has only what
//! is its own. An annotation that mentions such a status keeps its description.

use portcall_shared::domain::verdict::ParticipantCode;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::{
    extract::BODY_LIMIT,
    problem::{Document, MEDIA_TYPE},
};

/// The groups of operations: the beginning of their paths, what they are called, what they are for.
/// The first that fits counts.
const GROUPS: [(&str, &str, &str); 5] = [
    (
        "/api/v1/admin",
        "organisers",
        "What organisers and operators do, each with a bearer token that `portcall token create` \
         made. An organiser's is for one event, an operator's for all.",
    ),
    ("/competition", "2016", "The contract of 2016, for clients that were written for it."),
    ("/api/v1/places", "places", "Names of places, for forms."),
    (
        "/api/v1/submissions",
        "submissions",
        "Submissions: followed by anybody, cancelled by whoever \
      sent them.",
    ),
    (
        "/api/v1/events",
        "events",
        "Events, their rules, their numbers and their maps; and \
      submitting to them.",
    ),
];

/// Answers that any operation of a kind can give: status, name, description.
const REFUSALS: [(&str, &str, &str); 13] = [
    (
        "400",
        "Unreadable",
        "It cannot be read: not JSON, a key that is unknown or stands twice, a value of another \
         type, a header that is not valid.",
    ),
    ("401", "TokenNeeded", "No bearer token came that is good."),
    ("403", "NotAllowed", "The bearer token is not the one for that."),
    (
        "404",
        "NotThere",
        "There is no such thing. An id that is not valid is answered like this too.",
    ),
    ("408", "TooSlow", "The body did not come in time."),
    ("413", "TooLarge", "The body is larger than is read."),
    ("414", "TooLong", "The path with its query is longer than is read."),
    ("415", "OtherType", "The body is of another type, in another charset, or compressed."),
    ("422", "Unacceptable", "It can be read and is not acceptable; `errors` names each field."),
    ("429", "TooMany", "Too many came: from this address, or of this participant."),
    ("431", "HeadTooLarge", "The header has more fields, or larger ones, than are read."),
    ("500", "Fault", "A fault of ours; the log has it under the request id."),
    ("503", "Unavailable", "Not now: the store does not answer, or too many streams are open."),
];

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

const INTRODUCTION: &str = "Portcall takes container images from participants of an event, runs \
    them, asks them what the event wants to know, and puts those that answer well on a map.\n\n\
    Bodies are JSON in UTF-8, at most 16 KiB; a key that is unknown or stands twice is refused. \
    Times are RFC 3339 in UTC. Every answer has an `X-Request-Id`. A request that is not done is \
    answered with a problem document (RFC 9457), whose `code` is stable.";

/// Adds it to the document.
pub(super) fn finish(document: &mut Value) {
    let version = env!("CARGO_PKG_VERSION");
    document["info"] = json!({
        "title": "Portcall",
        "version": version,
        "description": INTRODUCTION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/", "description": "This Portcall." }]);
    let tags =
        GROUPS.iter().rev().map(|(_, name, what)| json!({ "name": name, "description": what }));
    document["tags"] = tags.collect();
    components(&mut document["components"]);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                finish_operation(path, operation);
            }
        }
    }
}

fn components(components: &mut Value) {
    let mut schemas = Vec::new();
    Document::schemas(&mut schemas);
    schemas.push((Document::name().into_owned(), Document::schema()));
    for (name, schema) in schemas {
        components["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
    components["schemas"]["Problem"]["properties"]["code"]["description"] = codes().into();
    components["securitySchemes"] = json!({ "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "For a participant the secret that came with the answer to the submission; \
            for organisers and operators their token.",
    }});
    let text = json!({ "type": "string" });
    let seconds = json!({ "type": "integer", "minimum": 1 });
    components["headers"] = json!({
        "X-Request-Id": {
            "description": "The id of the request; the log has it too.",
            "required": true,
            "schema": { "type": "string", "format": "uuid" },
        },
        "ETag": {
            "description": "What to send as `If-None-Match` to be answered 304 while nothing has \
                changed.",
            "required": true,
            "schema": text,
        },
        "Retry-After": {
            "description": "In how many seconds to try again.",
            "required": true,
            "schema": seconds,
        },
        "WWW-Authenticate": { "description": "`Bearer`.", "required": true, "schema": text },
    });
    for (status, name, description) in REFUSALS {
        components["responses"][name] = refusal(status, description);
    }
}

/// What a code may be. A test reads them out of `problem.rs`.
fn codes() -> String {
    let fields: Vec<&str> = ParticipantCode::ALL.iter().map(|code| code.as_str()).collect();
    format!(
        "The stable code; programs decide by it. Of a request with one kind of fault in its fields \
         it is that fault's. One of `{}`; of a field also one of those of a reason (`{}`) or of \
         what is wrong with a value (`required`, `empty`, `too_long`, `wrong_type`, …).",
        CODES.join("`, `"),
        fields.join("`, `"),
    )
}

/// Every code of [`crate::problem::ApiError`].
pub(super) const CODES: &[&str] = &[
    "already_final",
    "body_incomplete",
    "body_too_large",
    "body_too_slow",
    "event_closed",
    "event_not_open",
    "head_too_large",
    "https_required",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "internal",
    "invalid_request",
    "malformed_request",
    "media_type_unsupported",
    "method_not_allowed",
    "not_found",
    "not_http",
    "not_undetermined",
    "not_yours",
    "path_too_long",
    "regrade_state",
    "seal_key_missing",
    "secret_needed",
    "secret_wrong",
    "token_in_query",
    "token_needed",
    "too_many_pending",
    "too_many_regrades",
    "too_many_requests",
    "too_many_streams",
    "too_many_streams_here",
    "too_many_versions",
    "too_many_webhooks",
    "unavailable",
    "webhook_disabled",
];

fn refusal(status: &str, description: &str) -> Value {
    let mut response = json!({
        "description": description,
        "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    header(&mut response, "X-Request-Id");
    match status {
        "401" => header(&mut response, "WWW-Authenticate"),
        "429" | "503" => header(&mut response, "Retry-After"),
        "413" => {
            response["description"] =
                format!("{description} {BODY_LIMIT} bytes are read at most.").into();
        }
        _ => {}
    }
    response
}

fn header(response: &mut Value, name: &str) {
    response["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
}

fn finish_operation(path: &str, operation: &mut Value) {
    describe(path, operation);
    parameters(path, operation);
    let organisers = path.starts_with(GROUPS[0].0);
    if organisers && operation["security"].is_null() {
        operation["security"] = json!([{ "bearer": [] }]);
    }
    let mut possible = vec!["414", "429", "431", "500", "503"];
    if path.contains('{') {
        possible.push("404");
    }
    if !operation["requestBody"].is_null() {
        finish_body(&mut operation["requestBody"]);
        possible.extend(["400", "408", "413", "415", "422"]);
    }
    if takes(operation, "query") {
        possible.extend(["400", "422"]);
    }
    if takes(operation, "header") {
        possible.push("400");
    }
    if !operation["security"].is_null() {
        possible.extend(["401", "403"]);
    }
    // A token in the address is refused before it is looked at.
    if organisers {
        possible.push("400");
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    responses.retain(|_, response| response.is_object());
    for (status, name, _) in REFUSALS.iter().filter(|(status, ..)| possible.contains(status)) {
        let shared = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(*status).or_insert(shared);
    }
    finish_responses(responses);
}

/// A body that need not come has a shape like any other: `null` is not how it does not come.
fn finish_body(body: &mut Value) {
    let mut needed = true;
    for (_, content) in body["content"].as_object_mut().into_iter().flatten() {
        let choices = content["schema"]["oneOf"].as_array().cloned().unwrap_or_default();
        let (null, mut shapes): (Vec<_>, Vec<_>) =
            choices.into_iter().partition(|choice| choice["type"] == "null");
        if !null.is_empty()
            && shapes.len() == 1
            && let Some(shape) = shapes.pop()
        {
            content["schema"] = shape;
            needed = false;
        }
    }
    body["required"] = needed.into();
}

/// What every answer has.
fn finish_responses(responses: &mut Map<String, Value>) {
    let tagged = responses.contains_key("304");
    for (status, response) in responses {
        if response.get("$ref").is_some() {
            continue;
        }
        if status.starts_with(['4', '5']) && response["content"].is_null() {
            let description = response["description"].as_str().unwrap_or_default().to_owned();
            let headers = response["headers"].take();
            *response = refusal(status, &description);
            for (name, header) in headers.as_object().into_iter().flatten() {
                response["headers"][name] = header.clone();
            }
        }
        header(response, "X-Request-Id");
        if tagged && matches!(status.as_str(), "200" | "304") {
            header(response, "ETag");
        }
    }
}

/// Its group, its id if the handler's name alone would not tell it apart, and its description.
fn describe(path: &str, operation: &mut Value) {
    let group = GROUPS.iter().find(|(beginning, ..)| path.starts_with(beginning));
    operation["tags"] = json!([group.map_or("other", |(_, name, _)| name)]);
    // Handlers of organisers' addresses are called `show`, `list`, `create`: the address tells what.
    let id = operation["operationId"].as_str().unwrap_or_default();
    if let Some(rest) = path.strip_prefix("/api/v1/admin/")
        && !id.contains(char::is_uppercase)
    {
        let words = rest.split('/').filter(|word| !word.starts_with('{') && *word != id);
        let id: Vec<&str> = ["admin"].into_iter().chain(words).chain([id]).collect();
        operation["operationId"] = id.join("_").into();
    }
    let text = |key: &str| {
        let text = operation[key].as_str().unwrap_or_default();
        let text = text.split("# Errors").next().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // A summary is one line of a list; what a comment says beyond that comes with the rest.
    let (whole, more) = (text("summary"), text("description"));
    let (summary, rest) = whole.split_once(". ").unwrap_or((&whole, ""));
    let summary = summary.trim_end_matches('.').to_owned();
    let more = if whole.starts_with(&more) || more.starts_with(&whole) { "" } else { &more };
    let sentences = format!("{rest} {more}");
    operation["description"] = match sentences.trim() {
        "" => format!("{summary}."),
        all => all.to_owned(),
    }
    .into();
    operation["summary"] = summary.into();
}

/// Ids in the path, which mean the same everywhere, and `If-None-Match` where there are tags.
fn parameters(path: &str, operation: &mut Value) {
    let mut all = operation["parameters"].as_array().cloned().unwrap_or_default();
    all.retain(|parameter| parameter["in"] != "path");
    for name in path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}')) {
        let (schema, description) = match name {
            "event" => (
                json!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 64,
                    "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
                    "example": "birthday-3",
                }),
                "The event's name in addresses.",
            ),
            _ => (json!({ "type": "string", "format": "uuid" }), "Its id."),
        };
        all.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": description,
            "schema": schema,
        }));
    }
    if !operation["responses"]["304"].is_null() {
        all.push(json!({
            "name": "If-None-Match",
            "in": "header",
            "required": false,
            "description": "The `ETag` of the answer that the client has.",
            "schema": { "type": "string" },
        }));
    }
    // What need not come is left out: there is no way to write `null` in an address or a header.
    for parameter in &mut all {
        if let Some([kind, null]) = parameter["schema"]["type"].as_array().map(Vec::as_slice)
            && null == "null"
        {
            parameter["schema"]["type"] = kind.clone();
        }
    }
    if !all.is_empty() {
        operation["parameters"] = all.into();
    }
}

fn takes(operation: &Value, place: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.into_iter().flatten().any(|parameter| parameter["in"] == place)
}
