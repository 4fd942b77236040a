//! Comma-separated values (RFC 4180) that are safe to open in a spreadsheet.
//!
//! A spreadsheet takes a cell for a formula by how it begins, whatever quotes stand around it, so
//! what strangers wrote must not begin so ([`defused`]). Some begin a new cell where we do not, at a
//! semicolon as is the custom where the comma is in numbers; the same holds for what follows one.
//! Characters that are not to be seen are written out: a reader shows every cell on one line, and
//! none obeys a control character. Numbers are ours and stand as they are.

use std::borrow::Cow;

use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use portcall_shared::domain::text::is_hidden;

/// Put before what would be taken for a formula: the spreadsheet shows what follows as text.
const GUARD: char = '\'';
/// What says that a file is UTF-8 to readers that would guess otherwise.
pub const BOM: &[u8] = "\u{feff}".as_bytes();

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Empty,
    /// What somebody wrote, or may have.
    Text(Cow<'a, str>),
    /// A number, which is no formula even if it is negative.
    Number(f64),
    /// A whole number.
    Count(i64),
}

impl<'a> Cell<'a> {
    /// A text, or nothing.
    pub fn text(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Empty, |text| Self::Text(text.into()))
    }

    /// A number, or nothing. One that is none is nothing.
    #[must_use]
    pub fn number(number: Option<f64>) -> Self {
        number.filter(|n| n.is_finite()).map_or(Self::Empty, Self::Number)
    }

    fn written(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => defused(text),
            Self::Number(number) => number.to_string(),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// Rows as bytes. Every cell stands in quotes, so that no reader has to guess where it ends.
#[derive(Debug)]
pub struct Rows(Writer<Vec<u8>>);

impl Default for Rows {
    fn default() -> Self {
        let mut how = WriterBuilder::new();
        how.quote_style(QuoteStyle::Always).terminator(Terminator::CRLF);
        Self(how.from_writer(Vec::new()))
    }
}

impl Rows {
    /// Adds a row. All rows of a file have as many cells.
    ///
    /// # Errors
    /// When it has more cells than the one before, or fewer.
    pub fn push<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> csv::Result<()> {
        self.0.write_record(cells.into_iter().map(|cell| cell.written()))
    }

    /// The bytes of all rows.
    ///
    /// # Errors
    /// Never in memory.
    pub fn into_bytes(self) -> std::io::Result<Vec<u8>> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// A text of which nothing is taken for a formula, and in which everything is to be seen.
#[must_use]
pub fn defused(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    for part in text.split_inclusive(SEPARATORS) {
        if begins_formula(part) {
            out.push(GUARD);
        }
        part.chars().for_each(|c| write(&mut out, c));
    }
    out
}

/// Where a reader with other customs may begin a cell. (Line ends and tabs are not written.)
const SEPARATORS: [char; 2] = [';', '|'];

/// Whether a spreadsheet may take it for a formula: by its first character that is to be seen, quotes
/// aside, which not every reader takes as they are meant; or by a tab or a line end before that
/// (OWASP, CSV injection).
fn begins_formula(text: &str) -> bool {
    let first = text.chars().find(|c| *c != '"' && !c.is_whitespace() && !is_hidden(*c));
    text.starts_with(['\t', '\r', '\n']) || first.is_some_and(is_sign)
}

/// `=`, `+`, `-` and `@`, and what stands for them: full-width, small, and the sign of minus.
fn is_sign(c: char) -> bool {
    matches!(
        c,
        '=' | '+'
            | '-'
            | '@'
            | '\u{ff1d}'
            | '\u{ff0b}'
            | '\u{ff0d}'
            | '\u{ff20}'
            | '\u{fe66}'
            | '\u{fe62}'
            | '\u{fe63}'
            | '\u{fe6b}'
            | '\u{2212}'
    )
}

/// Writes a character, or what it is called if it is not to be seen; joiners of emoji stay.
fn write(out: &mut String, c: char) {
    use std::fmt::Write as _;
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{200d}' => out.push(c),
        c if is_hidden(c) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:04x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Gordon", "Gordon")]
    #[case("", "")]
    #[case("=1+1", "'=1+1")]
    #[case("+1", "'+1")]
    #[case("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("\t=1", "'\\t=1")]
    #[case("\r=1", "'\\r=1")]
    #[case("\nx", "'\\nx")]
    #[case("  =1", "'  =1")]
    #[case("\u{3000}=1", "'\u{3000}=1")]
    #[case("\u{a0}@x", "'\u{a0}@x")]
    #[case("＝1", "'＝1")]
    #[case("＋1", "'＋1")]
    #[case("－1", "'－1")]
    #[case("＠x", "'＠x")]
    #[case("−1", "'−1")]
    #[case("\u{feff}=1", "'\\u{feff}=1")]
    #[case("\0=1", "'\\u{0000}=1")]
    #[case("a\0b\u{1b}[2J\u{9b}", "a\\u{0000}b\\u{001b}[2J\\u{009b}")]
    #[case("a\u{202e}b", "a\\u{202e}b")]
    #[case("a\nb\r\nc\td", "a\\nb\\r\\nc\\td")]
    #[case("a=1", "a=1")]
    #[case("x;=1", "x;'=1")]
    #[case("x; \"=1", "x;' \"=1")]
    #[case("x;\"=1", "x;'\"=1")]
    #[case("x;\n=1", "x;'\\n=1")]
    #[case("x|@y", "x|'@y")]
    #[case("'=1", "'=1")]
    #[case("\"=1", "'\"=1")]
    #[case("+ADw-script+AD4-", "'+ADw-script+AD4-")]
    #[case("say \"=1\", then", "say \"=1\", then")]
    #[case("👩\u{200d}👧", "👩\u{200d}👧")]
    fn cells_are_defused(#[case] text: &str, #[case] written: &str) {
        assert_eq!(defused(text), written);
    }

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        let row = |row: csv::Result<csv::StringRecord>| {
            row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()
        };
        reader.records().map(row).collect()
    }

    #[test]
    fn rows_are_as_the_standard_has_them() {
        let mut rows = Rows::default();
        rows.push([Cell::Text("a,\"b\"".into()), Cell::Number(-122.5), Cell::Empty]).unwrap();
        rows.push([Cell::Text("=1".into()), Cell::Count(-7), Cell::number(Some(f64::NAN))])
            .unwrap();
        assert!(rows.push([Cell::Empty]).is_err(), "a row with fewer cells");
        let bytes = rows.into_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("\"a,\"\"b\"\"\",\"-122.5\",\"\"\r\n\"'=1\",\"-7\",\"\"\r\n"),
            "{text}"
        );
    }

    /// Whether a spreadsheet might take it for a formula; told apart from how it is prevented.
    fn dangerous(cell: &str) -> bool {
        let plain: String = cell.chars().filter(|c| !c.is_whitespace()).take(1).collect();
        cell.starts_with(['\t', '\r', '\n', '\0'])
            || ["=", "+", "-", "@", "＝", "＋", "－", "＠"].contains(&plain.as_str())
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back_and_begins_no_formula(
            rows in proptest::collection::vec(
                proptest::collection::vec("[=+@\\-\t\r\n\0 ,;\"'|＝＋－＠\u{feff}\u{3000}a1é]{0,12}|\\PC{0,20}", 3),
                1..8,
            )
        ) {
            let mut written = Rows::default();
            for row in &rows {
                written.push(row.iter().map(|cell| Cell::Text(cell.into()))).unwrap();
            }
            let bytes = written.into_bytes().unwrap();
            prop_assert!(!bytes.contains(&0));
            let back = read(&bytes);
            prop_assert_eq!(back.len(), rows.len());
            for (row, back) in rows.iter().zip(&back) {
                prop_assert_eq!(back.len(), 3);
                for (cell, back) in row.iter().zip(back) {
                    prop_assert!(!dangerous(back), "{:?} of {:?}", back, cell);
                    prop_assert!(!back.chars().any(char::is_control));
                    for other in back.split([';', '|']) {
                        let unquoted = other.replace('"', "");
                        prop_assert!(!dangerous(other) && !dangerous(&unquoted), "{:?}", back);
                    }
                }
            }
        }
    }
}
