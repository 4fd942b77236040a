//! Texts of an event file with holes: `{participant.name}`, `{answers.vote}`.

use std::fmt;

use super::submission::Submission;

/// A text with holes that a submission fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// What a hole stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The participant's name.
    Name,
    /// The participant's handle, empty if there is none.
    Handle,
    /// The label of the place.
    Place,
    /// The submission's id.
    Submission,
    /// The answer of that name.
    Answer(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `{` without its `}`.
    #[error("a `{{` has no `}}`; write `{{{{` for the character itself")]
    Unclosed,
    /// A hole that nothing fills.
    #[error(
        "nothing is called `{{{0}}}`; there are participant.name, participant.handle, place.label, submission.id and answers.NAME"
    )]
    Unknown(String),
}

impl Template {
    /// Reads a text; `{{` stands for `{`.
    ///
    /// # Errors
    /// When a hole is not closed or not known.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            literal.push_str(&rest[..open]);
            rest = &rest[open + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                literal.push('{');
                rest = after;
                continue;
            }
            let close = rest.find('}').ok_or(InvalidTemplate::Unclosed)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Hole(Hole::parse(&rest[..close])?));
            rest = &rest[close + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The answers that it needs.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(Hole::Answer(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The text with its holes filled.
    #[must_use]
    pub fn fill(&self, submission: &Submission) -> String {
        self.fill_with(submission, |text| text)
    }

    /// The text with its holes filled by what is safe in a path or query: every byte but the
    /// unreserved ones of RFC 3986 §2.3 is percent-encoded.
    #[must_use]
    pub fn fill_encoded(&self, submission: &Submission) -> String {
        self.fill_with(submission, |text| {
            let mut out = String::with_capacity(text.len());
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            out
        })
    }

    fn fill_with(&self, submission: &Submission, put: impl Fn(String) -> String) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => out.push_str(&put(hole.fill(submission))),
            }
        }
        out
    }
}

impl Hole {
    fn parse(name: &str) -> Result<Self, InvalidTemplate> {
        match name {
            "participant.name" => Ok(Self::Name),
            "participant.handle" => Ok(Self::Handle),
            "place.label" => Ok(Self::Place),
            "submission.id" => Ok(Self::Submission),
            _ => match name.strip_prefix("answers.") {
                Some(answer) if !answer.is_empty() => Ok(Self::Answer(answer.to_owned())),
                _ => Err(InvalidTemplate::Unknown(name.chars().take(60).collect())),
            },
        }
    }

    fn fill(&self, submission: &Submission) -> String {
        match self {
            Self::Name => submission.participant.name.to_string(),
            Self::Handle => {
                submission.participant.handle.as_ref().map(ToString::to_string).unwrap_or_default()
            }
            Self::Place => submission.place.label.to_string(),
            Self::Submission => submission.id.to_string(),
            Self::Answer(name) => {
                submission.answers.get(name).map(ToString::to_string).unwrap_or_default()
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{"))?,
                Part::Hole(Hole::Name) => f.write_str("{participant.name}")?,
                Part::Hole(Hole::Handle) => f.write_str("{participant.handle}")?,
                Part::Hole(Hole::Place) => f.write_str("{place.label}")?,
                Part::Hole(Hole::Submission) => f.write_str("{submission.id}")?,
                Part::Hole(Hole::Answer(name)) => write!(f, "{{answers.{name}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes() {
        for text in ["", "plain", "{participant.name}", "a {answers.vote} b", "{{not a hole}"] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Template::parse("{x"), Err(InvalidTemplate::Unclosed));
        assert_eq!(Template::parse("{x}"), Err(InvalidTemplate::Unknown("x".into())));
        assert!(Template::parse("{answers.}").is_err());
    }

    proptest! {
        #[test]
        fn comes_back_the_same(text in "[a-z{}. ]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
            }
        }
    }
}
