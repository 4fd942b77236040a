//! Text that people give and that everybody sees: names, handles, labels, answers.
//!
//! Shown exactly as given (after Unicode NFC) or refused with a reason, never altered in silence.
//! What strangers' programs write is another matter: nobody can ask them to mend it, so it is
//! [`defused`] on its way in and shown as data everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

/// Most combining marks on one base character; more is only ever decoration that covers others.
pub const MAX_MARKS: usize = 4;

/// Why a text is refused. The message says what to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// Too many characters as people count them (grapheme clusters, UAX #29).
    #[error("it has {count} characters; at most {limit} are allowed")]
    TooLong {
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Too many bytes in UTF-8.
    #[error("it takes {count} bytes; at most {limit} are allowed")]
    TooManyBytes {
        /// How many it takes.
        count: usize,
        /// How many it may take.
        limit: usize,
    },
    /// A control, format, private-use or unassigned character.
    #[error("the invisible or control character U+{code:04X} may not stand in it")]
    Character {
        /// Its code point.
        code: u32,
    },
    /// Marks piled on one letter.
    #[error("more than {MAX_MARKS} combining marks stand on one character")]
    Marks,
    /// It begins or ends with white space.
    #[error("it begins or ends with a space")]
    Spaces,
}

/// Checks a text against `limit` characters and `4 * limit` bytes (at least 32) and brings it to NFC.
///
/// Zero-width joiners are allowed inside emoji sequences; every other format character is refused
/// (bidirectional overrides re-order what stands beside them: Unicode TR 36 §3.3).
///
/// # Errors
/// The first rule that the text breaks.
pub fn checked(text: &str, limit: usize) -> Result<String, InvalidText> {
    let byte_limit = (limit * 4).max(32);
    if text.len() > byte_limit * 2 {
        return Err(InvalidText::TooManyBytes { count: text.len(), limit: byte_limit });
    }
    let text: String = text.nfc().collect();
    if text.trim().is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.trim() != text {
        return Err(InvalidText::Spaces);
    }
    if text.len() > byte_limit {
        return Err(InvalidText::TooManyBytes { count: text.len(), limit: byte_limit });
    }
    check_characters(&text)?;
    let count = text.graphemes(true).count();
    if count > limit {
        return Err(InvalidText::TooLong { count, limit });
    }
    Ok(text)
}

fn check_characters(text: &str) -> Result<(), InvalidText> {
    let mut marks = 0;
    let mut previous: Option<char> = None;
    for c in text.chars() {
        if is_combining_mark(c) {
            marks += 1;
            if marks > MAX_MARKS {
                return Err(InvalidText::Marks);
            }
        } else {
            marks = 0;
        }
        if is_hidden(c) && !joins_emoji(previous, c) {
            return Err(InvalidText::Character { code: u32::from(c) });
        }
        previous = Some(c);
    }
    Ok(())
}

/// Whether a character is a zero-width joiner behind an emoji or a mark, where it is harmless.
fn joins_emoji(previous: Option<char>, c: char) -> bool {
    const ZERO_WIDTH_JOINER: char = '\u{200d}';
    let carries = |p: char| {
        !p.is_ascii()
            && !p.is_alphanumeric()
            && !is_hidden(p)
            && p != char::REPLACEMENT_CHARACTER
            && !p.is_whitespace()
    };
    c == ZERO_WIDTH_JOINER && previous.is_some_and(carries)
}

/// Whether a character is not to be seen: of the categories Cc, Cf, Co, Cs, Cn, Zl or Zp, or one
/// of the few letters and signs that are blank.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
    BLANK.contains(&c)
        || matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// A character for a sentence about it, so that a reader sees which one is meant.
#[must_use]
pub fn named(c: char) -> String {
    let seen = !is_hidden(c) && !is_combining_mark(c);
    if seen { format!("{c:?}") } else { format!("U+{:04X}", u32::from(c)) }
}

