//! One attempt: who makes it, for how long, and what can become of it.
//!
//! Every attempt is made by a forked child of its own, which says one word and ends. Whatever it
//! opened, became or allocated ends with it; a child that says nothing in its time is killed; what
//! a filter of system calls kills tells so by its signal.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, Read, Write},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    errno,
    sys::{self, Child, Forked},
};

/// How long one attempt may take. Behind our walls none takes a tenth of it; on a disk without a
/// bound, making files takes its time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest word that a child may say, in bytes.
const WORD_BYTES: u64 = 48;

/// Something to try.
pub struct Attempt {
    /// Its name in the report.
    pub name: &'static str,
    /// Tries it.
    pub attempt: fn() -> Tried,
}

/// How the attempts of a table are made.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Each when the one before has ended.
    OneByOne,
    /// All at the same time.
    AtOnce,
}

/// What became of an attempt.
pub enum Tried {
    /// It succeeded.
    Done,
    /// What was to be read is there and says nothing.
    Empty,
    /// The kernel refused it.
    Refused(io::Error),
    /// It is neither, but can be told in a word.
    Word(&'static str),
    /// Something was counted.
    Number(i64),
}

impl<T> From<io::Result<T>> for Tried {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => Self::Refused(error),
        }
    }
}

impl<T> From<rustix::io::Result<T>> for Tried {
    fn from(result: rustix::io::Result<T>) -> Self {
        Self::from(result.map_err(io::Error::from))
    }
}

impl Tried {
    /// A count that could not even begin is the error's number, negative.
    pub(crate) fn counted(result: io::Result<u64>) -> Self {
        match result {
            Ok(number) => Self::Number(i64::try_from(number).unwrap_or(i64::MAX)),
            Err(error) => Self::Number(-i64::from(error.raw_os_error().unwrap_or(libc::EIO))),
        }
    }

    fn word(self) -> String {
        match self {
            Self::Done => "DONE".to_owned(),
            Self::Empty => "EMPTY".to_owned(),
            Self::Refused(error) => errno::name(error.raw_os_error().unwrap_or(libc::EIO)),
            Self::Word(word) => word.to_owned(),
            Self::Number(number) => format!("{NUMBER}{number}"),
        }
    }
}

/// Before a number on its way from the child.
const NUMBER: char = '#';

/// What became of all attempts.
#[derive(Default)]
pub struct Report {
    attempts: BTreeMap<&'static str, String>,
    numbers: BTreeMap<&'static str, i64>,
}

impl Report {
    /// Makes the attempts of a table and keeps their outcomes.
    pub fn enter(&mut self, table: &'static [Attempt], manner: Manner) {
        let at_once = match manner {
            Manner::OneByOne => 1,
            Manner::AtOnce => table.len(),
        };
        for some in table.chunks(at_once) {
            let begun: Vec<_> = some.iter().map(|attempt| begin(attempt.attempt)).collect();
            for (attempt, begun) in some.iter().zip(begun) {
                self.keep(attempt, begun.and_then(Begun::end));
            }
            sys::reap_strays();
        }
    }

    fn keep(&mut self, attempt: &'static Attempt, word: io::Result<String>) {
        let word = word.unwrap_or_else(|error| {
            // It was not made: no outcome that anybody expects.
            format!("NOT_TRIED_{}", errno::name(error.raw_os_error().unwrap_or(libc::EIO)))
        });
        match word.strip_prefix(NUMBER).and_then(|number| number.parse().ok()) {
            Some(number) => _ = self.numbers.insert(attempt.name, number),
            None => _ = self.attempts.insert(attempt.name, word),
        }
    }

    /// As it is told, in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({ "attempts": self.attempts, "numbers": self.numbers }).to_string()
    }
}

/// An attempt that a child makes now.
struct Begun {
    child: Child,
    hear: PipeReader,
    until: Instant,
}

fn begin(attempt: fn() -> Tried) -> io::Result<Begun> {
    let (hear, mut say) = io::pipe()?;
    match sys::fork()? {
        Forked::Child => {
            drop(hear);
            let told = say.write_all(attempt().word().as_bytes());
            sys::exit_now(u8::from(told.is_err()))
        }
        Forked::Parent(child) => Ok(Begun { child, hear, until: Instant::now() + PATIENCE }),
    }
}

impl Begun {
    /// What became of it. The child is gone then.
    fn end(self) -> io::Result<String> {
        let heard = listen(self.hear, self.until);
        // It is gone already, or goes now; an error says no more than that.
        sys::kill(self.child);
        let signal = sys::reap(self.child)?;
        match heard {
            Heard::Word(word) if !word.is_empty() => Ok(word),
            Heard::Word(_) => Ok(signal.map_or("NOTHING".to_owned(), errno::signal)),
            Heard::TooLate => Ok("TOO_LATE".to_owned()),
        }
    }
}

enum Heard {
    Word(String),
    TooLate,
}

/// Reads what the child says until it closes its end, or time is over. Grandchildren may hold the
/// end open, so a word is taken as soon as it is there: it is written at once.
fn listen(mut hear: PipeReader, until: Instant) -> Heard {
    if !sys::is_readable(&hear, until.saturating_duration_since(Instant::now())) {
        return Heard::TooLate;
    }
    let mut word = [0; WORD_BYTES as usize];
    let length = hear.read(&mut word).unwrap_or(0);
    Heard::Word(String::from_utf8_lossy(&word[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_words() {
        let refused = Tried::Refused(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(refused.word(), "EPERM");
        assert_eq!(Tried::Done.word(), "DONE");
        assert_eq!(Tried::Number(-1).word(), "#-1");
        assert_eq!(Tried::counted(Err(io::Error::from_raw_os_error(2))).word(), "#-2");
    }
}
