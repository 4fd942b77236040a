//! The table of the router and the document are the same, and the document is sound.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Router, body::Body, routing::get};
use http::{Method, Request, StatusCode, header};
use portcall_shared::{settings::Reader, shutdown::Stop, store::Store};
use serde_json::Value;
use tower::ServiceExt as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::*;
use crate::{settings::Settings, state::AppState};

/// What needs no operation: pages for people and what they are made of.
const UNDESCRIBED: [&str; 20] = [
    "/",
    "/assets/{*file}",
    "/console",
    "/console/{event}",
    "/console/{event}/audit",
    "/console/{event}/regrades",
    "/console/{event}/regrades/{id}",
    "/console/{event}/rules",
    "/console/{event}/submissions",
    "/console/{event}/submissions/{id}",
    "/console/{event}/suspects",
    "/console/{event}/suspects/{digest}",
    "/console/{event}/webhooks",
    "/docs",
    "/docs.css",
    "/events/{event}",
    "/events/{event}/board",
    "/events/{event}/submit",
    "/openapi.json",
    "/submissions/{id}",
];

async fn state() -> AppState {
    let (settings, _) = Settings::read(Reader::from_map(BTreeMap::new())).unwrap();
    // Nothing listens there, and nothing here asks it.
    let store = Store::open("mongodb://127.0.0.1:1/?replicaSet=rs", "test", "test").await.unwrap();
    AppState::new(settings, store, Stop::default())
}

/// The addresses that a router has, by what it says of itself for debugging: it has no other list.
fn routed(router: &Router<AppState>) -> BTreeSet<String> {
    let told = format!("{router:?}");
    let quoted = told.split('"').skip(1).step_by(2);
    // What is left to nobody is a route of axum's own.
    let ours = |text: &&str| text.starts_with('/') && !text.contains("__private");
    quoted.filter(ours).map(str::to_owned).collect()
}

/// The methods that an address answers, by what it tells whoever uses one that it does not.
async fn methods(router: &Router, path: &str) -> BTreeSet<String> {
    let path: String = path
        .split('/')
        .skip(1)
        .map(|word| if word.starts_with('{') { "/x".to_owned() } else { format!("/{word}") })
        .collect();
    let method = Method::from_bytes(b"NOBODY").unwrap();
    let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    let allowed = response.headers()[header::ALLOW].to_str().unwrap();
    // Whatever answers GET answers HEAD, without its body.
    let all = allowed.split(',').map(|method| method.trim().to_lowercase());
    all.filter(|method| method != "head").collect()
}

/// Where router and document differ.
async fn differences(table: Router<AppState>, document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let routed = routed(&table);
    let table = table.with_state(state().await);
    let mut found = Vec::new();
    for path in &routed {
        let described = paths.get(path).and_then(Value::as_object);
        let described = described.into_iter().flat_map(|item| item.keys().cloned());
        let described: BTreeSet<String> = described.collect();
        if UNDESCRIBED.contains(&path.as_str()) {
            found.extend(described.iter().map(|method| format!("a page: {method} {path}")));
            continue;
        }
        let answered = methods(&table, path).await;
        found.extend(answered.difference(&described).map(|m| format!("undescribed: {m} {path}")));
        found.extend(described.difference(&answered).map(|m| format!("not routed: {m} {path}")));
    }
    found.extend(paths.keys().filter(|p| !routed.contains(*p)).map(|p| format!("not routed: {p}")));
    found
}

#[tokio::test]
async fn the_table_and_the_document_are_the_same() {
    let table = || Router::from(router::table());
    assert!(routed(&table()).len() > 17, "{:?}", routed(&table()));
    assert_eq!(differences(table(), document()).await, Vec::<String>::new());
    for page in UNDESCRIBED {
        assert!(routed(&table()).contains(page), "{page} is no page any more");
    }

    // The control: each way to differ, planted.
    let planted = table().route("/api/v1/planted", get(|| async {}));
    assert_eq!(differences(planted, document()).await, ["undescribed: get /api/v1/planted"]);
    let planted = table().route("/api/v1/events", axum::routing::put(|| async {}));
    assert_eq!(differences(planted, document()).await, ["undescribed: put /api/v1/events"]);
    let mut more = document().clone();
    more["paths"]["/api/v1/promised"]["get"] = more["paths"]["/api/v1/events"]["get"].clone();
    more["paths"]["/api/v1/places"]["delete"] = more["paths"]["/api/v1/events"]["get"].clone();
    more["paths"]["/docs"]["get"] = more["paths"]["/api/v1/events"]["get"].clone();
    let expected =
        ["not routed: delete /api/v1/places", "a page: get /docs", "not routed: /api/v1/promised"];
    assert_eq!(differences(table(), &more).await, expected);
}

#[utoipa::path(get, path = "/planted", responses((status = 200, description = "It is there.")))]
async fn planted() {}

#[test]
fn registering_is_describing() {
    let table: OpenApiRouter = OpenApiRouter::default().routes(routes!(planted));
    assert!(table.get_openapi().paths.get_path_item("/planted").is_some());
}

