//! Event files: TOML in, a whole [`Event`] or every mistake with its line out.
//!
//! The keys and their bounds are those of this file; `infra/events/birthday-3.toml` is an example
//! with comments for organisers.
//!
//! Whoever organises one event writes its file over HTTP, and every process reads it again with all
//! the others: a file must cost no more than its size, whatever stands in it, and no list in it is
//! without a bound.

mod json_path;
mod reader;

use std::{collections::BTreeSet, time::Duration};

use self::reader::{Problems, Section};
pub use self::{
    json_path::{InvalidPath, MAX_DESCENTS, MAX_PATH},
    reader::{MAX_PROBLEMS, Problem},
};
use super::{
    event::{
        AnswerRule, Check, Event, Expect, ImageRules, JsonRule, Limits, Method, Profile, Service,
        Target,
    },
    ids::EventSlug,
    image::RegistryHost,
    template::Template,
    text,
};

/// Largest event file that is read, in bytes.
pub const MAX_FILE: usize = 256 * 1024;
/// Most checks in an event.
pub const MAX_CHECKS: usize = 32;
/// Most rules about the JSON of one answer.
pub const MAX_RULES: usize = 64;
/// Most images of a submission.
pub const MAX_IMAGES: usize = 8;
/// Most registries that images may be kept at.
pub const MAX_REGISTRIES: usize = 16;
/// Most services that an event provides.
pub const MAX_SERVICES: usize = 8;
/// Most questions to participants.
pub const MAX_ANSWERS: usize = 64;
/// Most texts that one value may be one of.
pub const MAX_CHOICES: usize = 50;
/// Longest name of a type of content, in bytes.
pub const MAX_CONTENT_TYPE: usize = 200;

/// The mistakes of an event file, all of them, by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidEvent(pub Vec<Problem>);

/// Reads an event file.
///
/// # Errors
/// Every mistake in it, each with its line and key.
pub fn parse(source: &str) -> Result<Event, InvalidEvent> {
    if source.len() > MAX_FILE {
        let message = format!("the file has {} bytes; at most {MAX_FILE} are read", source.len());
        return Err(InvalidEvent(vec![Problem { line: 1, key: String::new(), message }]));
    }
    let problems = Problems::of(source);
    let event = {
        let document = problems.parse();
        document.as_ref().and_then(|d| event(&Section::root(&problems, d)))
    };
    match (event, problems.into_sorted()) {
        (Some(event), problems) if problems.is_empty() => Ok(event),
        (_, problems) => Err(InvalidEvent(problems)),
    }
}

/// The same file with one more registry that images may be kept at.
///
/// # Errors
/// The mistakes of the file, or of what it would become.
pub fn with_registry(source: &str, host: &RegistryHost) -> Result<String, InvalidEvent> {
    let event = parse(source)?;
    let mut hosts = event.images.registries;
    if !hosts.contains(host) {
        hosts.push(host.clone());
    }
    let list: toml_edit::Array = hosts.iter().map(RegistryHost::as_str).collect();
    let mut document = editable(source)?;
    document["images"]["registries"] = toml_edit::value(list);
    let source = document.to_string();
    parse(&source).map(|_| source)
}

/// The same file under another slug and title, and without times: it is always open.
///
/// # Errors
/// The mistakes of the file, or of what it would become.
pub fn renamed(source: &str, slug: &EventSlug, title: &str) -> Result<String, InvalidEvent> {
    parse(source)?;
    let mut document = editable(source)?;
    document["slug"] = toml_edit::value(slug.as_str());
    document["title"] = toml_edit::value(title);
    for times in ["opens", "closes"] {
        document.remove(times);
    }
    let source = document.to_string();
    parse(&source).map(|_| source)
}

fn editable(source: &str) -> Result<toml_edit::DocumentMut, InvalidEvent> {
    source.parse().map_err(|e: toml_edit::TomlError| {
        let message = e.message().to_owned();
        InvalidEvent(vec![Problem { line: 1, key: String::new(), message }])
    })
}

fn event(root: &Section<'_>) -> Option<Event> {
    let slug = root.parsed("slug", str::parse::<EventSlug>);
    let title = root.parsed("title", |t| text::checked(t, 120));
    let (opens, closes) = (root.time("opens"), root.time("closes"));
    if let (Some(opens), Some(closes)) = (opens, closes)
        && closes <= opens
    {
        root.wrong("closes", "it closes before it opens");
    }
    let profile = root.optional("profile", profile).unwrap_or(Profile::Ordinary);
    let images = images(root);
    let answers = root.sections("answers", MAX_ANSWERS);
    let answers: Vec<AnswerRule> = answers.iter().filter_map(answer).collect();
    unique(root, "answers", answers.iter().map(|a| a.name.as_str()));
    let services = root.sections("services", MAX_SERVICES);
    let services: Vec<Service> = services.iter().filter_map(service).collect();
    let aliases = images.aliases.iter().chain(services.iter().map(|s| &s.alias));
    unique(root, "services", aliases.map(String::as_str));
    let names: BTreeSet<&str> = answers.iter().map(|a| a.name.as_str()).collect();
    let sections = root.sections("checks", MAX_CHECKS);
    let checks: Vec<Check> = sections.iter().filter_map(|s| check(s, images.max, &names)).collect();
    unique(root, "checks", checks.iter().map(|c| c.name.as_str()));
    if sections.is_empty() {
        root.wrong("checks", "an event needs at least one [[checks]]");
    }
    let limits = root.section("limits").map_or_else(Limits::default, |s| limits(&s));
    root.finish();
    Some(Event {
        slug: slug?,
        title: title?,
        opens,
        closes,
        profile,
        images,
        answers,
        services,
        checks,
        limits,
    })
}

