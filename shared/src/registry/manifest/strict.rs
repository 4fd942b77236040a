//! JSON of strangers that another program, written in another language, will read after us.
//!
//! What two readers may take differently is refused: a key twice in an object (the first or the
//! last may count), and a key that only looks like one of a document's own. Go's reader, which
//! engines use, folds the case of keys: for it `workingdir` sets `WorkingDir`, and so does a word
//! with a Kelvin sign for its `k`. Nesting is bounded while parsing, before a tree stands.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::domain::text::defused_line;

/// Arrays and objects inside each other; images have no more than six.
pub const MAX_DEPTH: usize = 32;
/// How much of a key is shown, in bytes.
const SHOWN: usize = 60;

/// Reads one JSON text.
///
/// # Errors
/// What is wrong with it, as a part of a sentence.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    let fault = RefCell::new(None);
    let mut parser = serde_json::Deserializer::from_slice(body);
    let value = Node { depth: 0, fault: &fault }
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value));
    value.map_err(|error| fault.take().unwrap_or_else(|| format!("it is not JSON: {error}")))
}

/// An object of a document, none of whose keys can be taken for another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    /// The object in this value, which may have these keys among others.
    ///
    /// # Errors
    /// When it is none, or a key of it only looks like one of these.
    pub(super) fn of(value: &'a Value, what: &str, own: &[&str]) -> Result<Self, String> {
        let map = value.as_object().ok_or_else(|| format!("{what} is not an object"))?;
        for key in map.keys().filter(|key| !own.contains(&key.as_str())) {
            let folded = fold(key);
            if let Some(like) = own.iter().find(|name| fold(name) == folded) {
                return Err(format!("{what} has a key `{}` that looks like `{like}`", shown(key)));
            }
        }
        Ok(Self(map))
    }

    /// What is at a key; nothing for null.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// The text at a key, or nothing.
    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>, String> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| format!("`{key}` is no text"));
        self.get(key).map(text).transpose()
    }

    /// The size at a key: whole, not negative, within what readers of it can count.
    pub(super) fn size(self, key: &str) -> Result<u64, String> {
        let size = self.get(key).and_then(Value::as_u64);
        size.filter(|size| i64::try_from(*size).is_ok())
            .ok_or_else(|| format!("`{key}` is not a number of bytes"))
    }

    /// The list at a key, or nothing.
    pub(super) fn list(self, key: &str) -> Result<Option<&'a [Value]>, String> {
        let list = |value: &'a Value| value.as_array().ok_or_else(|| format!("`{key}` is no list"));
        Ok(self.get(key).map(list).transpose()?.map(Vec::as_slice))
    }

    /// The texts in the list at a key, or none.
    pub(super) fn texts(self, key: &str) -> Result<Vec<&'a str>, String> {
        let text = |value: &'a Value| value.as_str();
        let texts = self.list(key)?.unwrap_or_default().iter().map(text).collect::<Option<_>>();
        texts.ok_or_else(|| format!("`{key}` is no list of texts"))
    }

    /// The keys of the set at a key, or none: an object whose values are empty, as `{"a": {}}`.
    pub(super) fn keys(self, key: &str) -> Result<Vec<&'a str>, String> {
        let map = self.map(key)?;
        match map.clone().all(|(_, value)| value.is_object() || value.is_null()) {
            true => Ok(map.map(|(key, _)| key.as_str()).collect()),
            false => Err(format!("`{key}` has an entry that is not an object")),
        }
    }

    /// Refuses what is at a key unless it is an object of texts, or nothing.
    pub(super) fn words(self, key: &str) -> Result<(), String> {
        match self.map(key)?.all(|(_, value)| value.is_string() || value.is_null()) {
            true => Ok(()),
            false => Err(format!("`{key}` has an entry that is no text")),
        }
    }

    /// Refuses what is at a key unless it is true, false or nothing.
    pub(super) fn flag(self, key: &str) -> Result<(), String> {
        match self.get(key).is_none_or(Value::is_boolean) {
            true => Ok(()),
            false => Err(format!("`{key}` is neither true nor false")),
        }
    }

    /// Refuses what is at a key unless it is a whole number of 64 bits, or nothing.
    pub(super) fn whole(self, key: &str) -> Result<(), String> {
        match self.get(key).is_none_or(Value::is_i64) {
            true => Ok(()),
            false => Err(format!("`{key}` is no whole number")),
        }
    }

    fn map(
        self,
        key: &str,
    ) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + Clone, String> {
        let map =
            |value: &'a Value| value.as_object().ok_or_else(|| format!("`{key}` is not an object"));
        Ok(self.get(key).map(map).transpose()?.into_iter().flatten())
    }
}

