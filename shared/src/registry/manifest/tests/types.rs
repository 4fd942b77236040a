//! What registries refuse for a type, on both sides.

use super::*;

#[test]
fn one_of_dockers_says_that_it_is() {
    for (kind, other) in [(DOCKER_MANIFEST, OCI_MANIFEST), (DOCKER_LIST, OCI_INDEX)] {
        let document = |own: Option<&str>| {
            let list = json!({ "schemaVersion": 2,
                "manifests": [entry(HEX, on("linux", "amd64"))] });
            let mut document = if kind == DOCKER_LIST { list } else { good() };
            document["mediaType"] = json!(own);
            document
        };
        assert!(read_json(&document(Some(kind)), kind).is_ok());
        assert!(read_json(&document(None), other).is_ok(), "the other kind need not");
        match kind {
            // It is never kept by us, and so no registry of ours refuses it.
            DOCKER_LIST => assert!(read_json(&document(None), kind).is_ok()),
            _ => assert_eq!(code(read_json(&document(None), kind)), "image_manifest_invalid"),
        }
    }
}

#[rstest]
#[case("/annotations", json!({ "a": 1 }))]
#[case("/annotations", json!([]))]
#[case("/annotations", json!("a"))]
#[case("/artifactType", json!(1))]
#[case("/subject", json!("a"))]
#[case("/subject", json!({ "digest": HEX }))]
#[case("/subject", json!({ "mediaType": 1, "digest": HEX, "size": 1 }))]
#[case("/layers/0/annotations", json!([]))]
#[case("/layers/0/annotations", json!({ "a": ["b"] }))]
#[case("/layers/0/data", json!(1))]
#[case("/layers/0/data", json!("no base64"))]
#[case("/layers/0/artifactType", json!([]))]
#[case("/layers/0/platform", json!("linux/amd64"))]
#[case("/layers/0/platform", json!({ "os.features": 1 }))]
#[case("/layers/0/platform", json!({ "os.features": [1] }))]
#[case("/layers/0/platform", json!({ "features": "sse4" }))]
#[case("/layers/0/platform", json!({ "os.version": 10 }))]
#[case("/layers/0/platform", json!({ "variant": 8 }))]
#[case("/config/annotations", json!({ "a": false }))]
#[case("/config/data", json!({}))]
#[case("/config/platform", json!([]))]
fn what_registries_refuse_for_its_type_is_refused(#[case] pointer: &str, #[case] value: Value) {
    let refused = read_json(&with(pointer, value), OCI_MANIFEST);
    assert_eq!(code(refused), "image_manifest_invalid");
}

#[rstest]
#[case("/annotations", json!({ "a": "b", "c": null }))]
#[case("/annotations", json!({}))]
#[case("/artifactType", json!("application/x"))]
#[case("/subject", json!({ "mediaType": OCI_MANIFEST, "digest": HEX, "size": 1 }))]
#[case("/layers/0/annotations", json!({ "a": "b" }))]
#[case("/layers/0/data", json!("e30="))]
#[case("/layers/0/urls", json!([]))]
#[case("/config/platform", json!({ "os": "linux", "os.version": "1", "os.features": ["x"],
    "features": [], "variant": null }))]
fn what_registries_take_beside_is_taken(#[case] pointer: &str, #[case] value: Value) {
    assert!(read_json(&with(pointer, value), OCI_MANIFEST).is_ok());
}
