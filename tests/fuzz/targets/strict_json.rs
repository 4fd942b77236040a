//! Answers of strangers' containers, read as strict JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcall_worker::probe::json::{self, DEPTH, STRING_BYTES};
use serde_json::Value;

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

fuzz_target!(|body: &[u8]| {
    match json::parse(body) {
        Ok(value) => {
            assert!(serde_json::from_slice::<Value>(body).is_ok(), "stricter, never laxer");
            assert!(depth(&value) <= DEPTH && longest(&value) <= STRING_BYTES);
            let again = serde_json::to_vec(&value).expect("a value can be written");
            assert!(json::parse(&again).is_ok());
        }
        Err(fault) => assert!(fault.to_string().len() < 1000, "a sentence"),
    }
});
