//! Each trick with its reason, and each limit on both sides.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

mod types;

const HEX: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OCI_CONFIG: &str = CONFIGS[0];
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn limits() -> ImageLimits {
    ImageLimits { max_bytes: 100, max_layers: 3, architecture: "amd64".into() }
}

fn told(result: Result<impl std::fmt::Debug, Unresolved>) -> (&'static str, String) {
    match result.expect_err("refused") {
        Unresolved::Participant(fault) => (fault.code.as_str(), fault.message),
        Unresolved::Registry(fault) => (fault.code.as_str(), fault.message),
    }
}

fn code(result: Result<impl std::fmt::Debug, Unresolved>) -> &'static str {
    told(result).0
}

fn good() -> Value {
    json!({ "schemaVersion": 2,
        "config": { "mediaType": OCI_CONFIG, "digest": HEX, "size": 10 },
        "layers": [{ "mediaType": GZIP, "digest": HEX, "size": 7 }] })
}

fn read_json(value: &Value, kind: &str) -> Result<Found, Unresolved> {
    read(value.to_string().as_bytes(), kind, &limits())
}

/// A good manifest with another value at this pointer; null takes the field away.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(field)),
        value => drop(parent.insert(field.to_owned(), value)),
    }
    document
}

fn vendor(kind: &str) -> Value {
    json!(format!("application/vnd.{kind}"))
}

#[test]
fn a_manifest_is_read() {
    let docker = with("/mediaType", json!(DOCKER_MANIFEST));
    let Ok(Found::Manifest(m)) = read_json(&docker, DOCKER_MANIFEST) else { panic!("read") };
    assert_eq!((m.size(), m.config_size), (7, 10));
    let layer =
        LayerEntry { digest: HEX.parse().unwrap(), size: 7, compression: Compression::Gzip };
    assert_eq!(m.layers, [layer]);
    let parameter = format!("{OCI_MANIFEST}; charset=utf-8");
    assert!(read_json(&good(), &parameter).is_ok());
}

#[rstest]
#[case("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Compression::Gzip))]
#[case("application/vnd.oci.image.layer.v1.tar", Some(Compression::None))]
#[case("application/vnd.oci.image.layer.v1.tar+gzip", Some(Compression::Gzip))]
#[case("application/vnd.oci.image.layer.v1.tar+zstd", Some(Compression::Zstd))]
#[case("application/vnd.oci.image.layer.v1.tar+encrypted", None)]
#[case("application/vnd.oci.image.layer.v1.tar+gzip; x=y", None)]
#[case("application/vnd.oci.image.layer.v1.tar+lz4", None)]
#[case("application/vnd.in-toto+json", None)]
#[case("", None)]
fn compression_is_by_media_type(#[case] kind: &str, #[case] expected: Option<Compression>) {
    match read_json(&with("/layers/0/mediaType", json!(kind)), OCI_MANIFEST) {
        Ok(Found::Manifest(m)) => assert_eq!(Some(m.layers[0].compression), expected),
        refused => {
            assert_eq!((code(refused), expected), ("image_manifest_invalid", None));
        }
    }
}

#[rstest]
#[case(with("/layers/0/urls", json!(["http://elsewhere.test/"])))]
#[case(with("/layers/0/mediaType", vendor("docker.image.rootfs.foreign.diff.tar.gzip")))]
#[case(with("/layers/0/mediaType", vendor("oci.image.layer.nondistributable.v1.tar")))]
#[case(with("/config/urls", json!(["http://elsewhere.test/"])))]
fn what_is_kept_elsewhere_is_refused(#[case] document: Value) {
    assert_eq!(code(read_json(&document, OCI_MANIFEST)), "image_foreign_layer");
}

