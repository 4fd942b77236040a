//! E: the walls. What one program can try is the canary's; here is what takes an image of its own.

use serde_json::json;

use crate::{
    corpus::row::{
        Expected::{Achieved, Failed, Passed},
        ORDINARY, Row,
        Rules::{Patient, Short},
        STRICT,
    },
    corpus::scene::Stand,
    image::{File, Layer, Recipe},
};

/// `cap_net_raw,cap_sys_admin=ep` as the kernel keeps it (version 2, little endian).
const CAPABILITIES: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) const ROWS: &[Row] = &[
    Row::graded(
        "E07",
        "set-uid program",
        Patient,
        Achieved("gained=nothing", "gained=nothing"),
        |s| set_uid(s.hostile("suid")?),
    ),
    Row::graded(
        "E08",
        "capabilities of a file",
        Patient,
        // They are not in the bounding set, so that it does not start at all.
        Achieved("EPERM", "EPERM"),
        |s| {
            let file = File::hostile("capped")?.attribute("security.capability", CAPABILITIES);
            let recipe = s.hostile("filecap")?.layer(Layer::of(&[file])?);
            Ok(recipe.config("User", json!("10001:10001")))
        },
    ),
    Row::refused("E14", "starts in /proc/self/fd/7", "image_config_refused", |s| {
        Ok(s.hostile("nothing")?.config("WorkingDir", json!("/proc/self/fd/7")))
    }),
    Row::refused("E14", "starts in /x/../proc/self/fd/8", "image_config_refused", |s| {
        Ok(s.hostile("nothing")?.config("WorkingDir", json!("/x/../proc/self/fd/8")))
    }),
    Row::graded("E15", "/dev/null as a link", Short, Failed("image_config_refused"), |s| {
        Ok(s.hostile("nothing")?
            .layer(Layer::of(&[File::link("dev/null", "/proc/sys/kernel/core_pattern")])?))
    })
    .under(ORDINARY),
    Row::graded("E15", "/dev/pts/0 as a link", Short, Failed("image_config_refused"), |s| {
        Ok(s.hostile("nothing")?.layer(Layer::of(&[File::link("dev/pts/0", "/proc/self/exe")])?))
    })
    .under(ORDINARY),
    Row::graded("E15", "/dev/console as a link", Short, Failed("image_config_refused"), |s| {
        Ok(s.hostile("nothing")?
            .layer(Layer::of(&[File::link("dev/console", "/proc/sysrq-trigger")])?))
    })
    .under(ORDINARY),
    Row::graded("E18", "no signal ends it", Short, Passed, |s| s.hostile("immortal")),
    // A program that runs cannot be written to by anybody (ETXTBSY), which protects nothing of ours. But
    // under `ordinary` no program of the engine's is in the container at all, and under `strict` its
    // init is mounted to be read only, and the image's user may not even try.
    Row::graded(
        "E19",
        "changes the runtime's programs",
        Patient,
        Achieved(
            "first=ETXTBSY own=ETXTBSY init=ENOENT mine=DONE",
            "first=EACCES own=EACCES init=EROFS mine=EROFS",
        ),
        |s| s.hostile("own-exe"),
    ),
    Row::graded("E19", "is the runtime's program", Short, Failed("start_failed"), its_own_runtime)
        .under(ORDINARY),
    // Here it is the init's, which ends.
    Row::graded("E19", "is the runtime's program", Short, Failed("exited"), its_own_runtime)
        .under(STRICT),
];

/// With a program that has the set-uid bit, for somebody who is not root.
///
/// # Errors
/// When the static binary is not given.
pub fn set_uid(recipe: Recipe) -> anyhow::Result<Recipe> {
    let file = File::hostile("suid")?.mode(0o4755);
    Ok(recipe.layer(Layer::of(&[file])?).config("User", json!("10001:10001")))
}

/// CVE-2019-5736: what is started is whoever starts it, by the kernel's own link.
fn its_own_runtime(stand: &Stand<'_>) -> anyhow::Result<Recipe> {
    let script = File::program("entry", b"#!/proc/self/exe\n".to_vec());
    let recipe = stand.hostile("nothing")?.layer(Layer::of(&[script])?);
    Ok(recipe.config("Entrypoint", json!(["/entry"])))
}
