//! Programs of which the worker's runs in a group of its own, so that it alone can be cut off.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use anyhow::Result;
use portcall_tests::parts::{cut::Party, given};
use tempfile::TempDir;

/// The group.
const GROUP: u32 = 54_100;

/// A worker of these programs, for whoever cuts it off.
pub(super) const WORKER: Party = Party { group: GROUP, port: None };

/// The folder of the programs.
pub(super) fn programs() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("portcall-apart-").tempdir()?;
    let within = |name: &str| dir.path().join(name);
    symlink(given::program("portcall-api")?, within("portcall-api"))?;
    for name in ["prober", "canary"] {
        symlink(given::static_program(name)?, within(name))?;
    }
    symlink(given::checkout().join("infra/env.sample"), within("env.sample"))?;
    let worker = given::program("portcall-worker")?;
    let script = format!(
        "#!/bin/sh\nexec setpriv --regid {GROUP} --clear-groups --pdeathsig KILL -- '{}' \"$@\"\n",
        worker.display()
    );
    fs::write(within("portcall-worker"), script)?;
    fs::set_permissions(within("portcall-worker"), fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}