#[rstest]
#[case(with("/schemaVersion", json!(1)))]
#[case(with("/schemaVersion", json!(2.0)))]
#[case(with("/schemaVersion", Value::Null))]
#[case(with("/mediaType", json!(OCI_INDEX)))]
#[case(with("/mediaType", json!(DOCKER_MANIFEST)))]
#[case(with("/manifests", json!([])))]
#[case(with("/fsLayers", json!([])))]
#[case(with("/history", json!([])))]
#[case(with("/config", Value::Null))]
#[case(with("/config/mediaType", json!("application/vnd.oci.empty.v1+json")))]
#[case(with("/config/mediaType", json!("application/vnd.cncf.helm.config.v1+json")))]
#[case(with("/config/mediaType", json!("application/vnd.dev.cosign.simplesigning.v1+json")))]
#[case(with("/config/mediaType", Value::Null))]
#[case(with("/config/digest", json!("sha512:0")))]
#[case(with("/config/digest", Value::Null))]
#[case(with("/config/size", json!(-1)))]
#[case(with("/layers", Value::Null))]
#[case(with("/layers", json!([])))]
#[case(with("/layers", json!({})))]
#[case(with("/layers/0/digest", json!(HEX.to_uppercase())))]
#[case(with("/layers/0/digest", json!(format!("sha512:{}", "0".repeat(128)))))]
#[case(with("/layers/0/digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e")))]
#[case(with("/layers/0/size", json!(-7)))]
#[case(with("/layers/0/size", json!(7.5)))]
#[case(with("/layers/0/size", json!("7")))]
#[case(with("/layers/0/size", json!(u64::MAX)))]
#[case(with("/layers/0/size", Value::Null))]
#[case(with("/layers/0/urls", json!("http://elsewhere.test/")))]
#[case(with("/layers/0/URLs", json!(["http://elsewhere.test/"])))]
#[case(with("/layers/0/Digest", json!(OTHER)))]
#[case(with("/Layers", json!([])))]
#[case(with("/layer\u{17f}", json!([])))]
#[case(with("/CONFIG", json!({})))]
#[case(json!([]))]
#[case(json!(null))]
fn each_trick_has_its_reason(#[case] document: Value) {
    assert_eq!(code(read_json(&document, OCI_MANIFEST)), "image_manifest_invalid", "{document}");
}

#[rstest]
#[case("text/html")]
#[case("application/json")]
#[case("application/vnd.docker.distribution.manifest.v1+json")]
#[case("application/vnd.docker.distribution.manifest.v1+prettyjws")]
#[case("application/vnd.oci.artifact.manifest.v1+json")]
#[case("")]
fn other_answers_are_no_images(#[case] kind: &str) {
    assert_eq!(code(read_json(&good(), kind)), "image_manifest_invalid");
}

#[rstest]
#[case(b"{")]
#[case(b"")]
#[case(b"\xff\xfe{\0}\0")]
#[case(br#"{"schemaVersion":2,"schemaVersion":2}"#)]
#[case(br#"{"schemaVersion":2,"layers":[{"digest":"a","digest":"b"}]}"#)]
fn what_cannot_be_read_in_one_way_is_refused(#[case] body: &[u8]) {
    for kind in ACCEPTED {
        assert_eq!(code(read(body, kind, &limits())), "image_manifest_invalid");
        assert_eq!(code(check_config(body, &limits())), "image_manifest_invalid");
    }
}

#[test]
fn a_layer_has_one_size() {
    let layer =
        |digest: &str, size: u64| json!({ "mediaType": GZIP, "digest": digest, "size": size });
    let document = |layers: Value| read_json(&with("/layers", layers), OCI_MANIFEST);
    assert!(document(json!([layer(HEX, 7), layer(HEX, 7), layer(OTHER, 8)])).is_ok());
    let lie = document(json!([layer(HEX, 7), layer(OTHER, 7), layer(HEX, 8)]));
    assert_eq!(code(lie), "image_manifest_invalid");
    let most = i64::MAX as u64;
    let Ok(Found::Manifest(m)) =
        document(json!([layer(HEX, most), layer(HEX, most), layer(HEX, most)]))
    else {
        panic!("read")
    };
    assert_eq!(m.size(), u64::MAX, "a sum that cannot be counted is the greatest that can");
}

#[test]
fn a_configuration_has_a_largest_size() {
    let sized = |size: usize| read_json(&with("/config/size", json!(size)), OCI_MANIFEST);
    assert!(sized(MAX_CONFIG).is_ok());
    assert_eq!(code(sized(MAX_CONFIG + 1)), "image_config_refused");
}

fn entry(digest: &str, platform: Value) -> Value {
    json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "platform": platform })
}

fn on(os: &str, architecture: &str) -> Value {
    json!({ "os": os, "architecture": architecture })
}

fn variant(variant: &str) -> Value {
    json!({ "os": "linux", "architecture": "amd64", "variant": variant })
}

fn index(entries: &[Value]) -> Result<Found, Unresolved> {
    read_json(&json!({ "schemaVersion": 2, "manifests": entries }), OCI_INDEX)
}