/// Bytes from a stranger as text that is safe to store and to show: UTF-8 in NFC, at most `limit`
/// bytes of what came and of what is kept, cut on a character's border.
///
/// Every hidden character but newline and tab is shown as U+FFFD, so no terminal, log or page
/// obeys it and none re-orders what stands beside it; CR LF becomes a newline. Of the combining
/// marks on one character the first [`MAX_MARKS`] are kept.
#[must_use]
pub fn defused(bytes: &[u8], limit: usize) -> String {
    let mut out = String::with_capacity(bytes.len().min(limit));
    let text = String::from_utf8_lossy(beginning(bytes, limit)).replace("\r\n", "\n");
    let (mut marks, mut previous) = (0, None);
    for c in text.nfc() {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            continue;
        }
        let plain = !is_hidden(c) || matches!(c, '\n' | '\t') || joins_emoji(previous, c);
        let c = if plain { c } else { char::REPLACEMENT_CHARACTER };
        if out.len() + c.len_utf8() > limit {
            break;
        }
        out.push(c);
        previous = Some(c);
    }
    out
}

/// [`defused`] on one line: a newline or a tab becomes a space.
#[must_use]
pub fn defused_line(text: &str, limit: usize) -> String {
    defused(text.as_bytes(), limit).replace(['\n', '\t'], " ")
}

