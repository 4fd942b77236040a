//! Manifests, indexes and configurations that no honest builder would make.

use anyhow::Result;
use portcall_tests::parts::misbehaving::{Document, Draft, Misbehaving};
use serde_json::{Value, json};

use crate::ask::{Scene, Want, Want::*, stored};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INVALID: &str = "image_manifest_invalid";
const CONFIG: &str = "image_config_refused";
const PLATFORM: &str = "image_wrong_platform";

/// A change to the configuration of a good image.
fn configurations() -> Vec<(&'static str, Value, Want)> {
    let many = |n: usize| json!(vec!["x"; n]);
    let volumes = |paths: &[&str]| {
        json!(paths.iter().map(|p| ((*p).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>())
    };
    let two_hundred: Vec<String> = (0..200).map(|n| format!("/v{n}")).collect();
    let two_hundred: Vec<&str> = two_hundred.iter().map(String::as_str).collect();
    let labels: serde_json::Map<_, _> =
        (0..10_000).map(|n| (format!("label-{n}"), json!("some text of a label"))).collect();
    let history = json!(vec![json!({ "created_by": "RUN x", "empty_layer": true }); 5_000]);
    vec![
        ("/config/Volumes", volumes(&two_hundred), Refused(CONFIG, "declares 200 volumes")),
        ("/config/Volumes", volumes(&["/"]), Refused(CONFIG, "its volume `/`")),
        ("/config/Volumes", volumes(&["/proc"]), Refused(CONFIG, "its volume `/proc`")),
        ("/config/Volumes", volumes(&["/etc/../x"]), Refused(CONFIG, "its volume `/etc/../x`")),
        ("/config/Volumes", volumes(&["data"]), Refused(CONFIG, "its volume `data`")),
        ("/config/Volumes", volumes(&["/data", "/data/"]), Refused(CONFIG, "its volume `/data/`")),
        ("/config/Volumes", volumes(&["/data", "/data/x"]), Pinned),
        ("/config/ExposedPorts", json!({}), Pinned),
        ("/config/ExposedPorts", json!({ "8080/tcp": {} }), Pinned),
        ("/config/OnBuild", json!(["RUN evil"]), Pinned),
        ("/config/Healthcheck", json!({ "Test": ["CMD", "/x"], "Interval": 1_000_000 }), Pinned),
        ("/config/StopSignal", json!("SIGCONT"), Pinned),
        ("/history", history, Pinned),
        ("/history", json!(vec!["x".repeat(60); 10_000]), Refused(CONFIG, "larger than 256 KiB")),
        ("/config/Env", json!([format!("A={}", "x".repeat(1 << 20))]), Refused(CONFIG, "256 KiB")),
        ("/config/Labels", Value::Object(labels), Refused(CONFIG, "larger than 256 KiB")),
        ("/config/Cmd", many(100_000), Refused(CONFIG, "larger than 256 KiB")),
        ("/config/Cmd", many(1_000), Refused(CONFIG, "has 1000 words")),
        ("/config/Cmd", json!(["x".repeat(9_000)]), Refused(CONFIG, "is 9000 bytes long")),
        ("/config/Cmd", Value::Null, Refused(CONFIG, "neither an entrypoint nor a command")),
        ("/config/Cmd", json!(["/app\0"]), Refused(CONFIG, "NUL")),
        ("/config/Cmd", json!("/app"), Refused(INVALID, "`Cmd` is no list")),
        ("/config/Env", json!(["A=\0"]), Refused(CONFIG, "its environment variable")),
        ("/config/WorkingDir", json!("/proc/self/fd/7"), Refused(CONFIG, "is under /proc")),
        ("/config/WorkingDir", json!("//sys"), Refused(CONFIG, "is under /sys")),
        ("/config/WorkingDir", json!("/./dev/shm"), Refused(CONFIG, "is under /dev")),
        ("/config/WorkingDir", json!("/x/../proc"), Refused(CONFIG, "not a plain absolute path")),
        ("/config/WorkingDir", json!("x"), Refused(CONFIG, "not a plain absolute path")),
        ("/config/WorkingDir", json!("/x\0y"), Refused(CONFIG, "not a plain absolute path")),
        ("/config/WorkingDir", json!("/x\ny"), Refused(CONFIG, "not a plain absolute path")),
        ("/config/workingdir", json!("/proc/self/fd/7"), Refused(INVALID, "like `WorkingDir`")),
        ("/config/Wor\u{212a}ingDir", json!("/proc"), Refused(INVALID, "like `WorkingDir`")),
        ("/Config", json!({ "WorkingDir": "/proc" }), Refused(INVALID, "like `config`")),
        ("/config/User", json!("2147483648"), Refused(CONFIG, "a number from 0 to 2147483647")),
        ("/config/User", json!("4294967296"), Refused(CONFIG, "a number from 0 to 2147483647")),
        ("/config/User", json!("0:2147483648"), Refused(CONFIG, "a number from 0 to 2147483647")),
        ("/config/User", json!("-1"), Refused(CONFIG, "a number from 0 to 2147483647")),
        ("/os", json!("windows"), Refused(PLATFORM, "windows/amd64")),
        ("/os", json!(""), Refused(PLATFORM, "(nothing)/amd64")),
        ("/os", Value::Null, Refused(PLATFORM, "(nothing)/amd64")),
        ("/architecture", json!("amd64\u{1b}[2J"), Refused(PLATFORM, "linux/amd64\u{fffd}[2J")),
        ("/architecture", json!("amd64\u{202e}\r\n"), Refused(PLATFORM, "linux/amd64\u{fffd}")),
        ("/architecture", json!("AMD64"), Refused(PLATFORM, "linux/AMD64")),
        ("/variant", json!("v3"), Refused(PLATFORM, "linux/amd64/v3")),
        ("/rootfs/diff_ids", json!([]), Refused(INVALID, "has 1 layers and its configuration 0")),
        ("/rootfs", Value::Null, Refused(INVALID, "names no layers")),
    ]
}

/// A change to the manifest of a good image.
fn manifests() -> Vec<(&'static str, Value, Want)> {
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let kind = |kind: &str| json!(format!("application/vnd.{kind}"));
    vec![
        ("/schemaVersion", json!(1), Refused(INVALID, "only schema version 2")),
        ("/mediaType", kind("oci.image.index.v1+json"), Refused(INVALID, "it says that it is")),
        ("/manifests", json!([]), Refused(INVALID, "it also has `manifests`")),
        ("/fsLayers", json!([]), Refused(INVALID, "it also has `fsLayers`")),
        ("/Layers", json!([]), Refused(INVALID, "looks like `layers`")),
        ("/layer\u{17f}", json!([]), Refused(INVALID, "looks like `layers`")),
        ("/layers", json!({}), Refused(INVALID, "`layers` is no list")),
        ("/layers/0/size", json!(-1), Refused(INVALID, "not a number of bytes")),
        ("/layers/0/size", json!(1.5), Refused(INVALID, "not a number of bytes")),
        ("/layers/0/size", json!(u64::MAX), Refused(INVALID, "not a number of bytes")),
        ("/layers/0/size", json!(i64::MAX), Refused("image_too_large", "MiB compressed")),
        ("/layers/0/digest", json!(sha512), Refused(INVALID, "no SHA-256 digest")),
        ("/layers/0/digest", json!("../../x"), Refused(INVALID, "no SHA-256 digest")),
        ("/layers/0/mediaType", kind("oci.image.layer.v1.tar+lz4"), Refused(INVALID, "not known")),
        ("/layers/0/mediaType", kind("in-toto+json"), Refused(INVALID, "not known")),
        (
            "/layers/0/mediaType",
            kind("docker.image.rootfs.foreign.diff.tar.gzip"),
            Refused("image_foreign_layer", "outside its registry"),
        ),
        ("/layers/0/URLs", json!(["http://127.0.0.1/"]), Refused(INVALID, "looks like `urls`")),
        ("/config/urls", json!(["http://127.0.0.1/"]), Refused("image_foreign_layer", "outside")),
        ("/config/mediaType", kind("oci.empty.v1+json"), Refused(INVALID, "an artifact")),
        ("/config/mediaType", kind("cncf.helm.config.v1+json"), Refused(INVALID, "an artifact")),
        ("/config/mediaType", kind("oci.image.config.v1+json"), Pinned),
        ("/config/size", json!(1), Refused(INVALID, "another size than it has")),
        ("/config/size", json!(300_000), Refused(CONFIG, "larger than 256 KiB")),
        ("/annotations", json!({ "Layers": "x", "SIZE": "y" }), Pinned),
    ]
}

/// Entries of an index, of which the good manifest is the one named `fits`.
fn indexes(digest: &str, size: usize) -> Vec<(&'static str, Value, Want)> {
    let entry = |platform: Value| {
        json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": platform })
    };
    let other = |platform: Value| {
        let mut other = entry(platform);
        other["digest"] = json!(format!("sha256:{}", "1".repeat(64)));
        other
    };
    let amd64 =
        |variant: &str| json!({ "os": "linux", "architecture": "amd64", "variant": variant });
    let on = |os: &str, arch: &str| json!({ "os": os, "architecture": arch });
    let mut lies = entry(amd64(""));
    lies["size"] = json!(size + 1);
    let mut nested = entry(amd64(""));
    nested["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    let mut sha512 = entry(amd64(""));
    sha512["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    vec![
        ("empty", json!([]), Refused(PLATFORM, "it names no platform")),
        ("s390x", json!([entry(on("linux", "s390x"))]), Refused(PLATFORM, "it has linux/s390x")),
        ("windows", json!([entry(on("windows", "amd64"))]), Refused(PLATFORM, "windows/amd64")),
        ("unknown", json!([entry(on("unknown", "unknown"))]), Refused(PLATFORM, "no platform")),
        ("newer", json!([entry(amd64("v3"))]), Refused(PLATFORM, "it has linux/amd64/v3")),
        ("variants", json!([other(amd64("v3")), entry(amd64("v1")), other(amd64("v2"))]), Pinned),
        ("twice", json!([entry(amd64("")), other(amd64(""))]), Pinned),
        ("size", json!([lies]), Refused(INVALID, "another size than it has")),
        ("nested", json!([nested]), Refused(INVALID, "points to another index")),
        ("sha512", json!([sha512]), Refused(INVALID, "without a SHA-256 digest")),
        ("gone", json!([other(amd64(""))]), Refused("image_not_found", "has no image")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_configuration_and_manifest_has_its_reason() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let registry = &scene.registry;
    let mut rows = Vec::new();
    for (number, (pointer, value, want)) in configurations().into_iter().enumerate() {
        let draft = registry.draft().config(pointer, value);
        rows.push((registry.put(&format!("config/{number}"), &draft)?, want));
    }
    for (number, (pointer, value, want)) in manifests().into_iter().enumerate() {
        let draft = registry.draft().manifest(pointer, value);
        rows.push((registry.put(&format!("manifest/{number}"), &draft)?, want));
    }
    rows.extend(in_indexes(registry)?);
    rows.extend(in_bytes(registry)?);
    let accepted = rows.iter().filter(|(_, want)| *want == Pinned).count() as u64;
    scene.ask_all(rows).await?;
    anyhow::ensure!(stored(&scene.world).await? == accepted, "what was refused is not stored");
    scene.leave().await
}

fn in_indexes(registry: &Misbehaving) -> Result<Vec<(String, Want)>> {
    let mut rows = Vec::new();
    let (digest, size) = (registry.digest("good")?, registry.manifest("good")?.len());
    for (name, entries, want) in indexes(&digest, size) {
        let list = json!({ "schemaVersion": 2, "manifests": entries });
        let document = Document::list(serde_json::to_vec(&list)?);
        rows.push((registry.put_document(&format!("list/{name}"), document)?, want));
    }
    Ok(rows)
}

/// What JSON as a value cannot say.
fn in_bytes(registry: &Misbehaving) -> Result<Vec<(String, Want)>> {
    let Draft { config, .. } = registry.draft();
    let config = config.to_string();
    let manifest = String::from_utf8(registry.manifest("good")?)?;
    let twice = |text: &str, key: &str, value: &str| {
        text.replacen('{', &format!("{{\"{key}\":{value},"), 1)
    };
    let documents = [
        ("twice", twice(&manifest, "layers", "[]"), "`layers` is there twice"),
        ("escaped", twice(&manifest, "\\u006cayers", "[]"), "`layers` is there twice"),
        ("trailing", format!("{manifest}{manifest}"), "it is not JSON"),
        ("bom", format!("\u{feff}{manifest}"), "it is not JSON"),
        ("empty", String::new(), "it is not JSON"),
        ("list", "[]".to_owned(), "it is not an object"),
    ];
    let mut rows = Vec::new();
    for (name, text, words) in documents {
        let document = Document::manifest(text.into_bytes());
        let reference = registry.put_document(&format!("bytes/{name}"), document)?;
        rows.push((reference, Refused(INVALID, words)));
    }
    let inner = config.replacen("\"config\":{", "\"config\":{\"User\":\"1\",\"User\":\"0\",", 1);
    let configs = [
        ("twice", twice(&config, "config", "{}"), "`config` is there twice"),
        ("inner", inner, "`User` is there twice"),
        ("deep", format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)), "nested deeper"),
        ("garbage", "\u{1}".to_owned(), "it is not JSON"),
    ];
    for (name, text, words) in configs {
        let reference = registry.put_config(&format!("bytes/config-{name}"), text.as_bytes())?;
        rows.push((reference, Refused(INVALID, words)));
    }
    Ok(rows)
}
