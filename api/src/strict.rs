//! JSON and key-value text as stricter trees than serde_json reads by itself: a key stands once.
//!
//! Two readers that disagree about which of two equal keys counts can be played against each
//! other, so a body with such keys is refused whole, with a pointer to the second one.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::{Path, Segment};
use validator::{Validate, ValidationErrors};

const TWICE: &str = "a key stands here twice";

/// Why a text is not JSON that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is not JSON, or nested deeper than is read.
    NotJson,
    /// A key stands twice.
    Duplicate,
    /// A number that no machine number holds.
    NumberRange,
}

/// Checks that bytes are JSON in which no object has a key twice.
pub(crate) fn check(bytes: &[u8]) -> Result<(), (Flaw, String, String)> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found: Result<Unique, _> = serde_path_to_error::deserialize(&mut reader);
    if let Err(error) = found {
        let message = error.inner().to_string();
        let flaw = if message.starts_with(TWICE) {
            Flaw::Duplicate
        } else if message.starts_with("number out of range") {
            Flaw::NumberRange
        } else {
            Flaw::NotJson
        };
        return Err((flaw, pointer(error.path()), message));
    }
    reader.end().map_err(|error| (Flaw::NotJson, String::new(), error.to_string()))
}

/// A path of serde's as a JSON pointer (RFC 6901).
pub(crate) fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&step(key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// One step of a JSON pointer. What a stranger wrote is cut to a length that fits an answer.
pub(crate) fn step(key: &str) -> String {
    let key: String = key.chars().take(64).collect();
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A struct that is written as an object: serde by itself would also take a list of its fields.
#[derive(Clone, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

impl<T: Validate> Validate for Object<T> {
    fn validate(&self) -> Result<(), ValidationErrors> {
        self.0.validate()
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries))
    }
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

/// What stands where a key came again: reading it fails, so that the path ends there.
struct Again;

impl<'de> Deserialize<'de> for Again {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(D::Error::custom(TWICE))
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.insert(key) {
                entries.next_value::<Unique>()?;
            } else {
                entries.next_value::<Again>()?;
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> Option<(Flaw, String)> {
        check(text.as_bytes()).err().map(|(flaw, pointer, _)| (flaw, pointer))
    }

    #[test]
    fn what_is_refused_and_where() {
        assert_eq!(flaw(r#"{"a":1,"b":[{"c":null},"x",1.5,true,-1]}"#), None);
        let twice = flaw(r#"{"a":{"b/c":1,"b/c":2}}"#);
        assert_eq!(twice, Some((Flaw::Duplicate, "/a/b~1c".to_owned())));
        let range = flaw(r#"{"place":{"lat":1e999}}"#);
        assert_eq!(range, Some((Flaw::NumberRange, "/place/lat".to_owned())));
        for bad in ["", "{", "nul", "{} {}", "NaN", "{\"a\":NaN}", "\u{feff}{}", "{'a':1}"] {
            assert!(matches!(flaw(bad), Some((Flaw::NotJson, _))), "{bad}");
        }
    }

    /// What 16 KiB that are made to be dear take; it is shown and not judged, since machines differ.
    #[test]
    fn what_a_body_costs() {
        let keys: String = (0..1_600).map(|n| format!("\"k{n}\":1,")).collect();
        let nested = "[".repeat(120) + &"1,".repeat(7_900) + "1" + &"]".repeat(120);
        for (name, text) in [
            ("deep", "[".repeat(16_000)),
            ("long", format!("[{}1]", "1,".repeat(8_000))),
            ("keys", format!("{{{keys}\"z\":1}}")),
            ("both", nested),
            ("escapes", format!("\"{}\"", "\\u0061".repeat(2_700))),
        ] {
            assert!(text.len() <= crate::extract::BODY_LIMIT, "{name}: {}", text.len());
            let began = std::time::Instant::now();
            let read = check(text.as_bytes()).is_ok();
            println!("{name}: read {read} in {:?}", began.elapsed());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(matches!(flaw(&deep), Some((Flaw::NotJson, _))));
    }
}
