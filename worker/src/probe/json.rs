//! Strict JSON for bodies that strangers wrote.
//!
//! `serde_json` does the grammar. On top of it, and while parsing (so before a tree stands):
//! a depth limit, no key twice in an object, bounded strings; and sentences that a participant
//! can act on. The size of the body is bounded before it comes here.

use std::{cell::RefCell, fmt};

use portcall_shared::domain::text::defused_line;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects inside each other.
pub const DEPTH: usize = 32;

/// The longest string or key, in bytes after unescaping.
pub const STRING_BYTES: usize = 4 * 1024;

/// How much of a repeated key is kept for the message, in characters.
const SHOWN_CHARS: usize = 80;

/// Why a body is not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON at all.
    #[error("the answer is not JSON: {detail}")]
    Invalid {
        /// What is wrong, and where.
        detail: String,
    },
    /// Nested deeper than [`DEPTH`].
    #[error("the answer is nested deeper than {limit} levels")]
    TooDeep {
        /// [`DEPTH`]
        limit: usize,
    },
    /// An object has a key twice, so its meaning depends on the reader.
    #[error("the key {key:?} is there twice in one object")]
    DuplicateKey {
        /// The key, cut to 80 characters, on one line, with U+FFFD for what cannot be seen.
        key: String,
    },
    /// A string or key is longer than [`STRING_BYTES`].
    #[error("the answer holds a string longer than {limit} bytes")]
    StringTooLong {
        /// [`STRING_BYTES`]
        limit: usize,
    },
}

/// Parses one JSON text. A negative zero becomes 0, so that it equals it.
///
/// # Errors
/// The first [`JsonFault`] met.
pub fn parse(body: &[u8]) -> Result<Value, JsonFault> {
    let text = text(body)?;
    let fault = RefCell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Node { depth: 0, fault: &fault }
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value));
    value.map_err(|error| fault.take().unwrap_or_else(|| invalid(describe(&error, text))))
}

fn text(body: &[u8]) -> Result<&str, JsonFault> {
    match body {
        [] => Err(invalid("it is empty".into())),
        [0xef, 0xbb, 0xbf, ..] => Err(invalid(
            "it begins with a byte order mark (U+FEFF), which JSON does not allow".into(),
        )),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            Err(invalid("it looks like UTF-16 or UTF-32; JSON is sent as UTF-8".into()))
        }
        _ => std::str::from_utf8(body).map_err(|error| {
            invalid(format!("the byte at offset {} is not UTF-8", error.valid_up_to()))
        }),
    }
}

fn invalid(detail: String) -> JsonFault {
    JsonFault::Invalid { detail }
}

fn describe(error: &serde_json::Error, text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return "it holds nothing but white space".into();
    }
    match foreign_word(error, text) {
        Some(word) => {
            format!("`{word}` is no JSON value at line {} column {}", error.line(), error.column())
        }
        None => error.to_string(),
    }
}

/// What other languages write and JSON does not know, when the error points into it.
fn foreign_word(error: &serde_json::Error, text: &str) -> Option<&'static str> {
    const WORDS: [&str; 9] =
        ["NaN", "nan", "-Infinity", "Infinity", "inf", "undefined", "None", "True", "False"];
    let line = text.split('\n').nth(error.line().checked_sub(1)?)?;
    let at = error.column().checked_sub(1)?.min(line.len());
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let begin = line.as_bytes()[..at].iter().rposition(|byte| !word(byte)).map_or(0, |gap| gap + 1);
    let rest = &line.as_bytes()[begin..];
    let token = &rest[..rest.iter().position(|byte| !word(byte)).unwrap_or(rest.len())];
    WORDS.into_iter().find(|word| word.as_bytes() == token)
}

/// One value at a depth; reports its own faults through the cell, since `serde` errors are text.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth: usize,
    fault: &'a RefCell<Option<JsonFault>>,
}

