//! What an image must answer so that it passes, read off the rules of an event; and the same with a
//! mistake in it. The answers are whole, head and all: the sample program (`app`, mode `chosen`) sends
//! the file that a path stands for.

use std::collections::BTreeMap;

use portcall_shared::domain::{
    event::{Check, Event, Expect, Method},
    ids::SubmissionId,
    submission::Submission,
};
use serde_json::{Map, Value, json};

/// Whole answers by the name of the file that the sample program sends.
pub(crate) type Answers = BTreeMap<String, Vec<u8>>;

/// Whether the answers are those that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// They are.
    None,
    /// They are of somebody else: the rules do not hold.
    Another,
}

/// What is asked of one path.
#[derive(Default)]
struct Wanted {
    status: Option<u16>,
    content_type: Option<String>,
    json: Option<Value>,
    texts: Vec<String>,
}

/// The answers of an image of this submission's.
///
/// # Errors
/// Which rule cannot be turned into an answer, and why.
pub(crate) fn answers(
    event: &Event,
    submission: &Submission,
    mistake: Mistake,
) -> Result<Answers, String> {
    // What stands for the id cannot be known before there is one.
    let other = Submission { id: SubmissionId::new(), ..submission.clone() };
    if files(event, submission)? != files(event, &other)? {
        return Err("a rule has {submission.id} in it, which no image can know".to_owned());
    }
    let mut files = files(event, submission)?;
    if mistake == Mistake::Another {
        for wanted in files.values_mut() {
            spoil(wanted);
        }
    }
    Ok(files.into_iter().map(|(name, wanted)| (name, wanted.whole())).collect())
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.whole() == other.whole()
    }
}

fn files(event: &Event, submission: &Submission) -> Result<BTreeMap<String, Wanted>, String> {
    let mut files: BTreeMap<String, Wanted> = BTreeMap::new();
    for check in &event.checks {
        let refuse = |why: String| format!("the check `{}` {why}", check.name);
        if check.method != Method::Get {
            return Err(refuse(format!("asks by {}, not by GET", check.method.as_str())));
        }
        let path = check.path.fill_encoded(submission);
        let name = path.trim_start_matches('/').replace(['/', '.'], "_");
        let name = if name.is_empty() { "index".to_owned() } else { name };
        files.entry(name).or_default().want(check, submission).map_err(refuse)?;
    }
    Ok(files)
}

impl Wanted {
    fn want(&mut self, check: &Check, submission: &Submission) -> Result<(), String> {
        let status = *self.status.get_or_insert(check.status);
        if status != check.status {
            return Err("wants another status than one before it of the same path".to_owned());
        }
        if let Some(content_type) = &check.content_type {
            let said = self.content_type.get_or_insert_with(|| content_type.clone());
            if said != content_type {
                return Err("wants another type than one before it of the same path".to_owned());
            }
        }
        self.texts.extend(check.contains.iter().map(|text| text.fill(submission)));
        for rule in &check.json {
            let value = match &rule.expect {
                Expect::Text(text) => json!(text.fill(submission)),
                Expect::Value(value) => value.clone(),
                Expect::OneOf(texts) => json!(texts.first().map(|text| text.fill(submission))),
                Expect::Exists => json!(true),
            };
            let steps = steps(&rule.path)
                .ok_or_else(|| format!("has a path that is more than names: {}", rule.path))?;
            put(self.json.get_or_insert_with(|| json!({})), &steps, value)
                .ok_or_else(|| format!("wants two things at {}", rule.path))?;
        }
        match (&mut self.json, &self.texts[..]) {
            (_, []) | (None, _) => Ok(()),
            (Some(Value::Object(fields)), texts) => {
                fields.insert("also".to_owned(), json!(texts));
                let body = Value::Object(fields.clone()).to_string();
                match texts.iter().all(|text| body.contains(text)) {
                    true => Ok(()),
                    false => Err("wants a text that JSON writes otherwise".to_owned()),
                }
            }
            (Some(_), _) => Err("wants a text beside JSON that is no object".to_owned()),
        }
    }

    /// The answer, head and all.
    fn whole(&self) -> Vec<u8> {
        let (kind, body) = match &self.json {
            Some(json) => ("application/json", json.to_string()),
            None if self.texts.is_empty() => ("text/plain", "rehearsal\n".to_owned()),
            None => ("text/plain", self.texts.join("\n")),
        };
        let kind = self.content_type.as_deref().unwrap_or(kind);
        let (status, length) = (self.status.unwrap_or(200), body.len());
        format!(
            "HTTP/1.1 {status} Rehearsal\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What a participant's mistake looks like: no field is there; or the status is one of failure.
fn spoil(wanted: &mut Wanted) {
    match &mut wanted.json {
        Some(json) => *json = json!({}),
        None => {
            let spoiled = if wanted.status == Some(500) { 503 } else { 500 };
            wanted.status = Some(spoiled);
        }
    }
}

/// The reasons that a spoilt image fails with.
pub(crate) const SPOILT: &[&str] = &["rule_failed:", "answer_status"];

enum Step {
    Name(String),
    Index(usize),
}

/// The names and indices of a path, if it has nothing else: `$.a.b[0]['c']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            let plain = |c: char| c.is_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = &after[end..];
        } else {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = ['\'', '"']
                .into_iter()
                .find_map(|quote| inside.strip_prefix(quote)?.strip_suffix(quote));
            steps.push(match quoted {
                Some(name) if !name.contains(['\\', '\'', '"', '[']) => Step::Name(name.to_owned()),
                Some(_) => return None,
                None => Step::Index(inside.parse().ok().filter(|index| *index < 64)?),
            });
            rest = after;
        }
    }
    Some(steps)
}

