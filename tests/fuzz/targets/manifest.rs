//! Manifests, indexes and configurations, as registries send them. The first byte chooses which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcall_shared::registry::{
    ImageLimits, Unresolved,
    manifest::{self, ACCEPTED, Found},
};

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else { return };
    let limits =
        ImageLimits { max_bytes: 512 << 20, max_layers: 64, architecture: "amd64".to_owned() };
    let refused = match ACCEPTED.get(usize::from(*kind % 5)) {
        None => manifest::check_config(body, &limits).err(),
        Some(media_type) => match manifest::read(body, media_type, &limits) {
            Ok(Found::Manifest(manifest)) => {
                assert!(manifest.config.as_str().starts_with("sha256:"));
                assert!(manifest.layers.iter().all(|layer| *layer <= manifest.size()));
                None
            }
            Ok(Found::Index(chosen)) => {
                assert!(chosen.as_str().starts_with("sha256:"));
                None
            }
            Err(refused) => Some(refused),
        },
    };
    match refused {
        // It is shown to people: a sentence, not the document.
        Some(Unresolved::Participant(fault)) => assert!(fault.message.len() < 1000),
        Some(Unresolved::Registry(fault)) => panic!("a registry's fault: {}", fault.message),
        None => {}
    }
});
