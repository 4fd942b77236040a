//! Manifests, indexes and configurations, as registries send them. The first byte chooses which.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::{image::Digest, verdict::ParticipantFault},
    registry::{
        ImageLimits, Unresolved,
        manifest::{
            self, ACCEPTED, Found, MAX_COMMAND, MAX_CONFIG, MAX_VOLUMES, MAX_WORDS, Manifest,
        },
    },
};
use serde_json::Value;

use crate::property::is_a_sentence;

/// What is accepted is JSON for every reader, of the nodes' platform and within the limits. A
/// refusal is the participant's, with a sentence, and not the document.
pub fn check(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    let limits =
        ImageLimits { max_bytes: 512 << 20, max_layers: 64, architecture: "amd64".to_owned() };
    let document = || serde_json::from_slice::<Value>(body).expect("stricter, never laxer");
    let refused = match ACCEPTED.get(usize::from(kind % 5)) {
        None => match manifest::check_config(body, &limits) {
            Ok(config) => return configuration(&document(), &config.diff_ids),
            Err(refused) => refused,
        },
        Some(media_type) => match manifest::read(body, media_type, &limits) {
            Ok(Found::Manifest(manifest)) => return whole(&document(), &manifest),
            Ok(Found::Index(chosen)) => {
                let listed = &document()["manifests"];
                let is_it = |entry: &Value| entry["digest"] == chosen.digest.as_str();
                return assert!(listed.as_array().is_some_and(|all| all.iter().any(is_it)));
            }
            Err(refused) => refused,
        },
    };
    match refused {
        Unresolved::Participant(ParticipantFault { message, hint, .. }) => {
            is_a_sentence(&message);
            hint.iter().for_each(|hint| is_a_sentence(hint));
        }
        Unresolved::Registry(fault) => panic!("a registry's fault: {}", fault.message),
    }
}

fn whole(document: &Value, manifest: &Manifest) {
    assert_eq!(document["config"]["digest"], manifest.config.as_str());
    assert!(manifest.config_size <= MAX_CONFIG as u64);
    assert!(!manifest.layers.is_empty());
    let mut sizes = BTreeMap::new();
    for (layer, written) in
        manifest.layers.iter().zip(document["layers"].as_array().expect("a list"))
    {
        assert_eq!(
            (written["digest"].as_str(), written["size"].as_u64()),
            (Some(layer.digest.as_str()), Some(layer.size))
        );
        assert!(layer.size <= manifest.size());
        assert_eq!(*sizes.entry(&layer.digest).or_insert(layer.size), layer.size);
    }
}

fn configuration(document: &Value, layers: &[Digest]) {
    assert_eq!((&document["os"], &document["architecture"]), (&"linux".into(), &"amd64".into()));
    let written = document["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    assert_eq!(written, layers.len());
    let run = &document["config"];
    let list = |key: &str| run[key].as_array().cloned().unwrap_or_default();
    let words: Vec<Value> = [list("Entrypoint"), list("Cmd")].concat();
    let bytes: usize = words.iter().filter_map(Value::as_str).map(str::len).sum();
    assert!(words.len() <= MAX_WORDS && (1..=MAX_COMMAND).contains(&bytes));
    let volumes = run["Volumes"].as_object().cloned().unwrap_or_default();
    assert!(volumes.len() <= MAX_VOLUMES);
    let directory = run["WorkingDir"].as_str().unwrap_or_default();
    for path in volumes.keys().map(String::as_str).chain([directory]).filter(|p| !p.is_empty()) {
        assert!(path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path:?}");
        let first = path.split('/').find(|part| !matches!(*part, "" | "."));
        assert!(!matches!(first, Some("proc" | "sys" | "dev")), "{path:?}");
    }
}
