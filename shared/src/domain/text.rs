//! Text that people give and that everybody sees: names, handles, labels, answers.
//!
//! Shown exactly as given (after Unicode NFC) or refused with a reason, never altered in silence.

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
    const ZERO_WIDTH_JOINER: char = '\u{200d}';
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
        let joins_emoji = c == ZERO_WIDTH_JOINER
            && previous.is_some_and(|p| !p.is_ascii() && !p.is_alphanumeric());
        if is_hidden(c) && !joins_emoji {
            return Err(InvalidText::Character { code: u32::from(c) });
        }
        previous = Some(c);
    }
    Ok(())
}

/// Whether a character is of the categories Cc, Cf, Co, Cs, Cn, Zl or Zp.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    matches!(
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

/// Bytes from a stranger as text that is safe to store and to show: lossy UTF-8, cut to `limit`
/// bytes on a character's border, every hidden character but newline and tab shown as U+FFFD.
#[must_use]
pub fn defused(bytes: &[u8], limit: usize) -> String {
    let cut = &bytes[..bytes.len().min(limit)];
    let mut out = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        let c = if is_hidden(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
        if out.len() + c.len_utf8() > limit {
            break;
        }
        out.push(c);
    }
    out
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

    #[test]
    fn strangers_bytes_are_defused() {
        assert_eq!(defused(b"ok\n\tfine", 100), "ok\n\tfine");
        assert_eq!(defused(b"\x1b[2J\xff", 100), "\u{fffd}[2J\u{fffd}");
        assert_eq!(defused("a\u{202e}b".as_bytes(), 100), "a\u{fffd}b");
        assert_eq!(defused("ééé".as_bytes(), 4), "éé");
    }

    proptest! {
        #[test]
        fn defused_keeps_its_limit(bytes in proptest::collection::vec(any::<u8>(), 0..300), limit in 0usize..200) {
            let text = defused(&bytes, limit);
            prop_assert!(text.len() <= limit);
            prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !is_hidden(c)));
        }

        #[test]
        fn what_is_accepted_is_stable(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
            }
        }
    }
}
