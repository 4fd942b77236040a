//! Paths into JSON (RFC 9535), as far as a rule may go: they name what is looked at and search for
//! nothing.
//!
//! Whoever organises one event writes them, and every process that reads events reads them again
//! each time. The library would follow brackets into brackets until the stack ends, and reads what
//! a filter compares twice, so that each filter within a filter doubles its time; several
//! selectors in one pair of brackets multiply what is found with each pair. So it is given only
//! what has none of these.

use serde_json_path::JsonPath;

/// Longest path, in bytes.
pub const MAX_PATH: usize = 200;
/// How often `..` may stand in a path.
pub const MAX_DESCENTS: usize = 1;

/// Why a text is no path that a rule may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is too long.
    #[error("a path has at most {MAX_PATH} bytes")]
    TooLong,
    /// It has a filter.
    #[error("filters (`?`) are not taken; name what is looked at, such as $.a[0].b")]
    Filter,
    /// It selects several things by one pair of brackets.
    #[error("one pair of brackets takes one name or index; write a rule for each")]
    Several,
    /// It looks at every depth more than once.
    #[error("`..` may stand in a path once")]
    Descents,
    /// It is not one.
    #[error("not a JSON path (RFC 9535): {0}")]
    Syntax(String),
}

/// A path that a rule may have.
pub(super) fn checked(text: &str) -> Result<String, InvalidPath> {
    if text.len() > MAX_PATH {
        return Err(InvalidPath::TooLong);
    }
    let bare = without_names(text);
    if bare.contains('?') {
        return Err(InvalidPath::Filter);
    }
    if bare.contains(',') {
        return Err(InvalidPath::Several);
    }
    if bare.matches("..").count() > MAX_DESCENTS {
        return Err(InvalidPath::Descents);
    }
    JsonPath::parse(text).map_err(|error| InvalidPath::Syntax(error.to_string()))?;
    Ok(text.to_owned())
}

/// The path without what stands in quotes.
fn without_names(text: &str) -> String {
    let (mut bare, mut within) = (String::with_capacity(text.len()), None);
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match within {
            None => {
                within = matches!(char, '\'' | '"').then_some(char);
                bare.push(char);
            }
            Some(_) if char == '\\' => drop(rest.next()),
            Some(quote) if char == quote => within = None,
            Some(_) => {}
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("$")]
    #[case("$.name")]
    #[case("$['name'][0][-1]")]
    #[case("$.a[*].b")]
    #[case("$.a[1:5:2]")]
    #[case("$..name")]
    #[case("$['is it?']")]
    #[case("$[\"a, b\"]['c..d..e']")]
    #[case("$['it\\'s?, ..']..b")]
    fn what_names_is_taken(#[case] path: &str) {
        assert_eq!(checked(path).as_deref(), Ok(path));
    }

    #[rstest]
    #[case("$[?@.a]", InvalidPath::Filter)]
    #[case("$.a[?(@.b == 1)]", InvalidPath::Filter)]
    #[case("$['a'][ ?@.b]", InvalidPath::Filter)]
    #[case("$['a\\\\'][?@['b']]", InvalidPath::Filter)]
    #[case("$['a', 'b']", InvalidPath::Several)]
    #[case("$[0,0]", InvalidPath::Several)]
    #[case("$..a..b", InvalidPath::Descents)]
    fn what_searches_is_refused(#[case] path: &str, #[case] expected: InvalidPath) {
        assert_eq!(checked(path), Err(expected));
    }

    #[rstest]
    #[case("")]
    #[case("name")]
    #[case("name[")]
    #[case("$.")]
    #[case("$[((((1))))]")]
    #[case("$['a")]
    #[case("$.a'[")]
    fn what_is_none_is_refused(#[case] path: &str) {
        assert!(matches!(checked(path), Err(InvalidPath::Syntax(_))), "{:?}", checked(path));
    }

    #[test]
    fn it_has_an_end() {
        let of = |length: usize| format!("$.{}", "a".repeat(length - 2));
        assert!(checked(&of(MAX_PATH)).is_ok());
        assert_eq!(checked(&of(MAX_PATH + 1)), Err(InvalidPath::TooLong));
    }

    /// Each of these stopped the process or kept it for hours when the library got it.
    #[test]
    fn what_would_keep_the_library_is_refused_at_once() {
        let began = Instant::now();
        for (path, expected) in [
            (format!("$[?{}", "(".repeat(200_000)), InvalidPath::TooLong),
            (format!("$[?{}", "(".repeat(MAX_PATH - 3)), InvalidPath::Filter),
            (format!("${}{}", "[?@".repeat(45), "]".repeat(45)), InvalidPath::Filter),
            (format!("${}{}", "[?!@".repeat(39), "]".repeat(39)), InvalidPath::Filter),
            (format!("${}", "[*,*]".repeat(39)), InvalidPath::Several),
            (format!("${}", "..*".repeat(66)), InvalidPath::Descents),
        ] {
            assert_eq!(checked(&path), Err(expected), "{path:.40}");
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
