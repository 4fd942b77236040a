//! Examples: values of a shape, and commands that send them.

use serde_json::{Map, Value};

use super::{Operation, entries, list, resolved, text};

/// Deeper than this an example goes nowhere.
const DEEPEST: u32 = 6;

/// The command that asks an operation.
pub(super) fn curl(document: &Value, operation: &Operation<'_>) -> String {
    let (is, mut path) = (operation.is, operation.path.to_owned());
    let mut query = Vec::new();
    for parameter in list(&is["parameters"]) {
        let parameter = resolved(document, parameter);
        let (name, needed) = (text(&parameter["name"]), parameter["required"] == true);
        let value = plain(&example_of(document, parameter));
        match text(&parameter["in"]) {
            "path" => path = path.replace(&format!("{{{name}}}"), &value),
            "query" if needed || !parameter["example"].is_null() => {
                let value: String =
                    url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                query.push(format!("{name}={value}"));
            }
            _ => {}
        }
    }
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let streams = entries(&is["responses"])
        .any(|(_, answer)| !answer["content"]["text/event-stream"].is_null());
    let mut command = String::from(if streams { "curl -N" } else { "curl" });
    match operation.method {
        "get" => {}
        method => command += &format!(" -X {}", method.to_uppercase()),
    }
    if !is["security"].is_null() {
        command += " -H \"Authorization: Bearer $TOKEN\"";
    }
    let body = &resolved(document, &is["requestBody"])["content"]["application/json"];
    if !body.is_null() {
        let value = example_of(document, body);
        let written = serde_json::to_string_pretty(&value).unwrap_or_default();
        command += " \\\n  -H 'Content-Type: application/json' \\\n  --data '";
        command += &written.replace('\'', "'\\''");
        command += "' \\\n ";
    }
    format!("{command} \"$PORTCALL{path}{query}\"")
}

/// The example that stands there, or one of its schema.
fn example_of(document: &Value, described: &Value) -> Value {
    match &described["example"] {
        Value::Null => value(document, &described["schema"], 0),
        example => example.clone(),
    }
}

/// A value of a schema.
fn value(document: &Value, schema: &Value, depth: u32) -> Value {
    let schema = resolved(document, schema);
    for given in [&schema["example"], &schema["examples"][0], &schema["default"]] {
        if !given.is_null() {
            return given.clone();
        }
    }
    if let Some(word) = list(&schema["enum"]).first() {
        return word.clone();
    }
    if depth > DEEPEST {
        return Value::Null;
    }
    let choices = list(&schema["oneOf"]).iter().chain(list(&schema["anyOf"]));
    let mut choices = choices.filter(|choice| choice["type"] != "null");
    if let Some(first) = choices.next() {
        return value(document, first, depth + 1);
    }
    let mut object = Map::new();
    for part in list(&schema["allOf"]) {
        if let Value::Object(fields) = value(document, part, depth + 1) {
            object.extend(fields);
        }
    }
    for (name, property) in entries(&schema["properties"]) {
        let required = list(&schema["required"]).iter().any(|required| required == name);
        if required || !property["example"].is_null() {
            object.insert(name.to_owned(), value(document, property, depth + 1));
        }
    }
    let kind = match &schema["type"] {
        Value::String(one) => one,
        several => list(several).first().map(text).unwrap_or_default(),
    };
    match kind {
        _ if !object.is_empty() => Value::Object(object),
        "object" => Value::Object(object),
        "array" => Value::Array(vec![value(document, &schema["items"], depth + 1)]),
        "integer" => schema["minimum"].as_i64().unwrap_or(1).into(),
        "number" => 1.5.into(),
        "boolean" => true.into(),
        "string" => of_format(text(&schema["format"])).into(),
        _ => Value::Null,
    }
}

fn of_format(format: &str) -> &'static str {
    match format {
        "uuid" => "01960f3e-8a55-7cc3-9f7c-0d6a3b1f2e4d",
        "date-time" => "2026-03-20T12:00:00Z",
        "date" => "2026-03-20",
        "uri" => "https://example.org/",
        _ => "text",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{openapi, views::submit::NewSubmissionBody};

    #[test]
    fn commands_name_what_they_send() {
        let document = openapi::document();
        let path = "/api/v1/events/{event}/submissions";
        let is = &document["paths"][path]["post"];
        let command = curl(document, &Operation { method: "post", path, is });
        assert!(command.starts_with("curl -X POST \\\n  -H 'Content-Type: application/json'"));
        assert!(command.ends_with("\"$PORTCALL/api/v1/events/birthday-3/submissions\""));
        let (_, rest) = command.split_once("--data '").unwrap();
        let (body, _) = rest.split_once("' \\").unwrap();
        let body: NewSubmissionBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.participant.0.name, "Gordon");
        let path = "/api/v1/places";
        let is = &document["paths"][path]["get"];
        let command = curl(document, &Operation { method: "get", path, is });
        assert_eq!(command, "curl \"$PORTCALL/api/v1/places?q=san+fr\"");
    }

    #[test]
    fn what_refers_to_itself_has_an_end() {
        let document = json!({ "components": { "schemas": { "Tree": {
            "type": "object",
            "required": ["inner"],
            "properties": { "inner": { "$ref": "#/components/schemas/Tree" } },
        } } } });
        let tree = value(&document, &document["components"]["schemas"]["Tree"], 0);
        assert!(tree["inner"]["inner"].is_object());
    }
}
