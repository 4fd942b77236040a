//! Each type on both sides, and what builders make.

use rstest::rstest;
use serde_json::json;

use super::{
    super::{super::ImageLimits, check_config},
    *,
};
use crate::{domain::verdict::Fault, registry::Unresolved};

const HEX: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What is told of a configuration; nothing if it is taken.
fn told(config: &Value) -> Option<(String, String)> {
    let limits = ImageLimits { max_bytes: 100, max_layers: 3, architecture: "amd64".into() };
    let refused: Unresolved = check_config(config.to_string().as_bytes(), &limits).err()?;
    let reason = Fault::from(refused).reason();
    Some((reason.code, reason.message))
}

fn with(change: &Value) -> Value {
    let mut config = json!({ "os": "linux", "architecture": "amd64",
        "config": { "Cmd": ["/app"] }, "rootfs": { "type": "layers", "diff_ids": [HEX] } });
    for (key, value) in change.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn with_run(change: &Value) -> Value {
    let mut config = with(&json!({}));
    for (key, value) in change.as_object().unwrap() {
        config["config"][key] = value.clone();
    }
    config
}

#[rstest]
#[case("created", json!("yesterday"))]
#[case("created", json!(""))]
#[case("created", json!(0))]
#[case("author", json!(["me"]))]
#[case("comment", json!(1))]
#[case("container", json!({}))]
#[case("docker_version", json!(20))]
#[case("id", json!(1))]
#[case("parent", json!([]))]
#[case("os.version", json!(10))]
#[case("os.features", json!("win32k"))]
#[case("os.features", json!([1]))]
#[case("variant", json!(8))]
#[case("config", json!("run"))]
#[case("container_config", json!([]))]
#[case("history", json!({}))]
#[case("history", json!(["RUN x"]))]
#[case("history", json!([{ "created": "now" }]))]
#[case("history", json!([{ "created_by": ["RUN", "x"] }]))]
#[case("history", json!([{ "comment": 1 }]))]
#[case("history", json!([{}, { "author": false }]))]
#[case("history", json!([{ "empty_layer": "true" }]))]
#[case("rootfs", json!([]))]
#[case("rootfs", json!({ "type": 1, "diff_ids": [HEX] }))]
#[case("rootfs", json!({ "type": "layers", "diff_ids": HEX }))]
#[case("rootfs", json!({ "type": "layers", "diff_ids": [7] }))]
fn another_type_in_the_document_is_refused(#[case] key: &str, #[case] value: Value) {
    let config = with(&json!({ key: value }));
    let (code, message) = told(&config).expect("refused");
    assert_eq!(code, "image_manifest_invalid", "{config}");
    let start = "the image's configuration is not valid: ";
    assert!(message.starts_with(start), "{message}");
    // It names the key, or for a part of `rootfs` that part.
    let part = ["`type`", "`diff_ids`"].iter().any(|part| message.contains(part));
    assert!(message.contains(&format!("`{key}`")) || key == "rootfs" && part, "{message}");
}

#[rstest]
#[case("User", json!(0))]
#[case("WorkingDir", json!(["/srv"]))]
#[case("StopSignal", json!(15))]
#[case("Hostname", json!(1))]
#[case("Domainname", json!([]))]
#[case("Image", json!({}))]
#[case("MacAddress", json!(2))]
#[case("Entrypoint", json!("/app"))]
#[case("Cmd", json!("/app"))]
#[case("Env", json!({ "A": "1" }))]
#[case("Env", json!([["A", "1"]]))]
#[case("OnBuild", json!("RUN x"))]
#[case("Shell", json!("/bin/sh"))]
#[case("Shell", json!(["/bin/sh", 1]))]
#[case("ArgsEscaped", json!("true"))]
#[case("AttachStdin", json!(0))]
#[case("AttachStdout", json!(0))]
#[case("AttachStderr", json!(0))]
#[case("NetworkDisabled", json!("no"))]
#[case("OpenStdin", json!([]))]
#[case("StdinOnce", json!({}))]
#[case("Tty", json!(1))]
#[case("Volumes", json!(["/data"]))]
#[case("Volumes", json!({ "/data": "x" }))]
#[case("Volumes", json!({ "/data": [] }))]
#[case("ExposedPorts", json!(["8080/tcp"]))]
#[case("ExposedPorts", json!({ "8080/tcp": 1 }))]
#[case("ExposedPorts", json!(8080))]
#[case("Labels", json!(["a=b"]))]
#[case("Labels", json!({ "a": 1 }))]
#[case("Labels", json!({ "a": { "b": "c" } }))]
#[case("Healthcheck", json!("curl"))]
#[case("Healthcheck", json!({ "Test": "curl" }))]
#[case("Healthcheck", json!({ "Interval": "30s" }))]
#[case("Healthcheck", json!({ "Timeout": 1.5 }))]
#[case("Healthcheck", json!({ "StartPeriod": true }))]
#[case("Healthcheck", json!({ "StartInterval": [] }))]
#[case("Healthcheck", json!({ "Retries": u64::MAX }))]
#[case("Healthcheck", json!({ "test": ["NONE"] }))]
#[case("StopTimeout", json!("10"))]
#[case("StopTimeout", json!(10.5))]
fn another_type_in_what_is_run_is_refused(#[case] key: &str, #[case] value: Value) {
    let change = json!({ key: value });
    for config in [with_run(&change), with(&json!({ "container_config": change }))] {
        let (code, message) = told(&config).expect("refused");
        assert_eq!(code, "image_manifest_invalid", "{config}");
        assert!(message.contains(&format!("`{key}`")), "{message}");
    }
}

#[rstest]
// As `docker build` had it before BuildKit.
#[case(json!({ "created": "2023-05-04T17:37:03.872958712Z", "container": "e4b3", "author": "",
    "docker_version": "20.10.23",
    "container_config": { "Hostname": "e4b3", "Domainname": "", "User": "", "AttachStdin": false,
        "AttachStdout": false, "AttachStderr": false, "Tty": false, "OpenStdin": false,
        "StdinOnce": false, "Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "#(nop) "],
        "Image": "sha256:1", "Volumes": null, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": {} },
    "history": [{ "created": "2023-05-04T17:37:03Z", "created_by": "/bin/sh", "empty_layer": true }] }))]