impl Node<'_> {
    fn fail<E: Error>(self, fault: JsonFault) -> E {
        let error = E::custom(&fault);
        self.fault.replace(Some(fault));
        error
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH {
            return Err(self.fail(JsonFault::TooDeep { limit: DEPTH }));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn bounded<E: Error>(self, text: &str) -> Result<(), E> {
        if text.len() > STRING_BYTES {
            return Err(self.fail(JsonFault::StringTooLong { limit: STRING_BYTES }));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if value == 0.0 && value.is_sign_negative() {
            return Ok(Value::Number(0_u64.into()));
        }
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.bounded(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let node = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(node)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let node = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            node.bounded(&key)?;
            if map.contains_key(&key) {
                let cut: String = key.chars().take(SHOWN_CHARS).collect();
                let key = defused_line(&cut, 4 * SHOWN_CHARS);
                return Err(node.fail(JsonFault::DuplicateKey { key }));
            }
            let value = entries.next_value_seed(node)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn detail(body: &[u8]) -> String {
        match parse(body) {
            Err(JsonFault::Invalid { detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn depth_is_limited_on_both_sides() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(32).as_bytes()).is_ok());
        assert_eq!(parse(nested(33).as_bytes()), Err(JsonFault::TooDeep { limit: 32 }));
        let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(parse(objects(32).as_bytes()).is_ok());
        assert_eq!(parse(objects(33).as_bytes()), Err(JsonFault::TooDeep { limit: 32 }));
        let open = "[".repeat(200_000);
        assert_eq!(parse(open.as_bytes()), Err(JsonFault::TooDeep { limit: 32 }));
    }

    #[rstest]
    #[case(r#"{"ok":false,"ok":true}"#, "ok")]
    #[case(r#"[{"a":{"b":1,"c":2,"b":1}}]"#, "b")]
    #[case(r#"{"a":1,"\u0061":2}"#, "a")]
    #[case(r#"{"":1,"":1}"#, "")]
    #[case(r#"{"a\n\u2800\t":1,"a\n\u2800\t":1}"#, "a \u{fffd} ")]
    fn a_key_twice_is_refused(#[case] body: &str, #[case] key: &str) {
        let fault = JsonFault::DuplicateKey { key: key.into() };
        assert_eq!(parse(body.as_bytes()), Err(fault));
    }

    #[test]
    fn strings_and_keys_are_limited_on_both_sides() {
        let limit = JsonFault::StringTooLong { limit: 4096 };
        for (length, ok) in [(4096, true), (4097, false)] {
            let long = "x".repeat(length);
            for body in
                [format!("\"{long}\""), format!("{{\"{long}\":1}}"), format!("[\"{long}\"]")]
            {
                let parsed = parse(body.as_bytes());
                assert_eq!(parsed.is_ok(), ok);
                if let Err(fault) = parsed {
                    assert_eq!(fault, limit);
                }
            }
        }
        let escaped = format!("\"{}\"", "\\u0041".repeat(4096));
        assert!(parse(escaped.as_bytes()).is_ok(), "what counts is the text, not its escapes");
    }

    #[rstest]
    #[case(b"NaN", "`NaN` is no JSON value at line 1 column 1")]
    #[case(b"{\"a\": NaN}", "`NaN` is no JSON value at line 1 column 7")]
    #[case(b"[-Infinity]", "`-Infinity` is no JSON value at line 1 column 3")]
    #[case(b"Infinity", "`Infinity` is no JSON value at line 1 column 1")]
    #[case(b"{\n\"ok\": True}", "`True` is no JSON value at line 2 column 7")]
    #[case(b"1e999999", "number out of range at line 1 column 8")]
    #[case(b"{\"name\" 1}", "expected `:` at line 1 column 9")]
    #[case(b"{'a': 1}", "key must be a string at line 1 column 2")]
    #[case(b"[1,]", "trailing comma at line 1 column 4")]
    #[case(b"{} {}", "trailing characters at line 1 column 4")]
    #[case(
        b"\xef\xbb\xbf{}",
        "it begins with a byte order mark (U+FEFF), which JSON does not allow"
    )]
    #[case(b"\xff\xfe{\0}\0", "it looks like UTF-16 or UTF-32; JSON is sent as UTF-8")]
    #[case(b"\xfe\xff\0{\0}", "it looks like UTF-16 or UTF-32; JSON is sent as UTF-8")]
    #[case(b"{\0}\0", "it looks like UTF-16 or UTF-32; JSON is sent as UTF-8")]
    #[case(b"\0\0\0{", "it looks like UTF-16 or UTF-32; JSON is sent as UTF-8")]
    #[case(b"\"a\xc0\x80\"", "the byte at offset 2 is not UTF-8")]
    #[case(b"\"a\xed\xa0\x80\"", "the byte at offset 2 is not UTF-8")]
    #[case(b"", "it is empty")]
    #[case(b" \r\n\t", "it holds nothing but white space")]
    fn the_sentence_names_what_is_wrong(#[case] body: &[u8], #[case] sentence: &str) {
        assert_eq!(detail(body), sentence);
    }

    #[rstest]
    #[case(b"\"\\ud800\"")] // a lone surrogate
    #[case(b"\"a\0b\"")] // a raw NUL
    #[case(b"\"a\x1bb\"")]
    #[case(b"-")]
    #[case(b"01")]
    #[case(b".5")]
    #[case(b"+1")]
    #[case(b"// c\n1")]
    #[case(b"{\"a\":1")]
    fn other_things_that_are_not_json(#[case] body: &[u8]) {
        assert!(!detail(body).is_empty());
    }

    #[rstest]
    #[case("-0", json!(0))]
    #[case("-0.0", json!(0))]
    #[case("null", json!(null))]
    #[case("[]", json!([]))]
    #[case(" 7 ", json!(7))]
    #[case(r#""\u0000""#, json!("\0"))]
    #[case(r#"{"a":[true,-1,1.5,"<img>"],"b":{"a":{}}}"#, json!({"a": [true, -1, 1.5, "<img>"], "b": {"a": {}}}))]
    fn what_is_json_is_read(#[case] body: &str, #[case] value: Value) {
        assert_eq!(parse(body.as_bytes()), Ok(value));
    }

    #[test]
    fn a_message_is_safe_to_show() {
        let body = "{\"\\u001b[2J\\u202e\":1,\"\\u001b[2J\\u202e\":1}";
        let message = parse(body.as_bytes()).unwrap_err().to_string();
        assert!(!message.contains(['\u{1b}', '\u{202e}']), "{message:?}");
        let long = format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(4000));
        assert!(parse(long.as_bytes()).unwrap_err().to_string().len() < 200);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(body: Vec<u8>) {
            let _ = parse(&body);
        }

        #[test]
        fn anything_like_json_gets_an_answer(body in "[\\[\\]{}:,\"\\\\ntrufalseNI0-9.eE+\\- \n]{0,200}") {
            if let Ok(value) = parse(body.as_bytes()) {
                prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
            }
        }
    }
}
