//! What an image's configuration may ask for.
//!
//! Most of it is ignored when a container is made (`ONBUILD`, `HEALTHCHECK`, `EXPOSE`,
//! `STOPSIGNAL`, labels, history): of that only the types are checked ([`shape`]), since engines
//! refuse an image with another. What an engine would act on is looked at itself.

use serde_json::Value;

use super::{
    ImageLimits, MAX_CONFIG, Manifest, Unresolved, invalid, is_baseline, named, refuse, shape,
    shown,
    strict::{self, Object},
};
use crate::domain::{
    image::Digest,
    verdict::{Limit, ParticipantCode, ParticipantFault},
};

/// Most volumes that an image may declare.
pub const MAX_VOLUMES: usize = 8;
/// Most words in its command line.
pub const MAX_WORDS: usize = 64;
/// Most bytes in its command line.
pub const MAX_COMMAND: usize = 8 * 1024;
/// Greatest number of a user or group (2³¹ − 1). Engines have taken greater ones for root
/// (CVE-2024-40635).
pub const MAX_ID: u64 = 2_147_483_647;
/// Longest path of a working directory or volume, in bytes.
const MAX_PATH: usize = 200;
/// Longest `USER`, in bytes.
const MAX_USER: usize = 128;

/// What is needed of a configuration once it was found acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The digests of the layers' tar archives, unpacked, the lowest first.
    pub diff_ids: Vec<Digest>,
}

pub(in crate::registry) fn too_large() -> Unresolved {
    let kib = MAX_CONFIG as u64 / 1024;
    let message = format!("the image's configuration is larger than {kib} KiB");
    let code = ParticipantCode::ImageConfigRefused;
    Unresolved::Participant(
        ParticipantFault::new(code, message)
            .limit(Limit::new("image configuration", kib, "KiB"))
            .hint("declare fewer or shorter ENV and LABEL lines"),
    )
}

fn refused(message: impl Into<String>) -> Unresolved {
    refuse(ParticipantCode::ImageConfigRefused, message)
}

fn refused_over(message: String, limit: Limit) -> Unresolved {
    let code = ParticipantCode::ImageConfigRefused;
    Unresolved::Participant(ParticipantFault::new(code, message).limit(limit))
}

/// Checks an image's configuration.
///
/// # Errors
/// When it is for another platform or asks for what is not allowed.
pub fn check_config(body: &[u8], limits: &ImageLimits) -> Result<Config, Unresolved> {
    let wrong = |why: String| invalid(format!("the image's configuration is not valid: {why}"));
    let value = strict::parse(body).map_err(wrong)?;
    let top = shape::document(&value).map_err(wrong)?;
    let word = |key| top.text(key).map(Option::unwrap_or_default).map_err(wrong);
    platform(word("os")?, word("architecture")?, word("variant")?, limits)?;
    let empty = Value::Object(serde_json::Map::new());
    let run = Run::of(top.get("config").unwrap_or(&empty)).map_err(wrong)?;
    check_user(run.user)?;
    check_directory(run.directory)?;
    check_command(&run.command)?;
    check_environment(&run.environment)?;
    check_volumes(&run.volumes)?;
    Ok(Config { diff_ids: diff_ids(top).map_err(wrong)? })
}

impl Manifest {
    /// Checks that a configuration speaks of as many layers.
    pub(in crate::registry) fn check_layers(&self, config: &Config) -> Result<(), Unresolved> {
        let (named, unpacked) = (self.layers.len(), config.diff_ids.len());
        if named == unpacked {
            return Ok(());
        }
        Err(invalid(format!(
            "the image's manifest has {named} layers and its configuration {unpacked}"
        )))
    }
}

/// What a container would be made of.
struct Run<'a> {
    user: &'a str,
    directory: &'a str,
    command: Vec<&'a str>,
    environment: Vec<&'a str>,
    volumes: Vec<&'a str>,
}

impl<'a> Run<'a> {
    fn of(value: &'a Value) -> Result<Self, String> {
        let run = shape::run(value, "its `config`")?;
        let mut command = run.texts("Entrypoint")?;
        command.extend(run.texts("Cmd")?);
        Ok(Self {
            user: run.text("User")?.unwrap_or_default(),
            directory: run.text("WorkingDir")?.unwrap_or_default(),
            command,
            environment: run.texts("Env")?,
            volumes: run.keys("Volumes")?,
        })
    }
}