fn chosen(entries: &[Value]) -> String {
    match index(entries) {
        Ok(Found::Index(chosen)) => chosen.digest.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_platform_is_chosen_never_guessed() {
    let fits = || entry(HEX, on("linux", "amd64"));
    assert_eq!(chosen(&[entry(OTHER, on("linux", "s390x")), fits()]), HEX);
    assert_eq!(chosen(&[entry(OTHER, on("unknown", "unknown")), fits()]), HEX);
    assert_eq!(chosen(&[fits(), entry(OTHER, on("linux", "amd64"))]), HEX, "the first of two");
    // A newer variant is not for every processor, wherever it stands.
    assert_eq!(chosen(&[entry(OTHER, variant("v3")), entry(HEX, variant("v1"))]), HEX);
    assert_eq!(chosen(&[entry(OTHER, variant("v2")), entry(HEX, variant(""))]), HEX);
    for (entries, says) in [
        (vec![], "it names no platform"),
        (vec![json!({ "mediaType": OCI_MANIFEST, "digest": HEX, "size": 1 })], "it names no"),
        (vec![entry(HEX, on("unknown", "unknown"))], "it names no platform"),
        (vec![entry(HEX, on("linux", "s390x"))], "it has linux/s390x"),
        (vec![entry(HEX, on("windows", "amd64"))], "it has windows/amd64"),
        (vec![entry(HEX, variant("v2")), entry(HEX, variant("v3"))], "linux/amd64/v2, linux/amd64"),
        (vec![entry(HEX, on("Linux", "amd64"))], "it has Linux/amd64"),
        (vec![entry(HEX, on("linux", "amd64 "))], "it has linux/amd64 "),
        (vec![entry(HEX, on("", ""))], "(nothing)/(nothing)"),
        (
            vec![entry(HEX, on("linux", "amd64\u{1b}[2J\u{202e}\n"))],
            "amd64\u{fffd}[2J\u{fffd}\u{fffd}",
        ),
    ] {
        let (code, message) = told(index(&entries));
        assert_eq!(code, "image_wrong_platform", "{entries:?}");
        assert!(message.contains(says), "{message}");
    }
    let many: Vec<Value> = (0..500).map(|n| entry(HEX, on("linux", &format!("a{n}")))).collect();
    assert!(told(index(&many)).1.ends_with("linux/a4, …"));
}

#[test]
fn an_index_points_to_a_manifest_and_no_further() {
    let with = |field: &str, value: Value| {
        let mut entry = entry(HEX, on("linux", "amd64"));
        entry[field] = value;
        index(&[entry])
    };
    for kind in [json!(OCI_INDEX), json!(DOCKER_LIST), json!("application/x"), Value::Null] {
        assert_eq!(code(with("mediaType", kind)), "image_manifest_invalid");
    }
    assert_eq!(code(with("digest", json!("sha512:0"))), "image_manifest_invalid");
    assert_eq!(code(with("size", json!(-1))), "image_manifest_invalid");
    assert_eq!(code(with("urls", json!(["http://elsewhere.test/"]))), "image_foreign_layer");
    assert_eq!(code(with("Platform", on("linux", "s390x"))), "image_manifest_invalid");
    assert!(with("annotations", json!({ "Digest": "of something" })).is_ok());
    let both = json!({ "schemaVersion": 2, "manifests": [], "layers": [] });
    assert_eq!(code(read_json(&both, OCI_INDEX)), "image_manifest_invalid");
}

fn of(change: &Value) -> Result<Config, Unresolved> {
    let mut config = json!({ "os": "linux", "architecture": "amd64",
        "config": { "Cmd": ["/app"] }, "rootfs": { "type": "layers", "diff_ids": [HEX] } });
    for (key, value) in change.as_object().unwrap() {
        config[key] = value.clone();
    }
    check_config(config.to_string().as_bytes(), &limits())
}

/// What a container of the image would be made of, with this instead of the good.
fn run(change: &Value) -> Result<Config, Unresolved> {
    let mut run = json!({ "Cmd": ["/app"] });
    for (key, value) in change.as_object().unwrap() {
        run[key] = value.clone();
    }
    of(&json!({ "config": run }))
}

#[rstest]
#[case(json!({ "WorkingDir": "/srv", "Entrypoint": null, "Volumes": null, "User": "" }))]
#[case(json!({ "WorkingDir": "/processes/proc" }))]
#[case(json!({ "WorkingDir": "/srv/./x//y/" }))]
#[case(json!({ "WorkingDir": "" }))]
#[case(json!({ "User": "nobody" }))]
#[case(json!({ "User": "0:0" }))]
#[case(json!({ "User": "2147483647:2147483647" }))]
#[case(json!({ "User": "65532" }))]
#[case(json!({ "Cmd": vec!["x"; MAX_WORDS] }))]
#[case(json!({ "Cmd": ["x".repeat(MAX_COMMAND)] }))]
#[case(json!({ "Env": ["A=", "B=1=2", "C=\n"] }))]
#[case(json!({ "Volumes": { "/data": {}, "/var/lib/x": {} } }))]
#[case(json!({ "OnBuild": ["RUN evil"], "Shell": ["/x"], "ExposedPorts": { "8080/tcp": {} } }))]
#[case(json!({ "Healthcheck": { "Interval": 1 }, "StopSignal": "SIGCONT" }))]
#[case(json!({ "Labels": { "User": "x", "user": "y", "workingdir": "z" } }))]
fn what_is_usual_passes(#[case] change: Value) {
    assert!(run(&change).is_ok(), "{change}");
}

#[rstest]
#[case(json!({ "WorkingDir": "/proc/self/fd/7" }))]
#[case(json!({ "WorkingDir": "/proc" }))]
#[case(json!({ "WorkingDir": "//proc/./self" }))]
#[case(json!({ "WorkingDir": "/./sys" }))]
#[case(json!({ "WorkingDir": "/dev/shm" }))]
#[case(json!({ "WorkingDir": "/x/../proc/self" }))]
#[case(json!({ "WorkingDir": "/x/.." }))]
#[case(json!({ "WorkingDir": "srv" }))]
#[case(json!({ "WorkingDir": "../proc" }))]
#[case(json!({ "WorkingDir": "/srv\0/x" }))]
#[case(json!({ "WorkingDir": "/srv\nx" }))]
#[case(json!({ "WorkingDir": format!("/{}", "x".repeat(200)) }))]
#[case(json!({ "User": "2147483648" }))]
#[case(json!({ "User": "0:2147483648" }))]
#[case(json!({ "User": "4294967296" }))]
#[case(json!({ "User": "99999999999999999999999" }))]
#[case(json!({ "User": "-1" }))]
#[case(json!({ "User": "+0" }))]
#[case(json!({ "User": "a:b:c" }))]
#[case(json!({ "User": "root\n" }))]
#[case(json!({ "User": "x".repeat(129) }))]
#[case(json!({ "Cmd": vec!["x"; MAX_WORDS + 1] }))]
#[case(json!({ "Entrypoint": vec!["x"; MAX_WORDS], "Cmd": ["x"] }))]
#[case(json!({ "Cmd": ["x".repeat(MAX_COMMAND + 1)] }))]
#[case(json!({ "Cmd": vec!["x"; 100_000] }))]
#[case(json!({ "Cmd": ["/app\0--x"] }))]
#[case(json!({ "Cmd": [] }))]
#[case(json!({ "Cmd": [""] }))]
#[case(json!({ "Env": ["A=1\0B=2"] }))]
#[case(json!({ "Env": ["=C:=C:\\"] }))]
#[case(json!({ "Env": ["A"] }))]
#[case(json!({ "Volumes": { "/": {} } }))]
#[case(json!({ "Volumes": { "//": {} } }))]
#[case(json!({ "Volumes": { "/proc": {} } }))]
#[case(json!({ "Volumes": { "/proc/x": {} } }))]
#[case(json!({ "Volumes": { "/sys": {} } }))]
#[case(json!({ "Volumes": { "/dev/pts": {} } }))]
#[case(json!({ "Volumes": { "/etc/../x": {} } }))]
#[case(json!({ "Volumes": { "/data": {}, "/data/": {} } }))]
#[case(json!({ "Volumes": { "/data": {}, "//data": {} } }))]
#[case(json!({ "Volumes": { "/data": {}, "/./data": {} } }))]
#[case(json!({ "Volumes": { "data": {} } }))]
#[case(json!({ "Volumes": { "": {} } }))]
#[case(json!({ "Volumes": { "/data:/host": {} } }))]
#[case(json!({ "Volumes": { "C:\\data": {} } }))]
#[case(json!({ "Volumes": { "/data\n": {} } }))]
fn what_an_engine_would_act_on_is_refused(#[case] change: Value) {
    assert_eq!(code(run(&change)), "image_config_refused", "{change}");
}

#[rstest]
#[case(json!({ "workingdir": "/proc/self/fd/7" }))]
#[case(json!({ "Wor\u{212a}ingDir": "/proc/self/fd/7" }))]
#[case(json!({ "user": "4294967296" }))]
#[case(json!({ "volumes": { "/proc": {} } }))]
#[case(json!({ "entrypoint": ["/app"] }))]
#[case(json!({ "Cmd": "/app" }))]
#[case(json!({ "Cmd": ["/app", 7] }))]
#[case(json!({ "Env": { "A": "1" } }))]
#[case(json!({ "Volumes": ["/data"] }))]
#[case(json!({ "WorkingDir": 7 }))]
fn what_readers_take_differently_is_refused(#[case] change: Value) {
    assert_eq!(code(run(&change)), "image_manifest_invalid", "{change}");
}

#[rstest]
#[case(json!({ "Config": { "WorkingDir": "/proc/self/fd/7" } }))]
#[case(json!({ "config": [] }))]
#[case(json!({ "rootfs": null }))]
#[case(json!({ "rootfs": { "type": "layers" , "diff_ids": ["sha512:0"] } }))]
#[case(json!({ "rootfs": { "type": "windows", "diff_ids": [HEX] } }))]
#[case(json!({ "rootfs": { "diff_ids": [HEX] } }))]
fn a_configuration_of_another_shape_is_refused(#[case] change: Value) {
    assert_eq!(code(of(&change)), "image_manifest_invalid", "{change}");
}

#[rstest]
#[case("linux", "s390x", "linux/s390x;")]
#[case("linux", "arm64", "linux/arm64;")]
#[case("linux", "AMD64", "linux/AMD64;")]
#[case("linux", "x86_64", "linux/x86_64;")]
#[case("windows", "amd64", "windows/amd64;")]
#[case("", "amd64", "(nothing)/amd64;")]
#[case("linux", "", "linux/(nothing);")]
#[case("linux", "amd64\u{1b}]0;x\u{7}", "linux/amd64\u{fffd}]0;x\u{fffd};")]
#[case("linux\n", "amd64", "linux\u{fffd}/amd64;")]
fn the_platform_is_exact(#[case] os: &str, #[case] architecture: &str, #[case] says: &str) {
    let (code, message) = told(of(&json!({ "os": os, "architecture": architecture })));
    assert_eq!(code, "image_wrong_platform");
    assert_eq!(message, format!("the image is for {says} it must be for linux/amd64"));
}

#[test]
fn a_variant_that_not_every_processor_is_has_no_place() {
    assert!(of(&json!({ "variant": "v1" })).is_ok());
    assert_eq!(code(of(&json!({ "variant": "v3" }))), "image_wrong_platform");
}

#[test]
fn volumes_are_counted() {
    let volumes = |count: usize| {
        let paths = (0..count).map(|n| (format!("/data{n}"), json!({}))).collect();
        run(&json!({ "Volumes": Value::Object(paths) }))
    };
    assert!(volumes(MAX_VOLUMES).is_ok());
    let Err(Unresolved::Participant(fault)) = volumes(MAX_VOLUMES + 1) else { panic!("refused") };
    assert_eq!(fault.limit, Some(crate::domain::verdict::Limit::new("volumes", 8, "volumes")));
    assert_eq!(code(volumes(200)), "image_config_refused");
}

#[test]
fn manifest_and_configuration_have_the_same_layers() {
    let Ok(Found::Manifest(manifest)) = read_json(&good(), OCI_MANIFEST) else { panic!("read") };
    let config = |ids: &[&str]| of(&json!({ "rootfs": { "type": "layers", "diff_ids": ids } }));
    assert_eq!(manifest.check_layers(&config(&[HEX]).unwrap()), Ok(()));
    for ids in [&[][..], &[HEX, HEX]] {
        let refused = manifest.check_layers(&config(ids).unwrap());
        assert_eq!(code(refused), "image_manifest_invalid");
    }
}

/// JSON that is near to what images have.
fn near() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(json!(HEX)),
        Just(json!(OCI_MANIFEST)),
        Just(json!(GZIP)),
        Just(json!(OCI_CONFIG)),
        Just(json!("linux")),
        Just(json!("amd64")),
        Just(json!(2)),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "digest",
        "size",
        "urls",
        "platform",
        "os",
        "architecture",
        "variant",
        "Cmd",
        "User",
        "Volumes",
        "rootfs",
        "diff_ids",
        "Layers",
        "x",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..400), kind in 0usize..4) {
        let _ = read(&body, ACCEPTED[kind], &limits());
        let _ = check_config(&body, &limits());
    }

    #[test]
    fn near_images_get_an_answer_that_is_safe_to_show(value in near(), kind in 0usize..4) {
        for refused in [
            read_json(&value, ACCEPTED[kind]).err(),
            check_config(value.to_string().as_bytes(), &limits()).err(),
        ].into_iter().flatten() {
            let Unresolved::Participant(fault) = refused else { panic!("the registry's") };
            prop_assert!(fault.message.len() < 700);
            prop_assert!(!fault.message.contains(|c: char| c.is_control()), "{:?}", fault.message);
        }
    }
}
