//! Reads a TOML file whole: every mistake is collected with its line and key, none hides another,
//! until there are more than anybody would read.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::{Range, RangeInclusive},
};

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use toml_edit::{Document, Item, TableLike, Value};

use crate::domain::text::defused_line;

/// Most mistakes of a file that are kept: to find the line of each, the file is gone through.
pub const MAX_PROBLEMS: usize = 1000;
/// The years that a time may lie in: all that can be written in UTC and stored.
const YEARS: RangeInclusive<i32> = 1970..=9999;
/// Most bytes of a key in a message.
const SHOWN_KEY: usize = 120;
/// Most bytes of a message.
const SHOWN: usize = 800;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// Such as `checks[0].status`, cut; empty for a mistake of the syntax.
    pub key: String,
    /// What is wrong and what to write instead, as one line for a terminal.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.message),
            key => write!(f, "line {}: {key}: {}", self.line, self.message),
        }
    }
}

/// The mistakes of one file, as they are found.
pub(super) struct Problems<'a> {
    source: &'a str,
    found: RefCell<Vec<Problem>>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(source: &'a str) -> Self {
        Self { source, found: RefCell::default() }
    }

    pub(super) fn add(&self, span: Option<Range<usize>>, key: &str, message: &str) {
        if self.are_enough() {
            return;
        }
        let offset = span.map_or(0, |s| s.start).min(self.source.len());
        let line = self.source.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        let (key, message) = (defused_line(key, SHOWN_KEY), defused_line(message, SHOWN));
        self.found.borrow_mut().push(Problem { line, key, message });
    }

    fn are_enough(&self) -> bool {
        self.found.borrow().len() >= MAX_PROBLEMS
    }

    /// All of them, by line.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|p| p.line);
        found
    }

    pub(super) fn parse(&self) -> Option<Document<&'a str>> {
        Document::parse(self.source).map_err(|e| self.add(e.span(), "", e.message())).ok()
    }
}

/// One table of the file.
pub(super) struct Section<'a> {
    problems: &'a Problems<'a>,
    path: String,
    table: &'a dyn TableLike,
    span: Option<Range<usize>>,
    known: RefCell<BTreeSet<&'static str>>,
    failed: Cell<usize>,
}

impl<'a> Section<'a> {
    pub(super) fn root(problems: &'a Problems<'a>, document: &'a Document<&'a str>) -> Self {
        Self::new(problems, String::new(), document.as_table(), Some(0..0))
    }

    fn new(
        problems: &'a Problems<'a>,
        path: String,
        table: &'a dyn TableLike,
        span: Option<Range<usize>>,
    ) -> Self {
        let known = RefCell::default();
        Self { problems, path, table, span, known, failed: Cell::new(0) }
    }

