//! The shapes of bodies.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{Marked, Text, entries, list, text};

const REFERENCE: &str = "#/components/schemas/";

/// Writes a named shape, from its heading on.
pub(super) fn write(html: &mut String, name: &str, schema: &Value) -> fmt::Result {
    let id = Text(name);
    writeln!(html, "<article id=\"shape-{id}\">\n<h3>{id}</h3>")?;
    let description = text(&schema["description"]);
    if !description.is_empty() {
        writeln!(html, "<p>{}</p>", Marked(description))?;
    }
    let parts = [schema].into_iter().chain(list(&schema["allOf"]));
    for part in parts {
        if part["properties"].is_object() {
            write_properties(html, part)?;
        } else if !std::ptr::eq(part, schema) {
            writeln!(html, "<p>All of {}, and:</p>", Shape(part))?;
        }
    }
    let one_of = list(&schema["oneOf"]);
    for (n, part) in one_of.iter().enumerate() {
        writeln!(html, "<p>{}</p>", if n == 0 { "Either:" } else { "or:" })?;
        if part["properties"].is_object() {
            write_properties(html, part)?;
        } else {
            writeln!(html, "<p>{}</p>", Shape(part))?;
        }
    }
    let plain = ["properties", "allOf", "oneOf"].iter().all(|key| schema[key].is_null());
    if plain {
        writeln!(html, "<p>{}</p>", Shape(schema))?;
    }
    html.push_str("</article>\n");
    Ok(())
}

fn write_properties(html: &mut String, schema: &Value) -> fmt::Result {
    html.push_str("<dl>\n");
    for (name, property) in entries(&schema["properties"]) {
        let needed = list(&schema["required"]).iter().any(|required| required == name);
        let needed = if needed { "" } else { " <span>optional</span>" };
        let description = Marked(text(&property["description"]));
        writeln!(
            html,
            "<dt><code>{}</code>{needed}</dt>\n<dd>{description} <span>{}</span></dd>",
            Text(name),
            Shape(property),
        )?;
    }
    html.push_str("</dl>\n");
    Ok(())
}

/// A shape in a few words: its type, its bounds, or a link to where it is described.
pub(super) struct Shape<'a>(pub(super) &'a Value);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.0;
        if let Some(name) = text(&schema["$ref"]).strip_prefix(REFERENCE) {
            let name = Text(name);
            return write!(f, "<a href=\"#shape-{name}\">{name}</a>");
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            let parts = list(&schema[choice]);
            if !parts.is_empty() {
                let or = if choice == "allOf" { " and " } else { " or " };
                return joined(f, parts.iter().map(|part| Shape(part).to_string()), or);
            }
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            several => list(several).iter().map(text).collect(),
        };
        if types.contains(&"array") {
            write!(f, "list of {}", Shape(&schema["items"]))?;
        } else if types.contains(&"object") && schema["additionalProperties"].is_object() {
            write!(f, "object of {}", Shape(&schema["additionalProperties"]))?;
        } else {
            joined(f, types.iter().map(|one| Text(one).to_string()), " or ")?;
        }
        if types.contains(&"array") && types.contains(&"null") {
            f.write_str(" or null")?;
        }
        bounds(f, schema)
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: impl Iterator<Item = String>,
    between: &str,
) -> fmt::Result {
    for (n, part) in parts.enumerate() {
        if n > 0 {
            f.write_str(between)?;
        }
        f.write_str(&part)?;
    }
    Ok(())
}

fn bounds(f: &mut fmt::Formatter<'_>, schema: &Value) -> fmt::Result {
    const BOUNDS: [(&str, &str, &str); 4] = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
    ];
    let format = text(&schema["format"]);
    // How wide a machine number is concerns no reader.
    if matches!(format, "uuid" | "date-time" | "uri" | "date") {
        write!(f, " ({})", Text(format))?;
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().map(|word| format!("<code>{}</code>", Text(&plain(word))));
        f.write_str(": ")?;
        joined(f, words, ", ")?;
    }
    for (least, most, unit) in BOUNDS {
        match (&schema[least], &schema[most]) {
            (Value::Null, Value::Null) => {}
            (Value::Null, most) => write!(f, ", at most {most}{unit}")?,
            (least, Value::Null) => write!(f, ", at least {least}{unit}")?,
            (least, most) if least == most => write!(f, ", {least}{unit}")?,
            (least, most) => write!(f, ", {least} to {most}{unit}")?,
        }
    }
    if !schema["pattern"].is_null() {
        write!(f, ", like <code>{}</code>", Text(text(&schema["pattern"])))?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
