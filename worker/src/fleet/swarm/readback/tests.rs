//! Read-back: every field that is dropped or changed is found, and every field that was not asked for.

use serde_json::json;

use super::*;
use crate::fleet::{limits::Profile, swarm::request::tests::request};

/// What a swarm that keeps everything has stored.
fn faithful(intended: &ServiceSpec) -> Value {
    let mut stored = serde_json::to_value(intended).unwrap();
    stored["TaskTemplate"]["Runtime"] = json!("container");
    stored["TaskTemplate"]["ForceUpdate"] = json!(0);
    let container = stored["TaskTemplate"]["ContainerSpec"].as_object_mut().unwrap();
    container.insert("Isolation".to_owned(), json!("default"));
    // As engines spell them.
    let check = container.remove("HealthCheck").unwrap();
    container.insert("Healthcheck".to_owned(), check);
    if let Some(add) = container.get_mut("CapabilityAdd").and_then(Value::as_array_mut) {
        for capability in add.iter_mut() {
            *capability = json!(format!("CAP_{}", capability.as_str().unwrap()));
        }
        add.reverse();
    }
    stored
}

fn with(stored: &Value, path: &str, value: Value) -> Value {
    let mut changed = stored.clone();
    let mut at = &mut changed;
    for part in path.split('.') {
        at = &mut at[part];
    }
    *at = value;
    changed
}

#[test]
fn a_swarm_that_keeps_everything_passes() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        for api in [(1, 41), (1, 44)] {
            let intended = request(profile, api);
            assert_eq!(differences(&intended, &faithful(&intended)), Vec::<String>::new());
        }
    }
}

#[test]
fn every_field_that_is_dropped_is_found() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        let intended = request(profile, (1, 44));
        let stored = faithful(&intended);
        let mut dropped = 0;
        for part in ["", "/TaskTemplate", "/TaskTemplate/ContainerSpec", "/TaskTemplate/Resources"]
        {
            for (field, value) in stored.pointer(part).unwrap().as_object().unwrap() {
                let path = format!("{}.{field}", part.trim_start_matches('/').replace('/', "."));
                let path = path.trim_start_matches('.').to_owned();
                let says_nothing = plain(field, value.clone()) == Value::Null;
                let default = DEFAULTS.iter().any(|(of, _)| *of == path);
                if says_nothing || default || OPENED.contains(&path.as_str()) {
                    continue;
                }
                let mut without = stored.clone();
                without.pointer_mut(part).unwrap().as_object_mut().unwrap().remove(field);
                assert_eq!(differences(&intended, &without), [path], "{profile:?}");
                dropped += 1;
            }
        }
        assert!(dropped >= 20, "only {dropped} fields were tried");
        // An object that is gone into may be missing as a whole.
        for path in OPENED {
            let without = with(&stored, path, Value::Null);
            assert!(differences(&intended, &without).contains(&path.to_owned()), "{path}");
        }
    }
}

#[test]
fn whatever_is_looser_than_asked_for_is_found() {
    let intended = request(Profile::Strict, (1, 41));
    let stored = faithful(&intended);
    for (path, value) in [
        ("Name", json!("other")),
        ("Labels", json!({})),
        ("Mode", json!({ "Replicated": { "Replicas": 1 } })),
        ("Mode", json!({ "Global": {} })),
        ("EndpointSpec", json!({ "Mode": "vip" })),
        ("EndpointSpec", json!({ "Mode": "dnsrr", "Ports": [{ "TargetPort": 80 }] })),
        ("UpdateConfig", json!({ "Parallelism": 1 })),
        ("Networks", json!([{ "Target": "other" }])),
        ("TaskTemplate.Runtime", json!("plugin")),
        ("TaskTemplate.ForceUpdate", json!(1)),
        ("TaskTemplate.Networks", json!([])),
        ("TaskTemplate.Placement", json!({ "Constraints": ["node.role==worker"] })),
        ("TaskTemplate.RestartPolicy", json!({ "Condition": "any" })),
        ("TaskTemplate.LogDriver", json!({ "Name": "json-file" })),
        ("TaskTemplate.SomethingNew", json!("x")),
        ("TaskTemplate.Resources.Limits", json!({ "NanoCPUs": 1 })),
        ("TaskTemplate.Resources.Reservations", json!({})),
        ("TaskTemplate.Resources.SwapBytes", json!(-1)),
        ("TaskTemplate.ContainerSpec.Image", json!("other")),
        ("TaskTemplate.ContainerSpec.User", json!("root")),
        ("TaskTemplate.ContainerSpec.ReadOnly", json!(false)),
        ("TaskTemplate.ContainerSpec.CapabilityAdd", json!(["SYS_ADMIN"])),
        ("TaskTemplate.ContainerSpec.CapabilityDrop", json!([])),
        ("TaskTemplate.ContainerSpec.Ulimits", json!([{ "Name": "nofile", "Hard": 1 }])),
        ("TaskTemplate.ContainerSpec.Sysctls", json!({})),
        ("TaskTemplate.ContainerSpec.Mounts", json!([{ "Type": "bind", "Source": "/" }])),
        ("TaskTemplate.ContainerSpec.Privileges", json!({ "NoNewPrivileges": false, "X": 1 })),
        ("TaskTemplate.ContainerSpec.Env", json!(["A=1"])),
        ("TaskTemplate.ContainerSpec.Hosts", json!(["1.2.3.4 a"])),
        ("TaskTemplate.ContainerSpec.Groups", json!(["docker"])),
        ("TaskTemplate.ContainerSpec.Secrets", json!([{ "SecretName": "x" }])),
        ("TaskTemplate.ContainerSpec.TTY", json!(true)),
        ("TaskTemplate.ContainerSpec.Init", json!(false)),
        ("TaskTemplate.ContainerSpec.StopSignal", json!("SIGTERM")),
        ("TaskTemplate.ContainerSpec.Isolation", json!("hyperv")),
        ("TaskTemplate.ContainerSpec.Healthcheck", json!({ "Test": ["CMD", "/x"] })),
        ("TaskTemplate.ContainerSpec.DNSConfig", json!({ "Nameservers": ["10.0.0.1"] })),
    ] {
        let found = differences(&intended, &with(&stored, path, value.clone()));
        assert_eq!(found, [path], "{value}");
    }
    assert!(!differences(&intended, &Value::Null).is_empty());
}
