//! Bodies: what is almost JSON, what is JSON to some readers, and what is JSON and means harm.

use super::{DUPLICATE, GOOD, INVALID, PASSED, Play, RULE, Row, TOO_DEEP, TOO_LARGE, row, strings};

/// This text as a body.
macro_rules! body {
    ($body:literal) => {
        Play::Body($body.as_bytes())
    };
}

#[rustfmt::skip] // a table: one row, one or two lines
pub(super) const ROWS: &[Row] = &[
    row("C00", "good", "a good answer", PASSED, body!("{\"ok\":true}")),
    // Depth.
    row("C01", "jsondepth", "200,000 nested arrays", TOO_LARGE, Play::MakesBody(|| "[".repeat(200_000).into_bytes())),
    row("C01", "depth-60000", "60,000 nested arrays, within the limit of a body", TOO_DEEP, Play::MakesBody(|| "[".repeat(60_000).into_bytes())),
    row("C01", "depth-32", "32 levels of arrays and objects", PASSED, Play::MakesBody(|| nested(32))),
    row("C01", "depth-33", "33 levels of arrays and objects", TOO_DEEP, Play::MakesBody(|| nested(33))),
    row("C01", "depth-objects", "a thousand nested objects", TOO_DEEP, Play::MakesBody(|| {
        format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000)).into_bytes()
    })),
    row("C01", "wide", "20,000 elements side by side", PASSED, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"a\":[0{}]}}", ",0".repeat(20_000)).into_bytes()
    })),
    // Keys.
    row("C02", "dupkeys", "a key twice, the right value last", DUPLICATE, body!("{\"ok\":false,\"ok\":true}")),
    row("C02", "dupkeys-first", "a key twice, the right value first", DUPLICATE, body!("{\"ok\":true,\"ok\":false}")),
    row("C02", "dupkeys-same", "a key twice with one value", DUPLICATE, body!("{\"ok\":true,\"ok\":true}")),
    row("C02", "dupkeys-escaped", "a key and the same key escaped", DUPLICATE, body!("{\"ok\":false,\"\\u006f\\u006b\":true}")),
    row("C02", "dupkeys-deep", "a key twice somewhere below", DUPLICATE, body!("{\"ok\":true,\"a\":[{\"b\":{\"c\":1,\"c\":2}}]}")),
    row("C02", "dupkeys-empty", "the empty key twice", DUPLICATE, body!("{\"ok\":true,\"\":1,\"\":2}")),
    row("C02", "dupkeys-surrogates", "a key and the same key in surrogates", DUPLICATE, body!("{\"ok\":true,\"\u{1f600}\":1,\"\\ud83d\\ude00\":2}")),
    row("C02", "keys-normal", "keys that are one after normalisation", PASSED, body!("{\"ok\":true,\"\u{e9}\":1,\"e\\u0301\":2}")),
    row("C02", "keys-case", "keys that differ in case", PASSED, body!("{\"ok\":true,\"OK\":false,\"Ok\":false}")),
    row("C02", "keys-many", "five thousand keys", PASSED, Play::MakesBody(|| {
        let keys: String = (0..5000).map(|key| format!(",\"{key:x}\":0")).collect();
        format!("{{\"ok\":true{keys}}}").into_bytes()
    })),
    row("C02", "keys-path", "a key that looks like a path", RULE, body!("{\"$.ok\":true,\"$\":{\"ok\":true}}")),
    row("C02", "keys-proto", "a key that means something elsewhere", RULE, body!("{\"__proto__\":{\"ok\":true},\"$where\":\"1\"}")),
    // Numbers.
    row("C03", "nan", "NaN", INVALID, body!("{\"ok\":true,\"n\":NaN}")),
    row("C03", "infinity", "-Infinity", INVALID, body!("{\"ok\":true,\"n\":-Infinity}")),
    row("C03", "1e999999", "a number that is too large", INVALID, body!("{\"ok\":true,\"n\":1e999999}")),
    row("C03", "1e400", "a number just too large", INVALID, body!("{\"ok\":true,\"n\":1e400}")),
    row("C03", "1e308", "a number just not too large", PASSED, body!("{\"ok\":true,\"n\":1e308}")),
    row("C03", "1e-400", "a number that is as good as 0", PASSED, body!("{\"ok\":true,\"n\":1e-400}")),
    row("C03", "exponent-long", "an exponent of a thousand digits", INVALID, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"n\":1e{}}}", "9".repeat(1000)).into_bytes()
    })),
    row("C03", "digits-10000", "an integer of 10,000 digits", INVALID, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"n\":{}}}", "9".repeat(10_000)).into_bytes()
    })),
    row("C03", "decimals-10000", "10,000 decimals", PASSED, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"n\":0.{}}}", "1".repeat(10_000)).into_bytes()
    })),
    row("C03", "two-to-64", "2^64", PASSED, body!("{\"ok\":true,\"n\":18446744073709551616}")),
    row("C03", "minus-zero", "-0", PASSED, body!("{\"ok\":true,\"n\":-0}")),
    row("C03", "leading-zero", "a leading zero", INVALID, body!("{\"ok\":true,\"n\":01}")),
    row("C03", "leading-plus", "a leading plus", INVALID, body!("{\"ok\":true,\"n\":+1}")),
    row("C03", "leading-point", "a leading point", INVALID, body!("{\"ok\":true,\"n\":.5}")),
    row("C03", "trailing-point", "a trailing point", INVALID, body!("{\"ok\":true,\"n\":1.}")),
    row("C03", "hex", "a hexadecimal number", INVALID, body!("{\"ok\":true,\"n\":0x10}")),
    row("C03", "underscore", "a number with an underscore", INVALID, body!("{\"ok\":true,\"n\":1_000}")),
    row("C03", "minus", "a minus and nothing", INVALID, body!("{\"ok\":true,\"n\":-}")),
    // Values that are almost the right one.
    row("C04", "ok-one", "1 for true", RULE, body!("{\"ok\":1}")),
    row("C04", "ok-text", "a text for true", RULE, body!("{\"ok\":\"true\"}")),
    row("C04", "ok-array", "true in an array", RULE, body!("{\"ok\":[true]}")),
    row("C04", "ok-null", "null", RULE, body!("{\"ok\":null}")),
    row("C04", "ok-below", "the right value at another place", RULE, body!("{\"a\":{\"ok\":true}}")),
    row("C04", "ok-capital", "True", INVALID, body!("{\"ok\":True}")),
    // Encodings.
    row("C05", "bom", "a byte order mark", INVALID, Play::Body(b"\xef\xbb\xbf{\"ok\":true}")),
    row("C05", "bom-twice", "two byte order marks", INVALID, Play::Body(b"\xef\xbb\xbf\xef\xbb\xbf{\"ok\":true}")),
    row("C06", "utf16", "UTF-16, little end first", INVALID, Play::MakesBody(|| utf16(false, false))),
    row("C06", "utf16-be", "UTF-16, big end first", INVALID, Play::MakesBody(|| utf16(true, false))),
    row("C06", "utf16-bom", "UTF-16 with its mark", INVALID, Play::MakesBody(|| utf16(false, true))),
    row("C06", "utf16-be-bom", "UTF-16, big end first, with its mark", INVALID, Play::MakesBody(|| utf16(true, true))),
    row("C06", "utf32", "UTF-32, little end first", INVALID, Play::MakesBody(|| GOOD.bytes().flat_map(|byte| [byte, 0, 0, 0]).collect())),
    row("C06", "utf32-be", "UTF-32, big end first", INVALID, Play::MakesBody(|| GOOD.bytes().flat_map(|byte| [0, 0, 0, byte]).collect())),
    row("C06", "utf7", "UTF-7", INVALID, body!("+AHs-\"ok\":true+AH0-")),
    row("C06", "ebcdic", "EBCDIC", INVALID, Play::Body(b"\xc0\x7f\x96\x92\x7f\x7a\xa3\x99\xa4\x85\xd0")),
    row("C08", "badutf8", "an overlong NUL", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xc0\x80\"}")),
    row("C08", "overlong-slash", "an overlong slash", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xe0\x80\xaf\"}")),
    row("C08", "surrogate-raw", "a lone surrogate", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xed\xa0\x80\"}")),
    row("C08", "surrogate-escaped", "a lone surrogate, escaped", INVALID, body!("{\"ok\":true,\"a\":\"\\ud800\"}")),
    row("C08", "surrogate-low", "a low surrogate first, escaped", INVALID, body!("{\"ok\":true,\"a\":\"\\udc00\\ud800\"}")),
    row("C08", "surrogate-pair", "a pair of surrogates, escaped", PASSED, body!("{\"ok\":true,\"a\":\"\\ud83d\\ude00\"}")),
    row("C08", "five-bytes", "a character of five bytes", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xf8\x88\x80\x80\x80\"}")),
    row("C08", "beyond-unicode", "a character above U+10FFFF", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xf4\x90\x80\x80\"}")),
    row("C08", "latin1", "a byte of Latin-1", INVALID, Play::Body(b"{\"ok\":true,\"a\":\"\xe9\"}")),
    row("C08", "half-character", "half a character at the end", INVALID, Play::Body(b"{\"ok\":true}\xc3")),
    // NUL and what else may not stand in a string.
    row("C07", "nul", "a NUL in a name, escaped", RULE, body!("{\"ok\":true,\"name\":\"a\\u0000b\"}")),
    row("C07", "nul-key", "a NUL in a key, escaped", RULE, body!("{\"ok\":true,\"a\\u0000\":1}")),
    row("C07", "nul-deep", "a NUL somewhere below", RULE, body!("{\"ok\":true,\"a\":[[{\"b\":\"\\u0000\"}]]}")),
    row("C07", "nul-raw", "a NUL in a string", INVALID, body!("{\"ok\":true,\"name\":\"a\0b\"}")),
    row("C07", "nul-after", "a NUL behind the document", INVALID, body!("{\"ok\":true}\0")),
    row("C07", "newline-raw", "a line break in a string", INVALID, body!("{\"ok\":true,\"a\":\"b\nc\"}")),
    row("C07", "tab-raw", "a tab in a string", INVALID, body!("{\"ok\":true,\"a\":\"b\tc\"}")),
    row("C07", "escape-raw", "an escape character in a string", INVALID, body!("{\"ok\":true,\"a\":\"\x1b[2J\"}")),
    row("C07", "escape-x", "\\x", INVALID, body!("{\"ok\":true,\"a\":\"\\x41\"}")),
    row("C07", "escape-quote", "\\'", INVALID, body!("{\"ok\":true,\"a\":\"\\'\"}")),
    row("C07", "escape-short", "\\u with three digits", INVALID, body!("{\"ok\":true,\"a\":\"\\u041\"}")),
    // Other notations.
    row("C11", "comment", "a comment", INVALID, body!("{\"ok\":true} // yes")),
    row("C11", "comment-block", "a comment in between", INVALID, body!("{/* yes */\"ok\":true}")),
    row("C11", "comma-array", "a comma too many in an array", INVALID, body!("{\"ok\":true,\"a\":[1,]}")),
    row("C11", "comma-object", "a comma too many in an object", INVALID, body!("{\"ok\":true,}")),
    row("C11", "quotes-single", "single quotes", INVALID, body!("{'ok':true}")),
    row("C11", "quotes-none", "a key without quotes", INVALID, body!("{ok:true}")),
    row("C11", "two-documents", "two documents", INVALID, body!("{\"ok\":true}{\"ok\":true}")),
    row("C11", "lines", "a document on each line", INVALID, body!("{\"ok\":true}\n{\"ok\":false}\n")),
    row("C11", "xssi", "a guard before the document", INVALID, body!(")]}',\n{\"ok\":true}")),
    row("C11", "callback", "a function around the document", INVALID, body!("f({\"ok\":true})")),
    row("C11", "unfinished", "a document that breaks off", INVALID, body!("{\"ok\":true")),
    row("C11", "html", "HTML", INVALID, body!("<!doctype html><p>{\"ok\":true}</p>")),
    row("C11", "nbsp", "a space that is none (U+00A0)", INVALID, body!("\u{a0}{\"ok\":true}")),
    row("C11", "feff-inside", "U+FEFF between tokens", INVALID, body!("{\u{feff}\"ok\":true}")),
    row("C11", "formfeed", "a form feed as space", INVALID, body!("{\x0c\"ok\":true}")),
    row("C11", "vtab", "a vertical tab as space", INVALID, body!("{\x0b\"ok\":true}")),
    row("C11", "line-separator", "U+2028 as space", INVALID, body!("{\"ok\":true}\u{2028}")),
    row("C11", "space", "all the space that JSON allows", PASSED, body!(" \t\r\n{ \"ok\"\n:\ttrue\r}\n ")),
    // Documents of other kinds.
    row("C12", "scalar", "a number", RULE, body!("3")),
    row("C12", "text", "a text", RULE, body!("\"ok\"")),
    row("C12", "null", "null", RULE, body!("null")),
    row("C12", "array", "an empty array", RULE, body!("[]")),
    row("C12", "in-array", "the right object in an array", RULE, body!("[{\"ok\":true}]")),
    row("C12", "empty", "an empty body", INVALID, body!("")),
    row("C12", "blank", "white space", INVALID, body!(" \r\n\t ")),
    // Strings that mean harm to whoever shows or keeps them.
    row("C09", "hostilestr", "markup, terminal sequences, reordering, fake log lines, formulas", PASSED, Play::MakesBody(|| strings::document(true))),
    row("C09", "hostilestr-raw", "the same, unescaped where JSON allows", PASSED, Play::MakesBody(|| strings::document(false))),
    row("C09", "hostilestr-wrong", "the same at the place of the right value", RULE, Play::MakesBody(|| {
        let text = String::from_utf8_lossy(&strings::document(true)).into_owned();
        text.replacen("{\"ok\":true,", "{\"ok\":\"\\u001b[2J\\u202e<script>alert(1)</script>\\u009b\",", 1).into_bytes()
    })),
    row("C10", "hugeuni", "1,000,000 combining marks on one letter", TOO_LARGE, Play::MakesBody(|| marks(1_000_000))),
    row("C10", "marks-2000", "2,000 combining marks on one letter", PASSED, Play::MakesBody(|| marks(2_000))),
    row("C13", "string-4096", "a string of exactly 4 KiB", PASSED, Play::MakesBody(|| string(4096))),
    row("C13", "string-4097", "a string of 4 KiB and a byte", INVALID, Play::MakesBody(|| string(4097))),
    row("C13", "key-4097", "a key of 4 KiB and a byte", INVALID, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"{}\":1}}", "k".repeat(4097)).into_bytes()
    })),
    row("C13", "escapes-4096", "4 KiB of text in 24 KiB of escapes", PASSED, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"a\":\"{}\"}}", "\\u0041".repeat(4096)).into_bytes()
    })),
    row("C14", "redos", "bait for a pattern that backtracks", PASSED, Play::MakesBody(|| {
        format!("{{\"ok\":true,\"a\":\"{}!\"}}", "a".repeat(4000)).into_bytes()
    })),
];

/// So many levels, arrays and objects by turns, the document itself included.
fn nested(levels: usize) -> Vec<u8> {
    let (mut open, mut close) = (String::from("{\"ok\":true,\"a\":"), String::from("}"));
    for level in 1..levels {
        let (first, last) = if level % 2 == 0 { ("{\"a\":", '}') } else { ("[", ']') };
        open.push_str(first);
        close.insert(0, last);
    }
    format!("{open}0{close}").into_bytes()
}

fn utf16(big: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(GOOD.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn marks(count: usize) -> Vec<u8> {
    format!("{{\"ok\":true,\"a\":\"x{}\"}}", "\u{301}".repeat(count)).into_bytes()
}

fn string(bytes: usize) -> Vec<u8> {
    format!("{{\"ok\":true,\"a\":\"{}\"}}", "s".repeat(bytes)).into_bytes()
}