/// Puts a value where the path leads; none if something else is there.
fn put(root: &mut Value, steps: &[Step], value: Value) -> Option<()> {
    let mut place = root;
    for step in steps {
        place = match step {
            Step::Name(name) => {
                if is_blank(place) {
                    *place = Value::Object(Map::new());
                }
                place.as_object_mut()?.entry(name.clone()).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if is_blank(place) {
                    *place = json!([]);
                }
                let items = place.as_array_mut()?;
                while items.len() <= *index {
                    items.push(Value::Null);
                }
                items.get_mut(*index)?
            }
        };
    }
    // That something is there may be what another rule says more of.
    if is_blank(place) || *place == value {
        *place = value;
        return Some(());
    }
    (value == json!(true)).then_some(())
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::event_file;

    use super::*;
    use crate::rehearse::images::tests::somebody;

    fn derived(checks: &str, mistake: Mistake) -> Result<BTreeMap<String, String>, String> {
        let source = format!(
            "slug = \"e\"\ntitle = \"E\"\n[[answers]]\nname = \"vote\"\none_of = [\"Cats\"]\n{checks}"
        );
        let event = event_file::parse(&source).unwrap();
        let answers = answers(&event, &somebody("Ann \"A\""), mistake)?;
        Ok(answers.into_iter().map(|(n, a)| (n, String::from_utf8(a).unwrap())).collect())
    }

    fn body(answer: &str) -> &str {
        answer.split_once("\r\n\r\n").unwrap().1
    }

    const CONFIG: &str = "[[checks]]\nname = \"config\"\nget = \"/get.config\"\njson = [\n\
        { path = \"$.name\", equals = \"{participant.name}\" },\n\
        { path = \"$.vote\", equals = \"{answers.vote}\" },\n\
        { path = \"$.deep[1]['x']\", equals = 3 },\n\
        { path = \"$.deep\", exists = true },\n\
        { path = \"$.one\", one_of = [\"a\", \"b\"] } ]\n";

    #[test]
    fn the_answer_is_what_the_rules_want() {
        let answers = derived(CONFIG, Mistake::None).unwrap();
        let answer = &answers["get_config"];
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("Content-Type: application/json\r\n"), "{answer}");
        let json: Value = serde_json::from_str(body(answer)).unwrap();
        let wanted = json!({
            "name": "Ann \"A\"", "vote": "Cats", "deep": [null, { "x": 3 }], "one": "a"
        });
        assert_eq!(json, wanted);
        let spoilt = derived(CONFIG, Mistake::Another).unwrap();
        assert_eq!(body(&spoilt["get_config"]), "{}");
    }

    #[test]
    fn a_page_has_its_status_its_type_and_its_text() {
        let page = "[[checks]]\nname = \"p\"\nget = \"/p\"\nstatus = 203\n\
                    content_type = \"text/html\"\ncontains = \"hi {participant.name}\"\n";
        let answers = derived(page, Mistake::None).unwrap();
        let front = derived(&page.replace("/p", "/"), Mistake::None).unwrap();
        assert_eq!(front["index"], answers["p"]);
        assert!(answers["p"].starts_with("HTTP/1.1 203 "), "{answers:?}");
        assert!(answers["p"].contains("text/html") && body(&answers["p"]) == "hi Ann \"A\"");
        let spoilt = derived(page, Mistake::Another).unwrap();
        assert!(spoilt["p"].starts_with("HTTP/1.1 500 "), "{spoilt:?}");
    }

    #[test]
    fn two_checks_of_a_path_have_one_answer_that_fits_both() {
        let two = |second: &str| {
            format!(
                "[[checks]]\nname = \"a\"\nget = \"/x\"\njson = [{{ path = \"$.a\", equals = 1 }}]\n\
                 [[checks]]\nname = \"b\"\nget = \"/x\"\n{second}\n"
            )
        };
        let fits = derived(&two("json = [{ path = \"$.b\", equals = 2 }]"), Mistake::None).unwrap();
        assert_eq!(body(&fits["x"]), "{\"a\":1,\"b\":2}");
        let text = derived(&two("contains = \"plain\""), Mistake::None).unwrap();
        assert_eq!(body(&text["x"]), "{\"a\":1,\"also\":[\"plain\"]}");
        for not in ["status = 404", "json = [{ path = \"$.a\", equals = 2 }]"] {
            assert!(derived(&two(not), Mistake::None).unwrap_err().contains("`b`"), "{not}");
        }
        let quote = derived(&two("contains = '\"'"), Mistake::None);
        assert!(quote.is_ok(), "a quote is in every JSON: {quote:?}");
        assert!(derived(&two("contains = 'a\"b'"), Mistake::None).is_err());
    }

    #[test]
    fn what_cannot_be_known_is_refused_with_its_check() {
        for (check, why) in [
            ("get = \"/x\"\njson = [{ path = \"$..a\", equals = 1 }]", "more than names"),
            ("get = \"/x\"\njson = [{ path = \"$.a[*]\", equals = 1 }]", "more than names"),
            ("post = \"/x\"", "by POST"),
            (
                "get = \"/x\"\njson = [{ path = \"$.a\", equals = \"{submission.id}\" }]",
                "{submission.id}",
            ),
        ] {
            let told = derived(&format!("[[checks]]\nname = \"c\"\n{check}\n"), Mistake::None);
            assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{check}: {told:?}");
        }
    }
}
