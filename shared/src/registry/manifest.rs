//! Manifests and image configurations: hostile JSON in, what is needed out.

use serde::Deserialize;

use super::{ImageLimits, Unresolved, refuse};
use crate::domain::{image::Digest, verdict::ParticipantCode};

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST: usize = 1024 * 1024;
/// Largest image configuration that is read, in bytes.
pub const MAX_CONFIG: usize = 256 * 1024;
/// Most volumes that an image may declare.
pub const MAX_VOLUMES: usize = 8;
/// Most words in its command line.
pub const MAX_WORDS: usize = 64;
/// Most bytes in its command line.
pub const MAX_COMMAND: usize = 8 * 1024;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What is asked for, and the only types that are read.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// A manifest, or the choice that an index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A manifest.
    Manifest(Manifest),
    /// An index; this is the entry for the nodes' platform.
    Index(Digest),
}

/// What is needed of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration's digest.
    pub config: Digest,
    /// The compressed size of each layer, in bytes.
    pub layers: Vec<u64>,
}

impl Manifest {
    /// The compressed size of all layers, in bytes, as declared.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
}

#[derive(Deserialize)]
struct RawIndex {
    manifests: Vec<RawDescriptor>,
}

fn invalid(message: impl Into<String>) -> Unresolved {
    refuse(ParticipantCode::ImageManifestInvalid, message)
}

/// Reads a manifest or an index.
///
/// # Errors
/// When it is not one that is understood, or has no entry for the nodes' platform.
pub fn read(body: &[u8], media_type: &str, limits: &ImageLimits) -> Result<Found, Unresolved> {
    match media_type.split(';').next().map(str::trim).unwrap_or_default() {
        OCI_INDEX | DOCKER_LIST => index(body, limits).map(Found::Index),
        OCI_MANIFEST | DOCKER_MANIFEST => manifest(body).map(Found::Manifest),
        other => {
            let other: String = other.chars().take(80).collect();
            Err(invalid(format!("the registry answered with `{other}`, which is not an image")))
        }
    }
}

fn index(body: &[u8], limits: &ImageLimits) -> Result<Digest, Unresolved> {
    let raw: RawIndex = serde_json::from_slice(body)
        .map_err(|e| invalid(format!("the index is not valid: {e}")))?;
    let fits = |d: &&RawDescriptor| {
        d.platform
            .as_ref()
            .is_some_and(|p| p.os == "linux" && p.architecture == limits.architecture)
    };
    let Some(chosen) = raw.manifests.iter().find(fits) else {
        let message = format!("the image has no variant for {}", limits.platform());
        return Err(refuse(ParticipantCode::ImageWrongPlatform, message));
    };
    chosen.digest.parse().map_err(|_| invalid("the index holds an entry without a SHA-256 digest"))
}