/// At most `limit` bytes, without a part of a character at the end.
fn beginning(bytes: &[u8], limit: usize) -> &[u8] {
    let Some(after) = bytes.get(limit) else { return bytes };
    let continues = |byte: &u8| *byte & 0xc0 == 0x80;
    if !continues(after) {
        return &bytes[..limit];
    }
    let cut = &bytes[..limit];
    let begins = cut.iter().rev().take(3).position(|byte| !continues(byte));
    begins.map_or(cut, |back| &cut[..limit - back - 1])
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters (grapheme clusters).
            pub const LIMIT: usize = $limit;

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                checked(text, Self::LIMIT).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// A participant's name as shown on the map.
    Name,
    64
);
checked_text!(
    /// A participant's handle, such as `@docker`.
    Handle,
    64
);
checked_text!(
    /// The name of a place.
    PlaceLabel,
    120
);
checked_text!(
    /// How an organiser may reach a participant. Never public.
    Contact,
    200
);
checked_text!(
    /// An answer to a question of the event.
    Answer,
    200
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn people_keep_their_names() {
        for good in
            ["Gordon", "Zoë", "Ɓàlógun", "李小龍", "محمد", "👩‍👩‍👧", "O’Neill", "名 前", "e\u{301}"]
        {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        assert_eq!("e\u{301}".parse::<Name>().unwrap().as_str(), "é");
    }

    #[test]
    fn tricks_are_refused() {
        for bad in [
            "",
            " ",
            "\u{3000}",
            "a\0",
            "a\nb",
            "\u{202e}abc",
            "a\u{200b}b",
            "a\u{200d}b",
            "\u{e000}",
            " a",
            "a ",
            "x\u{301}\u{301}\u{301}\u{301}\u{301}",
            "a\u{2028}b",
            "\u{1b}[2J",
            "\u{feff}a",
            "\u{3164}",
            "a\u{2800}b",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_limit_is_in_characters_as_people_count_them() {
        assert!("é".repeat(64).parse::<Name>().is_ok());
        assert_eq!(
            "é".repeat(65).parse::<Name>(),
            Err(InvalidText::TooLong { count: 65, limit: 64 })
        );
        assert!("x".repeat(1 << 20).parse::<Name>().is_err());
    }

    #[rstest]
    #[case::plain(b"ok\n\tfine", "ok\n\tfine")]
    #[case::windows(b"a\r\nb", "a\nb")]
    #[case::overwritten_line(b"good\rbad", "good\u{fffd}bad")]
    #[case::clear_screen(b"\x1b[2J\xff", "\u{fffd}[2J\u{fffd}")]
    #[case::title(b"\x1b]0;owned\x07", "\u{fffd}]0;owned\u{fffd}")]
    #[case::link(b"\x1b]8;;http://a\x1b\\b", "\u{fffd}]8;;http://a\u{fffd}\\b")]
    #[case::c1_csi("a\u{9b}31mb".as_bytes(), "a\u{fffd}31mb")]
    #[case::c1_osc("\u{9d}0;t\u{9c}".as_bytes(), "\u{fffd}0;t\u{fffd}")]
    #[case::next_line("a\u{85}b".as_bytes(), "a\u{fffd}b")]
    #[case::raw_c1(b"a\x9b31m", "a\u{fffd}31m")]
    #[case::nul(b"a\0b", "a\u{fffd}b")]
    #[case::delete(b"a\x7fb", "a\u{fffd}b")]
    #[case::right_to_left("a\u{202e}b".as_bytes(), "a\u{fffd}b")]
    #[case::isolate("\u{2066}a\u{2069}".as_bytes(), "\u{fffd}a\u{fffd}")]
    #[case::arabic_mark("\u{61c}a".as_bytes(), "\u{fffd}a")]
    #[case::line_separator("a\u{2028}b\u{2029}".as_bytes(), "a\u{fffd}b\u{fffd}")]
    #[case::zero_width("a\u{200b}\u{200d}b\u{feff}".as_bytes(), "a\u{fffd}\u{fffd}b\u{fffd}")]
    #[case::tags("\u{e0041}".as_bytes(), "\u{fffd}")]
    #[case::private_use("\u{e000}\u{10fffd}".as_bytes(), "\u{fffd}\u{fffd}")]
    #[case::unassigned("\u{378}\u{ffff}".as_bytes(), "\u{fffd}\u{fffd}")]
    #[case::blank_letter("\u{3164}".as_bytes(), "\u{fffd}")]
    #[case::family("👩\u{200d}👧".as_bytes(), "👩\u{200d}👧")]
    #[case::joiners("👩\u{200d}\u{200d}👧".as_bytes(), "👩\u{200d}\u{fffd}👧")]
    #[case::composed("e\u{301}".as_bytes(), "é")]
    #[case::overlong(b"\xc0\x80", "\u{fffd}\u{fffd}")]
    #[case::surrogate(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}")]
    #[case::formula(b"=HYPERLINK(\"http://a\")", "=HYPERLINK(\"http://a\")")]
    #[case::markup(b"<script>&amp;", "<script>&amp;")]
    fn strangers_bytes_are_defused(#[case] bytes: &[u8], #[case] shown: &str) {
        assert_eq!(defused(bytes, 100), shown);
    }

    #[test]
    fn marks_are_kept_up_to_their_limit() {
        let zalgo = format!("x{}y{}", "\u{301}".repeat(1000), "\u{302}".repeat(4));
        let kept = format!("x{}\u{177}{}", "\u{301}".repeat(4), "\u{302}".repeat(3));
        assert_eq!(defused(zalgo.as_bytes(), 4096), kept);
        assert_eq!(defused("\u{301}".repeat(9).as_bytes(), 100), "\u{301}".repeat(4));
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(defused("ééé".as_bytes(), 4), "éé");
        assert_eq!(defused("ééé".as_bytes(), 5), "éé");
        assert_eq!(defused("x👩👩".as_bytes(), 8), "x👩");
        assert_eq!(defused("x👩".as_bytes(), 4), "x");
        assert_eq!(defused("x👩".as_bytes(), 5), "x👩");
        assert_eq!(defused(&[0x80; 9], 8), "\u{fffd}\u{fffd}");
        assert_eq!(defused(b"abc", 0), "");
        assert_eq!(defused_line("a\n\tb\u{1b}", 100), "a  b\u{fffd}");
    }

    proptest! {
        #[test]
        fn defused_keeps_its_limit(bytes in proptest::collection::vec(any::<u8>(), 0..300), limit in 0usize..200) {
            let text = defused(&bytes, limit);
            prop_assert!(text.len() <= limit);
            let plain = |c| !is_hidden(c) || ['\n', '\t', '\u{200d}'].contains(&c);
            prop_assert!(text.chars().all(plain));
        }

        #[test]
        fn what_is_defused_stays_as_it_is(text in "[\\PC\u{1b}\u{301}\u{202e}\u{200d}\r\n👩]{0,60}") {
            let once = defused(text.as_bytes(), 4096);
            prop_assert_eq!(defused(once.as_bytes(), 4096), once);
        }

        #[test]
        fn what_is_accepted_is_stable(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
            }
        }
    }
}