// BuildKit.
#[case(json!({ "created": "2024-01-27T00:30:48.624602109+01:00", "variant": "v1",
    "moby.buildkit.buildinfo.v1": "e30=", "config": { "Cmd": ["/app"], "ArgsEscaped": true,
        "Healthcheck": { "Test": ["CMD", "x"], "Interval": 30_000_000_000_i64, "Retries": 3 },
        "ExposedPorts": { "8080/tcp": {} }, "StopTimeout": 5, "Shell": ["/bin/sh", "-c"] },
    "history": [{ "created": "2024-01-27T00:30:48Z", "comment": "buildkit.dockerfile.v0" }] }))]
// kaniko.
#[case(json!({ "created": "0001-01-01T00:00:00Z", "container": "", "docker_version": "",
    "history": [{ "author": "kaniko", "created": "0001-01-01T00:00:00Z" }, {}] }))]
// ko.
#[case(json!({ "author": "github.com/ko-build/ko", "created": "1970-01-01T00:00:00Z",
    "history": [{ "author": "ko", "created": null, "comment": "kodata" }] }))]
// nix: without a time, or with null for what is not there.
#[case(json!({ "history": [{ "created": "1970-01-01T00:00:01+00:00" }, null] }))]
#[case(json!({ "created": null, "author": null, "history": null, "container_config": null,
    "os.features": null, "variant": null }))]
#[case(json!({ "config": { "Cmd": ["/app"], "Env": null, "Volumes": null, "ExposedPorts": null,
    "Labels": null, "Healthcheck": null, "OnBuild": null, "StopTimeout": null, "User": null,
    "Shell": null, "StopSignal": null, "ArgsEscaped": null, "Hostname": null } }))]
// jib.
#[case(json!({ "created": "1970-01-01T00:00:00Z", "config": { "Env": [], "Entrypoint": ["java"],
    "ExposedPorts": {}, "Labels": { "a": null, "b": "c" }, "Volumes": {} },
    "history": [{ "created": "1970-01-01T00:00:00Z", "author": "Jib", "created_by": "jib:1" }] }))]
#[case(json!({ "x": [1], "com.example": { "created": 1 }, "history": [{ "x": 1 }] }))]
fn what_builders_make_is_taken(#[case] change: Value) {
    let config = with(&change);
    assert_eq!(told(&config), None, "{config}");
}

#[rstest]
#[case("2006-01-02T15:04:05Z", true)]
#[case("2006-01-02T15:04:05.0Z", true)]
#[case("2006-01-02T15:04:05.123456789123+23:59", true)]
#[case("0000-02-29T00:00:00-07:00", true)]
#[case("9999-12-31T23:59:59Z", true)]
#[case("2024-02-29T00:00:00Z", true)]
#[case("2023-02-29T00:00:00Z", false)]
#[case("2006-13-02T15:04:05Z", false)]
#[case("2006-00-02T15:04:05Z", false)]
#[case("2006-01-00T15:04:05Z", false)]
#[case("2006-01-02T24:04:05Z", false)]
#[case("2006-01-02T15:60:05Z", false)]
#[case("2006-01-02T15:04:60Z", false)]
#[case("2006-01-02T15:04:05", false)]
#[case("2006-01-02T15:04:05.Z", false)]
#[case("2006-01-02T15:04:05,1Z", false)]
#[case("2006-01-02T15:04:05z", false)]
#[case("2006-01-02t15:04:05Z", false)]
#[case("2006-01-02 15:04:05Z", false)]
#[case("2006-01-02T15:04:05+0100", false)]
#[case("2006-01-02T15:04:05+24:00", false)]
#[case("2006-01-02T15:04:05+01:60", false)]
#[case("2006-01-02T15:04:05ZZ", false)]
#[case("2006-01-02T15:04:05+01:000", false)]
#[case("+006-01-02T15:04:05Z", false)]
#[case("2006-1-02T15:04:05Z", false)]
#[case("2006-01-02", false)]
#[case("1136214245", false)]
#[case("20\u{e4}6-01-02T15:04:05Z", false)]
fn a_time_has_one_form(#[case] text: &str, #[case] ok: bool) {
    assert_eq!(is_time(text), ok);
}

#[rstest]
#[case("", true)]
#[case("e30=", true)]
#[case("e3\r\n0=", true)]
#[case("+/==", true)]
#[case("abcd", true)]
#[case("e30", false)]
#[case("e===", false)]
#[case("e=30", false)]
#[case("e30-", false)]
#[case("{}==", false)]
fn base64_has_its_padding(#[case] text: &str, #[case] ok: bool) {
    assert_eq!(is_base64(text), ok);
}