/// The platform must be the nodes' to the letter. What else stands there is shown, harmless.
fn platform(
    os: &str,
    architecture: &str,
    variant: &str,
    limits: &ImageLimits,
) -> Result<(), Unresolved> {
    if os == "linux" && architecture == limits.architecture && is_baseline(architecture, variant) {
        return Ok(());
    }
    let is = named(os, architecture, variant);
    let message = format!("the image is for {is}; it must be for {}", limits.platform());
    Err(refuse(ParticipantCode::ImageWrongPlatform, message))
}

/// Numbers are what engines take for ids: digits, with a sign or without.
fn check_user(user: &str) -> Result<(), Unresolved> {
    let bad = |why: &str| refused(format!("its user `{}` {why}", shown(user)));
    let parts: Vec<&str> = user.split(':').collect();
    if user.len() > MAX_USER || user.chars().any(char::is_control) || parts.len() > 2 {
        return Err(bad("is not one that a container can have"));
    }
    for part in parts {
        let digits = part.trim_start_matches(['+', '-']);
        let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if number && (digits != part || !digits.parse().is_ok_and(|id: u64| id <= MAX_ID)) {
            return Err(bad(&format!("is not a number from 0 to {MAX_ID}")));
        }
    }
    Ok(())
}

fn check_directory(directory: &str) -> Result<(), Unresolved> {
    if directory.is_empty() {
        return Ok(());
    }
    let bad = |why: &str| refused(format!("its working directory `{}` {why}", shown(directory)));
    if !directory.starts_with('/') || directory.split('/').any(|part| part == "..") {
        return Err(bad("is not a plain absolute path"));
    }
    if directory.len() > MAX_PATH || directory.chars().any(char::is_control) {
        return Err(bad("is not a plain absolute path"));
    }
    match kernels(directory) {
        Some(root) => Err(bad(&format!("is under {root}"))),
        None => Ok(()),
    }
}

fn check_command(words: &[&str]) -> Result<(), Unresolved> {
    if words.iter().all(|word| word.is_empty()) {
        return Err(refused("it has neither an entrypoint nor a command"));
    }
    let bytes: usize = words.iter().map(|word| word.len()).sum();
    if words.len() > MAX_WORDS {
        let message = format!("its command line has {} words", words.len());
        return Err(refused_over(message, Limit::new("command line", MAX_WORDS as u64, "words")));
    }
    if bytes > MAX_COMMAND {
        let message = format!("its command line is {bytes} bytes long");
        let limit = Limit::new("command line", MAX_COMMAND as u64, "bytes");
        return Err(refused_over(message, limit));
    }
    match words.iter().any(|word| word.contains('\0')) {
        true => Err(refused("its command line has a NUL character")),
        false => Ok(()),
    }
}

/// No program could be started with others.
fn check_environment(variables: &[&str]) -> Result<(), Unresolved> {
    let named = |v: &str| v.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    match variables.iter().find(|v| !named(v) || v.contains('\0')) {
        Some(bad) => Err(refused(format!("its environment variable `{}` is none", shown(bad)))),
        None => Ok(()),
    }
}

fn check_volumes(volumes: &[&str]) -> Result<(), Unresolved> {
    if volumes.len() > MAX_VOLUMES {
        let message = format!("it declares {} volumes", volumes.len());
        return Err(refused_over(message, Limit::new("volumes", MAX_VOLUMES as u64, "volumes")));
    }
    for path in volumes {
        let plain = path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !path.contains(|c: char| c.is_control() || c == ':')
        });
        if !plain || path.len() > MAX_PATH || kernels(path).is_some() {
            let message = format!("its volume `{}` is not a plain absolute path", shown(path));
            return Err(refused(message));
        }
    }
    Ok(())
}

/// The directory of the kernel's that a path leads into, if it does.
fn kernels(path: &str) -> Option<&'static str> {
    let first = path.split('/').find(|part| !part.is_empty() && *part != ".");
    ["/proc", "/sys", "/dev"].into_iter().find(|root| first == root.strip_prefix('/'))
}

fn diff_ids(top: Object<'_>) -> Result<Vec<Digest>, String> {
    let rootfs = top.get("rootfs").ok_or("it names no layers")?;
    let rootfs = Object::of(rootfs, "its `rootfs`", &["type", "diff_ids"])?;
    if rootfs.text("type")? != Some("layers") {
        return Err("its `rootfs` is not made of layers".to_owned());
    }
    let parse = |id: &str| id.parse().map_err(|_| "a layer has no SHA-256 digest".to_owned());
    rootfs.texts("diff_ids")?.into_iter().map(parse).collect()
}
