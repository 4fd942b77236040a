//! Every seed of every target, in the ordinary build: what a target holds to is looked at on each
//! run of the tests, and a seed that was a finding once stays mended.

use std::{fs, panic, path::Path};

use portcall_fuzz::TARGETS;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("a seed can be read"))
    };
    let all = fs::read_dir(&folder).expect("each target has seeds").flatten().map(read);
    all.filter(|(name, _)| name.len() != 40).collect()
}

#[test]
fn every_seed_keeps_to_its_targets_properties() {
    for (target, check) in TARGETS {
        for (name, input) in seeds(target) {
            let kept = panic::catch_unwind(|| check(&input));
            assert!(kept.is_ok(), "corpus/{target}/{name} breaks it, see above");
        }
    }
}

#[test]
fn every_folder_of_seeds_is_a_targets() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("a corpus").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name} is no target");
    }
}

#[test]
fn the_planted_fault_is_one() {
    let (_, check) = TARGETS.iter().find(|(name, _)| *name == "planted").expect("it is there");
    check(b"a-fault!");
    check(b"A-FAULT");
    assert!(panic::catch_unwind(|| check(b"A-FAULT! and more")).is_err());
}
