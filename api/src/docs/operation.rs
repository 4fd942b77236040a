//! One operation of the page: what it takes, what it answers, and how to ask it from a shell.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{Marked, Operation, Text, entries, list, resolved, sample, schema::Shape, text};

/// Writes it, from the heading on.
pub(super) fn write(html: &mut String, document: &Value, operation: &Operation<'_>) -> fmt::Result {
    let (is, method) = (operation.is, operation.method.to_uppercase());
    let (id, path) = (Text(text(&is["operationId"])), Text(operation.path));
    let summary = text(&is["summary"]);
    writeln!(html, "<article id=\"{id}\" aria-labelledby=\"{id}-title\">")?;
    writeln!(html, "<h3 id=\"{id}-title\"><a href=\"#{id}\">{}</a></h3>", Text(summary))?;
    writeln!(
        html,
        "<p class=\"address\"><span class=\"{method}\">{method}</span> <code>{path}</code></p>"
    )?;
    let description = text(&is["description"]);
    if description.trim_end_matches('.') != summary {
        writeln!(html, "<p>{}</p>", Marked(description))?;
    }
    if !is["security"].is_null() {
        html.push_str("<p>It takes a bearer token: <code>Authorization: Bearer …</code>.</p>\n");
    }
    write_parameters(html, document, is)?;
    write_body(html, document, is)?;
    write_answers(html, document, is)?;
    let command = sample::curl(document, operation);
    writeln!(html, "<h4>Example</h4>\n<pre tabindex=\"0\"><code>{}</code></pre>", Text(&command))?;
    html.push_str("</article>\n");
    Ok(())
}

fn write_parameters(html: &mut String, document: &Value, is: &Value) -> fmt::Result {
    let parameters = list(&is["parameters"]);
    if parameters.is_empty() {
        return Ok(());
    }
    html.push_str("<h4>Parameters</h4>\n<dl>\n");
    for parameter in parameters {
        let parameter = resolved(document, parameter);
        let needed = if parameter["required"] == true { ", needed" } else { "" };
        let place = match text(&parameter["in"]) {
            "path" => "in the path",
            "query" => "in the query",
            _ => "a header",
        };
        writeln!(
            html,
            "<dt><code>{}</code> <span>{place}{needed}</span></dt>\n<dd>{} <span>{}</span></dd>",
            Text(text(&parameter["name"])),
            Marked(text(&parameter["description"])),
            Shape(&parameter["schema"]),
        )?;
    }
    html.push_str("</dl>\n");
    Ok(())
}

fn write_body(html: &mut String, document: &Value, is: &Value) -> fmt::Result {
    let body = resolved(document, &is["requestBody"]);
    if body.is_null() {
        return Ok(());
    }
    html.push_str("<h4>Body</h4>\n");
    let description = text(&body["description"]);
    if !description.is_empty() {
        writeln!(html, "<p>{}</p>", Marked(description))?;
    }
    html.push_str("<ul>\n");
    for (media_type, content) in entries(&body["content"]) {
        let shape = Shape(&content["schema"]);
        writeln!(html, "<li><code>{}</code>: {shape}</li>", Text(media_type))?;
    }
    html.push_str("</ul>\n");
    Ok(())
}

fn write_answers(html: &mut String, document: &Value, is: &Value) -> fmt::Result {
    html.push_str("<h4>Answers</h4>\n<dl class=\"answers\">\n");
    for (status, answer) in entries(&is["responses"]) {
        let answer = resolved(document, answer);
        let class = if status.starts_with('2') { " class=\"good\"" } else { "" };
        writeln!(html, "<dt{class}>{}</dt>", Text(status))?;
        write!(html, "<dd>{}", Marked(text(&answer["description"])))?;
        for (media_type, content) in entries(&answer["content"]) {
            let shape = Shape(&content["schema"]);
            write!(html, " <span><code>{}</code>: {shape}</span>", Text(media_type))?;
        }
        // Every answer has the id of its request.
        let headers = entries(&answer["headers"]).filter(|(name, _)| *name != "X-Request-Id");
        for (name, _) in headers {
            write!(html, " <span>header <code>{}</code></span>", Text(name))?;
        }
        html.push_str("</dd>\n");
    }
    html.push_str("</dl>\n");
    Ok(())
}