    /// The full name of a key in this table.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn item(&self, key: &'static str) -> Option<&'a Item> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// Notes a mistake at a key; if the key is not there, at the table's head.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        let span = self.table.get(key).and_then(Item::span);
        let span = span.or_else(|| self.span.clone());
        self.failed.set(self.failed.get() + 1);
        self.problems.add(span, &self.key(key), &message.into());
    }

    fn typed<T>(
        &self,
        key: &'static str,
        kind: &str,
        read: impl FnOnce(&'a Item) -> Option<T>,
    ) -> Option<T> {
        let item = self.item(key)?;
        let value = read(item);
        if value.is_none() {
            self.wrong(key, format!("expected {kind}, found {}", item.type_name()));
        }
        value
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.typed(key, "a text in quotes", Item::as_str)
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &'static str) -> Option<&'a str> {
        if self.item(key).is_none() {
            self.wrong(key, "this key is missing");
            return None;
        }
        self.text(key)
    }

    /// A text that must be there, read by its own rules.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.required(key)?;
        read(text).map_err(|e| self.wrong(key, e.to_string())).ok()
    }

    /// A text that may be there, read by its own rules.
    pub(super) fn optional<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        read(text).map_err(|e| self.wrong(key, e.to_string())).ok()
    }

    pub(super) fn integer<T>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let number = self.typed(key, "a whole number", Item::as_integer)?;
        match T::try_from(number) {
            Ok(n) if range.contains(&n) => Some(n),
            _ => {
                let (low, high) = (range.start(), range.end());
                self.wrong(key, format!("{number} is not from {low} to {high}"));
                None
            }
        }
    }

    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let read = |item: &Item| {
            #[expect(clippy::cast_precision_loss, reason = "limits are small numbers")]
            item.as_float().or_else(|| item.as_integer().map(|i| i as f64))
        };
        let number = self.typed(key, "a number", read)?;
        if !range.contains(&number) {
            let (low, high) = (range.start(), range.end());
            self.wrong(key, format!("{number} is not from {low} to {high}"));
            return None;
        }
        Some(number)
    }

    pub(super) fn time(&self, key: &'static str) -> Option<OffsetDateTime> {
        let text = self.typed(key, "a time such as 2026-03-20T00:00:00Z", |item| {
            item.as_datetime().map(ToString::to_string)
        })?;
        let Ok(time) = OffsetDateTime::parse(&text, &Rfc3339) else {
            self.wrong(key, "give the time with its zone, as 2026-03-20T00:00:00Z");
            return None;
        };
        let time = time.checked_to_offset(UtcOffset::UTC).filter(|t| YEARS.contains(&t.year()));
        if time.is_none() {
            let (first, last) = (YEARS.start(), YEARS.end());
            self.wrong(key, format!("it is out of range: in UTC the year is {first} to {last}"));
        }
        time
    }

    fn texts(&self, key: &'static str, most: usize) -> Option<Vec<&'a str>> {
        let read = |item: &'a Item| item.as_array()?.iter().map(Value::as_str).collect();
        let mut texts: Vec<&str> = self.typed(key, "a list of texts", read)?;
        self.bound(key, texts.len(), most);
        texts.truncate(most);
        Some(texts)
    }

    /// Notes that a list is too long.
    fn bound(&self, key: &'static str, length: usize, most: usize) {
        if length > most {
            self.wrong(key, format!("there are {length}; at most {most} may stand here"));
        }
    }

    /// A list of so many texts at most, each read by its own rules.
    pub(super) fn list<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        most: usize,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let texts = self.texts(key, most)?;
        let mut out = Vec::with_capacity(texts.len());
        for text in texts {
            match read(text) {
                Ok(value) => out.push(value),
                Err(e) => self.wrong(key, format!("`{text}`: {e}")),
            }
        }
        Some(out)
    }

    /// A value of whatever type.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.typed(key, "a value", Item::as_value)
    }

    /// A table, if it is there.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let item = self.item(key)?;
        let table = self.typed(key, "a table", Item::as_table_like)?;
        Some(Section::new(self.problems, self.key(key), table, item.span()))
    }

    /// The tables of a list of so many at most, written as `[[key]]` or as inline tables.
    pub(super) fn sections(&self, key: &'static str, most: usize) -> Vec<Section<'a>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let path = |i: usize| format!("{}[{i}]", self.key(key));
        if let Some(tables) = item.as_array_of_tables() {
            let section = |(i, table): (usize, &'a toml_edit::Table)| {
                Section::new(self.problems, path(i), table, table.span())
            };
            self.bound(key, tables.len(), most);
            return tables.iter().enumerate().take(most).map(section).collect();
        }
        let Some(values) = item.as_array() else {
            self.wrong(key, "expected a list of tables");
            return Vec::new();
        };
        self.bound(key, values.len(), most);
        let mut sections = Vec::new();
        for (i, value) in values.iter().enumerate().take(most) {
            match value.as_inline_table() {
                Some(table) => {
                    sections.push(Section::new(self.problems, path(i), table, value.span()));
                }
                None => self.wrong(key, format!("entry {i} is not a table")),
            }
        }
        sections
    }

    /// Whether anything was wrong in this table so far.
    pub(super) fn clean(&self) -> bool {
        self.failed.get() == 0
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        let names = known.iter().copied().collect::<Vec<_>>().join(", ");
        for (key, _) in self.table.iter().filter(|(key, _)| !known.contains(key)) {
            if self.problems.are_enough() {
                break;
            }
            self.wrong(key, format!("unknown key; known are {names}"));
        }
    }
}
