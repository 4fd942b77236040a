//! All fuzz targets in one program, which links once: the one that `FUZZ_TARGET` names runs.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use portcall_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: CHOSEN.get_or_init(chosen),
    |input: &[u8]| CHOSEN.get().expect("chosen at the start")(input)
);

fn chosen() -> Target {
    #[expect(clippy::disallowed_methods, reason = "it is no setting of Portcall's")]
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(other, _)| *other == name);
    found.expect("FUZZ_TARGET names one of the targets").1
}