fn profile(word: &str) -> Result<Profile, &'static str> {
    match word {
        "ordinary" => Ok(Profile::Ordinary),
        "strict" => Ok(Profile::Strict),
        _ => Err("expected \"ordinary\" or \"strict\""),
    }
}

/// The registries of an event that names none.
fn public_registries() -> Vec<RegistryHost> {
    ["docker.io", "ghcr.io", "quay.io"].iter().filter_map(|h| h.parse().ok()).collect()
}

fn images(root: &Section<'_>) -> ImageRules {
    let mut rules =
        ImageRules { min: 1, max: 1, aliases: Vec::new(), registries: public_registries() };
    let Some(section) = root.section("images") else { return rules };
    let small = |n: Option<i64>| n.and_then(|n| usize::try_from(n).ok());
    let bound = MAX_IMAGES as i64;
    rules.min = small(section.integer("min", 1..=bound)).unwrap_or(1);
    rules.max = small(section.integer("max", 1..=bound)).unwrap_or(rules.min);
    let bounds_are_known = section.clean();
    if rules.max < rules.min {
        section.wrong("max", "it is less than min");
    }
    rules.aliases = section.list("aliases", MAX_IMAGES, alias).unwrap_or_default();
    if bounds_are_known && rules.aliases.len() > rules.max {
        section.wrong("aliases", format!("there are more than max = {}", rules.max));
    }
    let hosts = section.list("registries", MAX_REGISTRIES, str::parse::<RegistryHost>);
    if let Some(hosts) = hosts {
        if hosts.is_empty() {
            section.wrong("registries", "with no registry at all no image can be submitted");
        }
        rules.registries = hosts;
    }
    section.finish();
    rules
}

/// A DNS label (RFC 1123 §2.1), lower case.
fn alias(word: &str) -> Result<String, &'static str> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=32).contains(&word.len())
        && word.bytes().all(fine)
        && word.starts_with(ends)
        && word.ends_with(ends);
    if good { Ok(word.to_owned()) } else { Err("expected 1 to 32 of a-z, 0-9 and - inside") }
}

/// A name that people and programs share.
fn name(word: &str) -> Result<String, &'static str> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let good = (1..=40).contains(&word.len()) && word.bytes().all(fine);
    if good { Ok(word.to_owned()) } else { Err("expected 1 to 40 of a-z, 0-9, _ and -") }
}

fn unique<'a>(root: &Section<'_>, key: &'static str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            root.wrong(key, format!("`{name}` is there twice"));
        }
    }
}

fn answer(section: &Section<'_>) -> Option<AnswerRule> {
    let name = section.parsed("name", name);
    let label = section.optional("label", |t| text::checked(t, 120));
    let one_of = section.list("one_of", MAX_CHOICES, |t| text::checked(t, 200));
    if one_of.as_ref().is_some_and(Vec::is_empty) {
        section.wrong("one_of", format!("expected 1 to {MAX_CHOICES} answers"));
    }
    let max_length = section.integer("max_length", 1..=200u32).unwrap_or(200) as usize;
    section.finish();
    Some(AnswerRule { name: name?, label, one_of, max_length })
}

fn service(section: &Section<'_>) -> Option<Service> {
    let alias = section.parsed("alias", alias);
    let image = section.parsed("image", str::parse);
    section.finish();
    Some(Service { alias: alias?, image: image? })
}