/// As Go's reader compares keys: without case, and with the two letters outside ASCII that fold
/// into it.
fn fold(key: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

fn shown(key: &str) -> String {
    defused_line(key, SHOWN)
}

/// One value at a depth; reports its own faults through the cell, since `serde` errors are text.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth: usize,
    fault: &'a RefCell<Option<String>>,
}

impl Node<'_> {
    fn fail<E: Error>(self, fault: String) -> E {
        let error = E::custom(&fault);
        self.fault.replace(Some(fault));
        error
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
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
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
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
            if map.contains_key(&key) {
                let key = shown(&key);
                return Err(node.fail(format!("the key `{key}` is there twice in one object")));
            }
            let value = entries.next_value_seed(node)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_is_limited_on_both_sides() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        let told = "it is nested deeper than 32 levels";
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err(), told);
        assert_eq!(parse("{\"a\":".repeat(200_000).as_bytes()).unwrap_err(), told);
    }

    #[rstest]
    #[case(r#"{"a":1,"a":1}"#, "the key `a` is there twice in one object")]
    #[case(r#"{"x":[{"a":1,"\u0061":2}]}"#, "the key `a` is there twice in one object")]
    #[case("{\"\u{202e}\":1,\"\u{202e}\":1}", "the key `\u{fffd}` is there twice in one object")]
    #[case(r#"{"a\tb\nc":1,"a\tb\nc":2}"#, "the key `a b c` is there twice in one object")]
    fn a_key_twice_is_refused(#[case] body: &str, #[case] told: &str) {
        assert_eq!(parse(body.as_bytes()).unwrap_err(), told);
    }

    #[rstest]
    #[case(b"{} {}")]
    #[case(b"\xef\xbb\xbf{}")]
    #[case(b"{\"a\":\"\xff\"}")]
    #[case(b"{\"a\":1e999}")]
    #[case(b"{\"a\":\"\\ud800\"}")]
    #[case(b"")]
    fn what_is_not_json_is_told(#[case] body: &[u8]) {
        assert!(parse(body).unwrap_err().starts_with("it is not JSON: "));
    }

    #[rstest]
    #[case("workingdir", false)]
    #[case("WORKINGDIR", false)]
    #[case("Wor\u{212a}ingDir", false)]
    #[case("WorkingDir", true)]
    #[case("Working_Dir", true)]
    #[case("WorkingDirs", true)]
    fn a_key_that_only_looks_like_one_is_refused(#[case] key: &str, #[case] ok: bool) {
        let value = json!({ key: "/srv" });
        assert_eq!(Object::of(&value, "it", &["WorkingDir"]).is_ok(), ok);
        let beside = json!({ "WorkingDir": "/srv", "other": 1, "\u{17f}ize": 1 });
        assert!(Object::of(&beside, "it", &["WorkingDir"]).is_ok());
        assert!(Object::of(&beside, "it", &["WorkingDir", "size"]).is_err());
    }

    #[test]
    fn sizes_are_whole_and_countable() {
        let size = |value: Value| {
            Object::of(&json!({ "size": value }), "it", &[]).unwrap().size("size").ok()
        };
        assert_eq!(size(json!(0)), Some(0));
        assert_eq!(size(json!(i64::MAX)), Some(i64::MAX as u64));
        for bad in [json!(i64::MAX as u64 + 1), json!(-1), json!(1.0), json!("1"), json!(null)] {
            assert_eq!(size(bad), None);
        }
    }
}
