//! `GET /docs`: the document that describes the api, as a page for people.
//!
//! It is written once, by the process itself, from the same document that `/openapi.json` has, and
//! brings along its style sheet and nothing else: no script, nothing of another host.

mod operation;
mod sample;
mod schema;

use std::{
    fmt::{self, Write as _},
    sync::LazyLock,
};

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::{etag, openapi};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const STYLE: &str = include_str!("docs/docs.css");

struct File {
    text: String,
    tag: String,
    media_type: HeaderValue,
}

impl File {
    fn new(text: String, media_type: HeaderValue) -> Self {
        let tag = etag::of(text.as_bytes());
        Self { text, tag, media_type }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        if etag::matches(headers, &self.tag) {
            return etag::unchanged(&self.tag);
        }
        let media_type = [(header::CONTENT_TYPE, self.media_type.clone())];
        etag::tagged(&self.tag, (media_type, self.text.clone()))
    }
}

static PAGE: LazyLock<File> = LazyLock::new(|| File::new(page(openapi::document()), HTML));
static SHEET: LazyLock<File> = LazyLock::new(|| File::new(STYLE.to_owned(), CSS));

/// The page; 304 if the client has it.
pub async fn show(headers: HeaderMap) -> Response {
    PAGE.answer(&headers)
}

/// Its style sheet; 304 if the client has it.
pub async fn style(headers: HeaderMap) -> Response {
    SHEET.answer(&headers)
}

/// The whole page.
fn page(document: &Value) -> String {
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut html, document);
    html
}

fn write_page(html: &mut String, document: &Value) -> fmt::Result {
    let info = &document["info"];
    let (title, version) = (Text(text(&info["title"])), Text(text(&info["version"])));
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}: the API</title>\n<link rel=\"stylesheet\" href=\"/docs.css\">\n</head>\n\
         <body>\n<a class=\"skip\" href=\"#main\">To the content</a>\n\
         <header>\n<h1>{title}: the API</h1>\n\
         <p>Version {version} · <a href=\"/openapi.json\">OpenAPI document</a> · \
         <a href=\"/\">the map</a></p>\n</header>\n<div class=\"columns\">\n",
    )?;
    write_contents(html, document)?;
    html.push_str("<main id=\"main\">\n<section id=\"about\">\n<h2>About</h2>\n");
    for paragraph in text(&info["description"]).split("\n\n") {
        writeln!(html, "<p>{}</p>", Marked(paragraph))?;
    }
    html.push_str("</section>\n");
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        writeln!(html, "<section id=\"group-{name}\">\n<h2>{}</h2>", Text(&titled(name)))?;
        writeln!(html, "<p>{}</p>", Marked(text(&tag["description"])))?;
        for found in operations(document, name) {
            operation::write(html, document, &found)?;
        }
        html.push_str("</section>\n");
    }
    html.push_str("<section id=\"schemas\">\n<h2>Shapes</h2>\n");
    for (name, shape) in entries(&document["components"]["schemas"]) {
        schema::write(html, name, shape)?;
    }
    html.push_str("</section>\n</main>\n</div>\n</body>\n</html>\n");
    Ok(())
}

/// The table of contents.
fn write_contents(html: &mut String, document: &Value) -> fmt::Result {
    html.push_str("<nav aria-label=\"Contents\">\n<ul>\n<li><a href=\"#about\">About</a></li>\n");
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        let shown = titled(name);
        writeln!(html, "<li><a href=\"#group-{name}\">{}</a>\n<ul>", Text(&shown))?;
        for found in operations(document, name) {
            let (id, summary) = (text(&found.is["operationId"]), text(&found.is["summary"]));
            writeln!(html, "<li><a href=\"#{}\">{}</a></li>", Text(id), Text(summary))?;
        }
        html.push_str("</ul>\n</li>\n");
    }
    html.push_str("<li><a href=\"#schemas\">Shapes</a></li>\n</ul>\n</nav>\n");
    Ok(())
}

/// An operation with its address.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    is: &'a Value,
}

/// The operations of a group.
fn operations<'a>(document: &'a Value, tag: &str) -> Vec<Operation<'a>> {
    let all = entries(&document["paths"]).flat_map(|(path, item)| {
        entries(item).map(move |(method, is)| Operation { method, path, is })
    });
    all.filter(|operation| operation.is["tags"][0] == tag).collect()
}

/// What a reference in the document stands for, and the name that it has there.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn titled(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// A text as HTML.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A description as HTML: what stands in backticks is code.
struct Marked<'a>(&'a str);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.0.split('`').enumerate() {
            if n % 2 == 0 {
                write!(f, "{}", Text(part))?;
            } else {
                write!(f, "<code>{}</code>", Text(part))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_described_is_data() {
        assert_eq!(Text("<b a='\"'>&").to_string(), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(Marked("a `<b>` c").to_string(), "a <code>&lt;b&gt;</code> c");
        let document = json!({
            "info": { "title": "<script>", "version": "1", "description": "<img>" },
            "tags": [{ "name": "t", "description": "</p>" }],
            "paths": { "/<x>": { "get": { "tags": ["t"], "operationId": "\"x", "summary": "<s>" } } },
            "components": { "schemas": { "<S>": { "description": "<d>" } } },
        });
        let html = page(&document);
        for planted in ["<script>", "<img>", "</p></p>", "<x>", "\"x", "<s>", "<S>", "<d>"] {
            assert!(!html.contains(planted), "{planted}\n{html}");
        }
    }

    #[test]
    fn the_page_needs_nothing_but_its_style_sheet() {
        let html = page(openapi::document());
        for forbidden in ["<script", "style=", "<style", "src=", "href=\"http", "href=\"//", "<img"]
        {
            let found = html.find(forbidden).map(|at| &html[at..(at + 80).min(html.len())]);
            assert_eq!(found, None);
        }
        assert!(!STYLE.contains("@import") && !STYLE.contains("url("));
    }

    #[test]
    fn every_link_leads_somewhere_and_every_id_stands_once() {
        let html = page(openapi::document());
        let all = |before: &str| -> Vec<String> {
            let rest = html.split(before).skip(1);
            rest.filter_map(|rest| rest.split_once('"')).map(|(id, _)| id.to_owned()).collect()
        };
        let ids = all(" id=\"");
        for id in &ids {
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id}");
        }
        let links = all("href=\"#");
        assert!(links.len() > 40, "{}", links.len());
        for link in links {
            assert!(ids.contains(&link), "#{link}");
        }
    }

    #[test]
    fn headings_are_in_order() {
        let html = page(openapi::document());
        let mut last = 0;
        for heading in html.split("<h").skip(1) {
            let Some(level) = heading.chars().next().and_then(|c| c.to_digit(10)) else { continue };
            assert!(level <= last + 1, "h{level} after h{last}: {}", &heading[..60]);
            last = level;
        }
        assert_eq!(html.matches("<h1").count(), 1);
        assert_eq!(html.matches("<main").count(), 1);
    }
}