fn operations() -> Vec<(String, &'static Value)> {
    let paths = document()["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[test]
fn every_operation_says_what_it_is_for() {
    let mut ids = BTreeSet::new();
    for (name, operation) in operations() {
        let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
        for key in ["operationId", "summary", "description"] {
            assert!(!text(key).is_empty(), "{name} has no {key}");
        }
        assert!(!text("description").contains('#'), "{name}: {}", text("description"));
        assert!(ids.insert(text("operationId")), "{name}: {} stands twice", text("operationId"));
        assert_ne!(operation["tags"][0], "other", "{name}: no group fits it");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
        for status in ["414", "429", "431", "500", "503"] {
            assert!(responses.contains_key(status), "{name}: {status}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in &parameters {
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{name}: {} has no description", parameter["name"]);
            let schema = &parameter["schema"];
            let bounded = ["maxLength", "pattern", "enum", "format"];
            // Of headers that clients send by themselves any value is taken.
            let text = schema["type"].to_string().contains("string");
            let text = text && parameter["in"] != "header";
            let bounded = bounded.iter().any(|key| !schema[key].is_null());
            assert!(bounded || !text, "{name}: {} has no bounds", parameter["name"]);
        }
    }
}

#[test]
fn every_reference_and_link_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(document(), &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document().pointer(pointer).is_some(), "{reference}");
    }
    let ids: BTreeSet<&str> = operations()
        .iter()
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    let mut links = 0;
    for (name, operation) in operations() {
        for response in operation["responses"].as_object().unwrap().values() {
            for link in response["links"].as_object().into_iter().flatten().map(|(_, link)| link) {
                let to = link["operationId"].as_str().unwrap();
                assert!(ids.contains(to), "{name} links to {to}");
                links += 1;
            }
        }
    }
    assert!(links >= 6, "{links}");
}

#[test]
fn every_code_of_a_problem_is_described() {
    // Between these two lines of the one place where codes come from.
    let source = include_str!("../problem.rs");
    let (_, source) = source.split_once("pub fn code(&self)").unwrap();
    let (source, _) = source.split_once("\n    }\n").unwrap();
    let found: BTreeSet<&str> = source.split('"').skip(1).step_by(2).collect();
    let described: BTreeSet<&str> = finish::CODES.iter().copied().collect();
    assert!(found.contains("not_found"), "{found:?}");
    assert_eq!(found, described);
}

/// The names that types have in the document: of two with one name the document has only one.
fn names(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for after in text.split("#[derive(").skip(1) {
            let Some((derived, rest)) = after.split_once(")]") else { continue };
            if !derived.contains("ToSchema") {
                continue;
            }
            let Some((attributes, rest)) = rest.split_once("pub") else { continue };
            let given = attributes.split_once("as = ").map(|(_, rest)| rest);
            let word = |text: &str| -> String {
                text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
            };
            let declared = ["struct ", "enum "].iter().filter_map(|kind| rest.split_once(kind));
            let declared = declared.min_by_key(|(before, _)| before.len()).map(|(_, rest)| rest);
            found.extend(given.or(declared).map(word));
        }
    }
}

#[test]
fn no_two_types_have_one_name() {
    let mut found = Vec::new();
    names(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    for known in ["FoundPlace", "SubmissionView", "NewSubmission", "Problem"] {
        assert!(found.iter().any(|name| name == known), "{known}: {found:?}");
    }
    found.sort();
    let twice: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// The document as it lies beside the page, whose types are made from it: every key in its order, so
/// that a change of it is read as what it is.
fn written() -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<_, _> = fields.iter().collect();
                fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(document())).unwrap() + "\n"
}

/// `UPDATE=1 cargo test -p portcall-api --lib openapi` writes it anew; `npm run types` then makes the
/// page's types from it.
#[test]
fn the_document_beside_the_page_is_this_one() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/openapi.json");
    #[expect(clippy::disallowed_methods, reason = "a test is told so that it is to write it anew")]
    if std::env::var("UPDATE").is_ok_and(|word| word == "1") {
        std::fs::write(&file, written()).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let (kept, written) = (kept.lines(), written());
    let differs = kept.zip(written.lines()).position(|(kept, written)| kept != written);
    let same = std::fs::read_to_string(&file).is_ok_and(|kept| kept == written);
    assert!(
        same,
        "web/openapi.json is not what the api describes (line {}): renew it with\n    \
            UPDATE=1 cargo test -p portcall-api --lib openapi && (cd web && npm run types)",
        differs.unwrap_or_default() + 1,
    );
}

/// A text of so many characters as people count them has up to four code points for each.
#[test]
fn a_limit_of_characters_is_told_in_code_points() {
    let (document, mut seen) = (document(), 0);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (property, schema) in properties {
            let Some(most) = schema["maxLength"].as_u64() else { continue };
            let said = schema["description"].as_str().unwrap_or_default();
            let words: Vec<&str> = said.split_whitespace().collect();
            let characters = words.iter().position(|word| word.starts_with("characters"));
            let Some(count) = characters.and_then(|at| words[at - 1].parse::<u64>().ok()) else {
                continue;
            };
            seen += 1;
            assert!(most >= 4 * count, "{name}.{property}: {most} for \"{said}\"");
        }
    }
    assert!(seen >= 6, "only {seen} such texts were found");
}

#[test]
fn it_is_of_the_version_that_tools_read() {
    assert!(document()["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}
