//! Where in the nesting of Rust code something stands: enough of a reader to say "inside the
//! arguments of `persist`", and no more.

/// Rust without its comments and texts: spaces stand for them, so that every place stays.
#[must_use]
pub fn plain(code: &str) -> String {
    let mut plain = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let hidden = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => text_length(rest),
            'r' if !plain.ends_with(in_a_word) => raw_length(rest),
            '\'' => character_length(rest),
            _ => 0,
        };
        let length = if hidden == 0 { first.len_utf8() } else { hidden };
        let (piece, after) = rest.split_at(length);
        if hidden == 0 {
            plain.push(first);
        } else {
            let blank = |c: char| if c == '\n' { "\n" } else { &"    "[..c.len_utf8()] };
            plain.extend(piece.chars().map(blank));
        }
        rest = after;
    }
    plain
}

/// For every place where `wanted` stands in plain code: the place, and what stands before each
/// bracket around it, from the innermost outwards.
#[must_use]
pub fn around<'a>(plain: &'a str, wanted: &str) -> Vec<(usize, Vec<&'a str>)> {
    let places: Vec<usize> = plain.match_indices(wanted).map(|(at, _)| at).collect();
    let mut places = places.into_iter().peekable();
    let mut found = Vec::new();
    let mut heads: Vec<&str> = Vec::new();
    // Where the statement or argument begins, at each level, and after which bracket that is. A
    // comma in a block may be one between the arguments of a type.
    let mut begins = vec![('{', 0)];
    for (at, c) in plain.char_indices() {
        if places.next_if_eq(&at).is_some() {
            found.push((at, heads.iter().rev().copied().collect()));
        }
        let begin = begins.last_mut();
        match (c, begin) {
            ('(' | '[' | '{', Some((_, begin))) => {
                heads.push(plain[*begin..at].trim());
                begins.push((c, at + 1));
            }
            (')' | ']' | '}', _) if !heads.is_empty() => {
                heads.pop();
                begins.pop();
                // What follows a block begins anew, unless it goes on as a chain of calls.
                let goes_on = plain[at + 1..].trim_start().starts_with(['.', '?']);
                if c == '}'
                    && !goes_on
                    && let Some((_, begin)) = begins.last_mut()
                {
                    *begin = at + 1;
                }
            }
            (';', Some((_, begin))) | (',', Some(('(' | '[', begin))) => *begin = at + 1,
            _ => {}
        }
    }
    found
}

/// The number of the line of a place, from 1.
#[must_use]
pub fn line_of(code: &str, place: usize) -> usize {
    1 + code[..place].matches('\n').count()
}

fn in_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn text_length(rest: &str) -> usize {
    let mut escaped = true;
    for (at, c) in rest.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Of `r"…"` or `r#"…"#`; nothing where it is neither.
fn raw_length(rest: &str) -> usize {
    let marks = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !rest[1 + marks..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(marks));
    let body = 2 + marks;
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}

/// Of a character; nothing where it is a lifetime.
fn character_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blank() {
        let code = "a(\"(\\\"\"); // {\nlet c = '{'; fn f<'a>() /* ( */ { r#\"\"(\"# } '\\'' x";
        let blank = plain(code);
        assert_eq!(blank.len(), code.len());
        assert_eq!(line_of(&blank, blank.find("fn").unwrap()), 2);
        let left: String = blank.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(left, "a();letc=;fnf<'a>(){}x");
        assert_eq!(plain("für \"ä\" 'ß'").len(), "für \"ä\" 'ß'".len());
    }

    #[test]
    fn a_place_knows_what_is_around_it() {
        let code =
            "impl S { fn f(&self) -> X<A, B> { let a = 1; self.x.call(b, move || { g(here) }) } }";
        let found = around(code, "here");
        assert_eq!(found.len(), 1);
        let heads = &found[0].1;
        assert_eq!(heads[..3], ["g", "move ||", "self.x.call"]);
        assert_eq!(heads[3..], ["fn f(&self) -> X<A, B>", "impl S"]);
        let after = around("fn a() { call(x); if y { z } here() }", "here");
        assert_eq!(after[0].1, ["fn a()"]);
    }
}
