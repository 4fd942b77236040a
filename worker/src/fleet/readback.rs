//! Whether the engine stored what it was asked for. Engines drop fields that they do not know
//! without a word and answer "created" all the same; so the created object is read back, and
//! compared whole: every field that was asked for, and every field that was not.

use std::collections::BTreeSet;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, NetworkCreateRequest, NetworkInspect,
};
use serde_json::{Map, Value};

/// Fields of `Config` that come from the image where the request leaves them out.
const FROM_THE_IMAGE: [&str; 10] = [
    "ArgsEscaped",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "OnBuild",
    "Shell",
    "User",
    "Volumes",
    "WorkingDir",
];

/// Fields in which zero says something, and is not the same as nothing.
const ZERO_COUNTS: [&str; 1] = ["MemorySwappiness"];

/// Lists whose order says nothing.
const UNORDERED: [&str; 8] = [
    "CapAdd",
    "CapDrop",
    "CapabilityAdd",
    "CapabilityDrop",
    "MaskedPaths",
    "ReadonlyPaths",
    "SecurityOpt",
    "Ulimits",
];

/// What an engine makes read-only of its own accord; it shows the list although none was given.
const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The fields in which the stored container differs from the intended one, by their paths
/// (`HostConfig.PidsLimit`). Empty means that it is as it was asked for.
#[must_use]
pub fn differences(
    intended: &ContainerCreateBody,
    stored: &ContainerInspectResponse,
) -> Vec<String> {
    let mut wanted = object(intended);
    let wanted_host = take(&mut wanted, "HostConfig");
    wanted.remove("NetworkingConfig");
    let mut differing = Vec::new();
    compare("Config", wanted, object(&stored.config), &mut differing);
    compare("HostConfig", wanted_host, object(&stored.host_config), &mut differing);
    compare_networks(intended, stored, &mut differing);
    let mut mounted = stored.mounts.iter().flatten();
    if mounted.any(|mount| mount.typ.as_deref() != Some("tmpfs")) {
        differing.push("Mounts".to_owned());
    }
    differing
}

/// The same for a network: its walls, its addresses, its options and its labels.
#[must_use]
pub fn network_differences(
    intended: &NetworkCreateRequest,
    stored: &NetworkInspect,
) -> Vec<String> {
    let (wanted, stored) = (object(intended), object(stored));
    let compared =
        ["Attachable", "Driver", "EnableIPv6", "Ingress", "Internal", "IPAM", "Labels", "Options"];
    let field = |fields: &Map<String, Value>, name: &str| {
        plain(name, fields.get(name).cloned().unwrap_or_default())
    };
    compared
        .into_iter()
        .filter(|name| {
            let (want, have) = (field(&wanted, name), field(&stored, name));
            // An engine may add options of its own; addresses and walls are as they were asked for.
            if matches!(*name, "Labels" | "Options") {
                !contains(&have, &want)
            } else {
                want != have
            }
        })
        .map(|name| format!("Network.{name}"))
        .collect()
}

fn compare(
    part: &str,
    wanted: Map<String, Value>,
    mut stored: Map<String, Value>,
    differing: &mut Vec<String>,
) {
    if part == "HostConfig" {
        forgive_engine_defaults(&wanted, &mut stored);
    }
    let names: BTreeSet<&String> = wanted.keys().chain(stored.keys()).collect();
    for name in names {
        let plain = |object: &Map<String, Value>| {
            plain(name, object.get(name.as_str()).cloned().unwrap_or_default())
        };
        let (want, have) = (plain(&wanted), plain(&stored));
        let image_decides = part == "Config" && FROM_THE_IMAGE.contains(&name.as_str());
        let same = match name.as_str() {
            _ if want == Value::Null && image_decides => true,
            // The image's own labels are beside ours, and so are the times of a health check that
            // is switched off.
            "Labels" | "Healthcheck" => contains(&have, &want),
            _ => want == have,
        };
        if !same {
            differing.push(format!("{part}.{name}"));
        }
    }
}

/// The container hangs in exactly one network, under the names that were asked for.
fn compare_networks(
    intended: &ContainerCreateBody,
    stored: &ContainerInspectResponse,
    differing: &mut Vec<String>,
) {
    let wanted = intended.networking_config.iter().flat_map(|config| &config.endpoints_config);
    let wanted: Vec<_> = wanted.flatten().collect();
    let networks = stored.network_settings.iter().flat_map(|settings| &settings.networks);
    let stored: Vec<_> = networks.flatten().collect();
    let ([(_, wanted)], [(_, stored)]) = (wanted.as_slice(), stored.as_slice()) else {
        differing.push("NetworkSettings.Networks".to_owned());
        return;
    };
    let known = stored.aliases.iter().chain(&stored.dns_names).flatten().collect::<Vec<_>>();
    if !wanted.aliases.iter().flatten().all(|alias| known.contains(&alias)) {
        differing.push("NetworkSettings.Networks.Aliases".to_owned());
    }
}

/// What an engine fills in where nothing was asked for, as long as it says what we know it to
/// say.
fn forgive_engine_defaults(wanted: &Map<String, Value>, stored: &mut Map<String, Value>) {
    let asked = |name: &str| wanted.get(name).is_some_and(|value| *value != Value::Null);
    if !asked("ReadonlyPaths") {
        let paths = stored.get("ReadonlyPaths").and_then(Value::as_array);
        let holds = |path: &&str| {
            paths.is_some_and(|paths| paths.iter().any(|known| known.as_str() == Some(path)))
        };
        if READONLY_PATHS.iter().all(holds) {
            stored.remove("ReadonlyPaths");
        }
    }
    for (name, default) in [
        ("Runtime", Value::from("runc")),
        ("Isolation", Value::from("default")),
        ("ConsoleSize", serde_json::json!([0, 0])),
        ("MemorySwappiness", Value::from(-1)),
    ] {
        if !asked(name) && stored.get(name) == Some(&default) {
            stored.remove(name);
        }
    }
}

/// A value without what says nothing: empty lists, objects and texts, false, zero.
pub(super) fn plain(name: &str, value: Value) -> Value {
    match value {
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Number(number) if number.as_f64() == Some(0.0) && !ZERO_COUNTS.contains(&name) => {
            Value::Null
        }
        Value::Array(items) => {
            let mut items: Vec<Value> =
                items.into_iter().map(|item| spelling(name, plain("", item))).collect();
            if UNORDERED.contains(&name) {
                items.sort_by_key(Value::to_string);
            }
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .into_iter()
                .map(|(field, value)| {
                    let value = plain(&field, value);
                    (field, value)
                })
                .filter(|(_, value)| *value != Value::Null)
                .collect();
            if fields.is_empty() { Value::Null } else { Value::Object(fields) }
        }
        other => other,
    }
}

/// Engines spell some words in more than one way.
fn spelling(name: &str, value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    match name {
        "CapAdd" | "CapDrop" | "CapabilityAdd" | "CapabilityDrop" => {
            Value::from(text.strip_prefix("CAP_").unwrap_or(text))
        }
        "SecurityOpt" if text.starts_with("no-new-privileges") && text.ends_with("true") => {
            Value::from("no-new-privileges")
        }
        _ => value,
    }
}

pub(super) fn contains(have: &Value, want: &Value) -> bool {
    match (have.as_object(), want.as_object()) {
        (Some(have), Some(want)) => want.iter().all(|(name, value)| have.get(name) == Some(value)),
        _ => *want == Value::Null,
    }
}

pub(super) fn object(of: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match fields.remove(name) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