fn manifest(body: &[u8]) -> Result<Manifest, Unresolved> {
    let raw: RawManifest = serde_json::from_slice(body)
        .map_err(|e| invalid(format!("the manifest is not valid: {e}")))?;
    if raw.schema_version != 2 {
        return Err(invalid("only manifests of schema version 2 are understood"));
    }
    if !CONFIGS.contains(&raw.config.media_type.as_str()) {
        return Err(invalid("it is an artifact, not an image that can be run"));
    }
    if raw.config.size > MAX_CONFIG as u64 {
        let message = format!("the image's configuration is larger than {MAX_CONFIG} bytes");
        return Err(refuse(ParticipantCode::ImageConfigRefused, message));
    }
    for layer in &raw.layers {
        let kind = layer.media_type.as_str();
        let foreign = kind.contains("foreign") || kind.contains("nondistributable");
        if foreign || !layer.urls.is_empty() {
            let message = "a layer of the image is kept outside its registry";
            return Err(refuse(ParticipantCode::ImageForeignLayer, message));
        }
        if layer.digest.parse::<Digest>().is_err() {
            return Err(invalid("a layer has no SHA-256 digest"));
        }
    }
    let config = raw.config.digest.parse();
    Ok(Manifest {
        config: config.map_err(|_| invalid("the configuration has no SHA-256 digest"))?,
        layers: raw.layers.iter().map(|l| l.size).collect(),
    })
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RawRun>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawRun {
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

/// Checks an image's configuration.
///
/// # Errors
/// When it is for another platform or asks for what is not allowed.
pub fn check_config(body: &[u8], limits: &ImageLimits) -> Result<(), Unresolved> {
    let raw: RawConfig = serde_json::from_slice(body)
        .map_err(|e| invalid(format!("the image's configuration is not valid: {e}")))?;
    if raw.os != "linux" || raw.architecture != limits.architecture {
        let is: String = format!("{}/{}", raw.os, raw.architecture)
            .chars()
            .filter(char::is_ascii_graphic)
            .take(40)
            .collect();
        let message = format!("the image is for {is}; it must be for {}", limits.platform());
        return Err(refuse(ParticipantCode::ImageWrongPlatform, message));
    }
    let run = raw.config.unwrap_or_default();
    let refused = |message: String| Err(refuse(ParticipantCode::ImageConfigRefused, message));
    if let Some(root) = special(&run.working_dir) {
        return refused(format!("its working directory is under {root}"));
    }
    let words: Vec<&String> = run.entrypoint.iter().chain(&run.cmd).flatten().collect();
    if words.is_empty() {
        return refused("it has neither an entrypoint nor a command".to_owned());
    }
    let bytes: usize = words.iter().map(|w| w.len()).sum();
    if words.len() > MAX_WORDS || bytes > MAX_COMMAND {
        let most = format!("{MAX_WORDS} words of {MAX_COMMAND} bytes together");
        return refused(format!("its command line is longer than {most}"));
    }
    let volumes = run.volumes.unwrap_or_default();
    if volumes.len() > MAX_VOLUMES {
        return refused(format!("it declares {} volumes, over {MAX_VOLUMES}", volumes.len()));
    }
    for path in volumes.keys() {
        let clean = path.len() > 1
            && path.starts_with('/')
            && path.split('/').skip(1).all(|p| !p.is_empty() && p != "." && p != "..");
        if !clean || path.len() > 200 || special(path).is_some() {
            let path: String = path.chars().take(60).collect();
            return refused(format!("its volume `{path}` is not a plain absolute path"));
        }
    }
    Ok(())
}

/// The directory of the kernel's that a path leads into, if it does.
fn special(path: &str) -> Option<&'static str> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    match parts.first() {
        Some(&"proc") => Some("/proc"),
        Some(&"sys") => Some("/sys"),
        Some(&"dev") => Some("/dev"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const HEX: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn limits() -> ImageLimits {
        ImageLimits { max_bytes: 100, max_layers: 3, architecture: "amd64".into() }
    }

    fn code(result: Result<impl std::fmt::Debug, Unresolved>) -> &'static str {
        match result.expect_err("refused") {
            Unresolved::Participant(fault) => fault.code.as_str(),
            Unresolved::Registry(fault) => fault.code.as_str(),
        }
    }

    fn good() -> Value {
        json!({ "schemaVersion": 2,
            "config": { "mediaType": CONFIGS[1], "digest": HEX, "size": 10 },
            "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                         "digest": HEX, "size": 7 }] })
    }

    fn read_json(value: &Value, kind: &str) -> Result<Found, Unresolved> {
        read(value.to_string().as_bytes(), kind, &limits())
    }

    #[test]
    fn a_manifest_is_read() {
        let Ok(Found::Manifest(m)) = read_json(&good(), DOCKER_MANIFEST) else { panic!("read") };
        assert_eq!((m.size(), m.layers.len()), (7, 1));
    }

    #[test]
    fn each_trick_has_its_reason() {
        let mut foreign = good();
        foreign["layers"][0]["urls"] = json!(["http://elsewhere.test/"]);
        assert_eq!(code(read_json(&foreign, OCI_MANIFEST)), "image_foreign_layer");
        let mut artifact = good();
        artifact["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        assert_eq!(code(read_json(&artifact, OCI_MANIFEST)), "image_manifest_invalid");
        let mut old = good();
        old["schemaVersion"] = json!(1);
        assert_eq!(code(read_json(&old, OCI_MANIFEST)), "image_manifest_invalid");
        assert_eq!(code(read_json(&good(), "text/html")), "image_manifest_invalid");
        assert_eq!(code(read(b"{", OCI_MANIFEST, &limits())), "image_manifest_invalid");
        let mut config = good();
        config["config"]["size"] = json!(MAX_CONFIG + 1);
        assert_eq!(code(read_json(&config, OCI_MANIFEST)), "image_config_refused");
        config["config"]["size"] = json!(MAX_CONFIG);
        assert!(read_json(&config, OCI_MANIFEST).is_ok());
        let deep = "[".repeat(100_000);
        assert_eq!(code(read(deep.as_bytes(), OCI_INDEX, &limits())), "image_manifest_invalid");
    }

    #[test]
    fn the_platform_is_chosen_never_guessed() {
        let entry = |os: &str, arch: &str| json!({ "digest": HEX, "size": 1, "platform": { "os": os, "architecture": arch } });
        let index = json!({ "manifests": [entry("linux", "s390x"), entry("linux", "amd64")] });
        assert!(matches!(read_json(&index, OCI_INDEX), Ok(Found::Index(_))));
        let other = json!({ "manifests": [entry("linux", "s390x"), entry("windows", "amd64")] });
        assert_eq!(code(read_json(&other, DOCKER_LIST)), "image_wrong_platform");
        let none = json!({ "manifests": [{ "digest": HEX, "size": 1 }] });
        assert_eq!(code(read_json(&none, OCI_INDEX)), "image_wrong_platform");
    }

    fn config(run: &Value) -> Result<(), Unresolved> {
        let config = json!({ "os": "linux", "architecture": "amd64", "config": run });
        check_config(config.to_string().as_bytes(), &limits())
    }

    #[test]
    fn configurations() {
        assert!(config(&json!({ "Cmd": ["/app"], "WorkingDir": "/srv" })).is_ok());
        for run in [
            json!({ "Cmd": ["/app"], "WorkingDir": "/proc/self/fd/7" }),
            json!({ "Cmd": ["/app"], "WorkingDir": "/x/../proc/self" }),
            json!({ "Cmd": vec!["x"; MAX_WORDS + 1] }),
            json!({ "Cmd": ["x".repeat(MAX_COMMAND + 1)] }),
            json!({}),
            json!({ "Cmd": ["/app"], "Volumes": { "/": {} } }),
            json!({ "Cmd": ["/app"], "Volumes": { "/proc/x": {} } }),
            json!({ "Cmd": ["/app"], "Volumes": { "/etc/../x": {} } }),
            json!({ "Cmd": ["/app"], "Volumes": { "data": {} } }),
        ] {
            assert_eq!(code(config(&run)), "image_config_refused", "{run}");
        }
        assert!(config(&json!({ "Cmd": vec!["x"; MAX_WORDS] })).is_ok());
        let s390x = json!({ "os": "linux", "architecture": "s390x" }).to_string();
        assert_eq!(code(check_config(s390x.as_bytes(), &limits())), "image_wrong_platform");
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..400), kind in 0usize..4) {
            let _ = read(&body, ACCEPTED[kind], &limits());
            let _ = check_config(&body, &limits());
        }
    }
}
