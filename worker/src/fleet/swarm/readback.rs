//! Whether a swarm stored what it was asked for: every field that was asked for, and every field
//! that was not, in the document as it came, so that a field which our client library does not know
//! is seen too.

use std::collections::BTreeSet;

use bollard::models::ServiceSpec;
use serde_json::{Map, Value};

use super::super::readback::{contains, object, plain};

/// Objects that are gone into, so that what differs in them is named more closely.
const OPENED: [&str; 3] = ["TaskTemplate", "TaskTemplate.ContainerSpec", "TaskTemplate.Resources"];

/// What a swarm says where nothing was asked for.
const DEFAULTS: [(&str, &str); 2] =
    [("TaskTemplate.Runtime", "container"), ("TaskTemplate.ContainerSpec.Isolation", "default")];

/// The fields in which a stored spec differs from the intended one, by their paths
/// (`TaskTemplate.ContainerSpec.Ulimits`). Empty means that it is as it was asked for.
pub(super) fn differences(intended: &ServiceSpec, stored: &Value) -> Vec<String> {
    let mut differing = Vec::new();
    let stored = stored.as_object().cloned().unwrap_or_default();
    compare("", &object(intended), &stored, &mut differing);
    differing
}

fn compare(
    at: &str,
    wanted: &Map<String, Value>,
    stored: &Map<String, Value>,
    differing: &mut Vec<String>,
) {
    let (wanted, stored) = (spelled(wanted), spelled(stored));
    let names: BTreeSet<&String> = wanted.keys().chain(stored.keys()).collect();
    for name in names {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let field = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        let (want, have) = (field(&wanted), field(&stored));
        if let (true, Value::Object(want), Value::Object(have)) =
            (OPENED.contains(&path.as_str()), &want, &have)
        {
            compare(&path, want, have, differing);
            continue;
        }
        if path == "Mode" {
            if mode(&want) != mode(&have) {
                differing.push(path);
            }
            continue;
        }
        let (want, have) = (plain(name, want), plain(name, have));
        let forgiven = DEFAULTS.iter().any(|(of, default)| *of == path && have == **default);
        let same = match name.as_str() {
            _ if want == Value::Null && forgiven => true,
            // The times of a health check that is switched off.
            "Healthcheck" => contains(&have, &want),
            _ => want == have,
        };
        if !same {
            differing.push(path);
        }
    }
}

/// Which kinds of service it is, and with how many tasks: here the name of an empty object counts, and
/// none of something is as much as nothing said.
fn mode(value: &Value) -> (Vec<&String>, u64) {
    let kinds = value.as_object().into_iter().flatten().filter(|(_, kind)| !kind.is_null());
    let replicas = value.pointer("/Replicated/Replicas").and_then(Value::as_u64);
    (kinds.map(|(kind, _)| kind).collect(), replicas.unwrap_or(0))
}

/// Engines read names of fields in any case, and write this one in another than their own
/// description of it.
fn spelled(fields: &Map<String, Value>) -> Map<String, Value> {
    let name = |name: &String| match name.as_str() {
        "HealthCheck" => "Healthcheck".to_owned(),
        _ => name.clone(),
    };
    fields.iter().map(|(field, value)| (name(field), value.clone())).collect()
}

#[cfg(test)]
mod tests;
