//! What our own registry says of manifests.

use portcall_shared::registry::push::Put;
use serde_json::{Value, json};

use crate::{
    image::{Image, Layer, MANIFEST, digest},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_our_registry_refuses_is_told_from_its_other_refusals() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::file("a", b"1")]);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    let good: Value = serde_json::from_slice(&image.manifest).unwrap();
    let put = async |media_type: &str, change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        let body = manifest.to_string().into_bytes();
        world.own.put_manifest(&digest(&body), media_type, body).await.unwrap()
    };
    let layer = |key: &'static str, value: Value| {
        move |manifest: &mut Value| manifest["layers"][0][key] = value.clone()
    };
    assert_eq!(put(MANIFEST, &|_| ()).await, Put::Stored);
    assert_eq!(put(MANIFEST, &layer("annotations", json!([]))).await, Put::Invalid);
    assert_eq!(put(MANIFEST, &layer("platform", json!({ "os.features": 1 }))).await, Put::Invalid);
    let untyped = |manifest: &mut Value| manifest["mediaType"] = json!(null);
    assert_eq!(put(MANIFEST, &untyped).await, Put::Invalid);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let annotated = |value: Value| {
        move |manifest: &mut Value| {
            manifest["mediaType"] = json!(oci);
            manifest["annotations"] = value.clone();
        }
    };
    assert_eq!(put(oci, &annotated(json!({ "a": 1 }))).await, Put::Invalid);
    assert_eq!(put(oci, &annotated(json!({ "a": "1" }))).await, Put::Stored);
    let nobody = json!(format!("sha256:{}", "0".repeat(64)));
    assert_eq!(put(MANIFEST, &layer("digest", nobody)).await, Put::BlobUnknown);
    world.end().await;
}
