//! Answers of strangers' containers, read as strict JSON.

use portcall_worker::probe::json::{self, DEPTH, STRING_BYTES};
use serde_json::Value;

use crate::property::is_a_sentence;

/// What is accepted, serde_json accepts too and reads as the same value; it is within the limits;
/// written it is accepted again. A refusal is a sentence.
pub fn check(body: &[u8]) {
    let value = match json::parse(body) {
        Ok(value) => value,
        Err(fault) => return is_a_sentence(&fault.to_string()),
    };
    let theirs: Value = serde_json::from_slice(body).expect("stricter, never laxer");
    assert_eq!(value, positive(theirs));
    assert!(depth(&value) <= DEPTH && longest(&value) <= STRING_BYTES);
    let again = serde_json::to_vec(&value).expect("a value can be written");
    assert!(json::parse(&again).is_ok(), "it is not read again");
}

/// The one thing that is read otherwise on purpose: a negative zero.
fn positive(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(is_negative_zero) => 0.into(),
        Value::Array(items) => items.into_iter().map(positive).collect(),
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, positive(v))).collect(),
        other => other,
    }
}

fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

fn depth(value: &Value) -> usize {
    let inside = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inside.unwrap_or(0)
}

fn longest(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(longest).max().unwrap_or(0),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len().max(longest(value))).max().unwrap_or(0)
        }
        _ => 0,
    }
}