fn check(section: &Section<'_>, images: usize, answers: &BTreeSet<&str>) -> Option<Check> {
    let name = section.parsed("name", name);
    let target = target(section, images);
    let template = |text: &str| {
        let template = Template::parse(text).map_err(|e| e.to_string())?;
        let unknown = template.answers().find(|a| !answers.contains(a)).map(str::to_owned);
        match unknown {
            Some(answer) => Err(format!("no [[answers]] is called `{answer}`")),
            None => Ok(template),
        }
    };
    let path = |text: &str| {
        if !text.starts_with('/') || text.len() > 1024 {
            return Err("expected a path that begins with / and has at most 1024 bytes".into());
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("only printable ASCII without spaces; write others as %XX".into());
        }
        template(text)
    };
    let asks = [
        (Method::Get, section.optional("get", path)),
        (Method::Post, section.optional("post", path)),
        (Method::Head, section.optional("head", path)),
    ];
    let mut asks = asks.into_iter().filter_map(|(method, path)| path.map(|p| (method, p)));
    let ask = asks.next();
    if (ask.is_none() && section.clean()) || asks.next().is_some() {
        section.wrong("get", "a check asks one of get, post or head");
    }
    let body = section.optional("body", template);
    if body.is_some() && !matches!(ask, Some((Method::Post, _)) | None) {
        section.wrong("body", "only a post has a body");
    }
    let status = section.integer("status", 100..=599u16).unwrap_or(200);
    let content_type = section.optional("content_type", content_type);
    let contains = section.optional("contains", template);
    let rules = section.sections("json", MAX_RULES);
    let json: Vec<JsonRule> = rules.iter().filter_map(|s| json_rule(s, template)).collect();
    if matches!(ask, Some((Method::Head, _))) && (contains.is_some() || !json.is_empty()) {
        section.wrong("head", "the answer to a head has no body to look at");
    }
    section.finish();
    let ((method, path), target, name) = (ask?, target?, name?);
    Some(Check { name, target, method, path, body, status, content_type, contains, json })
}

/// Told apart without regard to case.
fn content_type(text: &str) -> Result<String, String> {
    match text.len() {
        0..=MAX_CONTENT_TYPE => Ok(text.to_lowercase()),
        _ => Err(format!("expected at most {MAX_CONTENT_TYPE} bytes")),
    }
}

fn target(section: &Section<'_>, images: usize) -> Option<Target> {
    let Some(value) = section.value("image") else { return Some(Target::Any) };
    match (value.as_str(), value.as_integer()) {
        (Some("any"), _) => return Some(Target::Any),
        (Some("all"), _) => return Some(Target::All),
        (_, Some(index)) => {
            if let Ok(index) = usize::try_from(index)
                && index < images
            {
                return Some(Target::Index(index));
            }
        }
        _ => {}
    }
    let last = images.saturating_sub(1);
    section.wrong("image", format!("expected \"any\", \"all\" or an index from 0 to {last}"));
    None
}

fn json_rule(
    section: &Section<'_>,
    template: impl Fn(&str) -> Result<Template, String> + Copy,
) -> Option<JsonRule> {
    let path = section.parsed("path", json_path::checked);
    let equals = section.value("equals");
    let one_of = section.list("one_of", MAX_CHOICES, template);
    let exists = section.value("exists").map(|v| v.as_bool());
    if exists.is_some_and(|e| e != Some(true)) {
        section.wrong("exists", "expected true");
    }
    section.finish();
    if usize::from(equals.is_some()) + usize::from(one_of.is_some()) + usize::from(exists.is_some())
        != 1
    {
        section.wrong("equals", "a rule has one of equals, one_of or exists = true");
        return None;
    }
    let expect = match (equals, one_of) {
        (Some(value), _) => match (value.as_str(), value.as_integer(), value.as_bool()) {
            (Some(text), ..) => {
                Expect::Text(template(text).map_err(|e| section.wrong("equals", e)).ok()?)
            }
            (_, Some(number), _) => Expect::Value(number.into()),
            (.., Some(truth)) => Expect::Value(truth.into()),
            _ => match value.as_float().and_then(serde_json::Number::from_f64) {
                Some(number) => Expect::Value(number.into()),
                None => {
                    section.wrong("equals", "expected a text, a number, true or false");
                    return None;
                }
            },
        },
        (None, Some(texts)) => Expect::OneOf(texts),
        (None, None) => Expect::Exists,
    };
    Some(JsonRule { path: path?, expect })
}

fn limits(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    let seconds = |key, max: u64, default: Duration| {
        let seconds = section.integer::<i64>(key, 1..=max.cast_signed());
        seconds.map_or(default, |s| Duration::from_secs(s.unsigned_abs()))
    };
    let limits = Limits {
        memory_mib: section.integer("memory_mib", 16..=4096).unwrap_or(default.memory_mib),
        cpus: section.number("cpus", 0.1..=8.0).unwrap_or(default.cpus),
        pids: section.integer("pids", 32..=512),
        image_mib: section.integer("image_mib", 1..=8192).unwrap_or(default.image_mib),
        pull: seconds("pull_s", 600, default.pull),
        start: seconds("start_s", 60, default.start),
        ready: seconds("ready_s", 120, default.ready),
        request: seconds("request_s", 30, default.request),
        body_kib: section.integer("body_kib", 1..=256).unwrap_or(default.body_kib),
        grading: seconds("grading_s", 180, default.grading),
    };
    if limits.start + limits.ready + limits.request >= limits.grading {
        let message = "it must be more than start_s, ready_s and request_s together";
        section.wrong("grading_s", message);
    }
    section.finish();
    limits
}

#[cfg(test)]
mod tests;
