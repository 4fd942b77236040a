//! What a canary told. It is our own program, but it stands where strangers' do, and a stranger
//! might answer in its place: so it is read as strictly as any answer, and names and outcomes are
//! words that can be shown anywhere.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::probe::json;

/// Longest name or outcome, in bytes.
const WORD_BYTES: usize = 48;
/// Most attempts, and most numbers.
const MOST: usize = 256;

/// What a canary told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What became of each attempt: `DONE` if it succeeded, `EMPTY` if something could be read and
    /// said nothing, else the name of the error (`EPERM`), or of the signal that ended it
    /// (`SIGSYS`).
    pub attempts: BTreeMap<String, String>,
    /// What was counted or read.
    pub numbers: BTreeMap<String, i64>,
}

impl Report {
    /// Reads the body of an answer.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence without any of its bytes.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let Value::Object(mut parts) = json::parse(body).map_err(|fault| fault.to_string())? else {
            return Err("it is no object".to_owned());
        };
        let mut part = |name: &str| match parts.remove(name) {
            Some(Value::Object(entries)) if entries.len() <= MOST => Ok(entries),
            Some(_) => Err(format!("`{name}` is no object of at most {MOST} entries")),
            None => Err(format!("it has no `{name}`")),
        };
        let (attempts, numbers) = (part("attempts")?, part("numbers")?);
        if !parts.is_empty() {
            return Err("it has more than `attempts` and `numbers`".to_owned());
        }
        let mut report = Self::default();
        for (name, outcome) in attempts {
            let word = outcome.as_str().filter(|word| is_word(word, u8::is_ascii_uppercase));
            let word = word.ok_or("an outcome is no word")?.to_owned();
            report.attempts.insert(checked(name)?, word);
        }
        for (name, number) in numbers {
            let number = number.as_i64().ok_or("a number is no whole number")?;
            report.numbers.insert(checked(name)?, number);
        }
        Ok(report)
    }

    /// What became of an attempt, or what was counted, as text.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<String> {
        let number = || self.numbers.get(name).map(i64::to_string);
        self.attempts.get(name).cloned().or_else(number)
    }

    /// The names of everything in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attempts.keys().chain(self.numbers.keys()).map(String::as_str)
    }
}

fn checked(name: String) -> Result<String, String> {
    if is_word(&name, u8::is_ascii_lowercase) {
        Ok(name)
    } else {
        Err("a name is no word".to_owned())
    }
}

fn is_word(text: &str, letter: fn(&u8) -> bool) -> bool {
    let known = |byte: &u8| letter(byte) || byte.is_ascii_digit() || *byte == b'_';
    (1..=WORD_BYTES).contains(&text.len()) && text.as_bytes().iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let body = br#"{"attempts":{"ptrace":"EPERM"},"numbers":{"forks":61,"memory_swap":-1}}"#;
        let report = Report::parse(body).unwrap();
        assert_eq!(report.outcome("ptrace").as_deref(), Some("EPERM"));
        assert_eq!(report.outcome("memory_swap").as_deref(), Some("-1"));
        assert_eq!(report.outcome("other"), None);
        assert_eq!(report.names().collect::<Vec<_>>(), ["ptrace", "forks", "memory_swap"]);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"attempts":{}}"#,
            r#"{"attempts":[],"numbers":{}}"#,
            r#"{"attempts":{},"numbers":{},"more":{}}"#,
            r#"{"attempts":{"a":"EPERM","a":"DONE"},"numbers":{}}"#,
            r#"{"attempts":{"a":"<b>"},"numbers":{}}"#,
            r#"{"attempts":{"a":""},"numbers":{}}"#,
            r#"{"attempts":{"a":1},"numbers":{}}"#,
            r#"{"attempts":{"A":"EPERM"},"numbers":{}}"#,
            r#"{"attempts":{},"numbers":{"forks":"61"}}"#,
            r#"{"attempts":{},"numbers":{"forks":61.5}}"#,
            &format!(r#"{{"attempts":{{"{}":"EPERM"}},"numbers":{{}}}}"#, "a".repeat(49)),
        ] {
            assert!(Report::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
