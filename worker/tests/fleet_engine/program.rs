//! The program that runs in the containers of these tests.

use std::{
    fs,
    hash::{Hash, Hasher},
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};

/// `app.rs`, compiled statically; once for each state of its source, whoever comes first.
pub(crate) fn app() -> Result<Vec<u8>> {
    static FIRST: Mutex<()> = Mutex::new(());
    let _turn = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet_engine/app.rs");
    let mut state = std::hash::DefaultHasher::new();
    fs::read(source)?.hash(&mut state);
    let built = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("fleet-app-{:016x}", state.finish()));
    if let Ok(bytes) = fs::read(&built) {
        return Ok(bytes);
    }
    // Another process may be at it too: each in a folder of its own.
    let folder = built.with_extension(std::process::id().to_string());
    fs::create_dir_all(&folder)?;
    let fresh = folder.join("app");
    let status = Command::new("rustc")
        .args(["--edition", "2024", "--target", "x86_64-unknown-linux-gnu", "-O"])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .arg(&fresh)
        .arg(source)
        .status()
        .context("running rustc")?;
    ensure!(status.success(), "app.rs does not compile");
    fs::rename(&fresh, &built)?;
    fs::remove_dir_all(&folder)?;
    Ok(fs::read(built)?)
}
