//! Each limit, on both sides: what reaches it passes, one more does not.

use anyhow::Result;
use portcall_tests::parts::misbehaving::{Document, Misbehaving};
use serde_json::{Map, Value, json};

use crate::ask::{Scene, Want, Want::*};

const CONFIG: &str = "image_config_refused";
const INVALID: &str = "image_manifest_invalid";
const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;

/// A draft with the limit at the first place and one more at the second.
fn pairs(registry: &Misbehaving) -> Result<Vec<(String, Want)>> {
    let mut rows = Vec::new();
    let mut pair = |name: &str,
                    draft: &dyn Fn(u64) -> portcall_tests::parts::misbehaving::Draft,
                    limit: u64,
                    want: Want| {
        for (side, size, want) in [("at", limit, Pinned), ("over", limit + 1, want)] {
            rows.push((registry.put(&format!("{name}/{side}"), &draft(size))?, want));
        }
        anyhow::Ok(())
    };
    let good = || registry.draft();
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let layer = good().manifest["layers"][0].clone();
    let id = good().config["rootfs"]["diff_ids"][0].clone();
    let layers = |n: u64| {
        good()
            .manifest("/layers", json!(vec![layer.clone(); count(n)]))
            .config("/rootfs/diff_ids", json!(vec![id.clone(); count(n)]))
    };
    pair("layers", &layers, 64, Refused("image_too_many_layers", "has 65 layers"))?;
    let size = |n: u64| good().manifest("/layers/0/size", json!(n));
    pair("size", &size, 512 * MIB, Refused("image_too_large", "is 513 MiB compressed"))?;
    let words = |n: u64| good().config("/config/Cmd", json!(vec!["x"; count(n)]));
    pair("words", &words, 64, Refused(CONFIG, "has 65 words"))?;
    let command = |n: u64| good().config("/config/Cmd", json!(["x".repeat(count(n))]));
    pair("command", &command, 8 * KIB as u64, Refused(CONFIG, "is 8193 bytes long"))?;
    let volumes = |n: u64| {
        let paths: Map<String, Value> = (0..n).map(|n| (format!("/v{n}"), json!({}))).collect();
        good().config("/config/Volumes", Value::Object(paths))
    };
    pair("volumes", &volumes, 8, Refused(CONFIG, "declares 9 volumes"))?;
    let user = |n: u64| good().config("/config/User", json!(n.to_string()));
    pair("user", &user, 2_147_483_647, Refused(CONFIG, "a number from 0 to"))?;
    let group = |n: u64| good().config("/config/User", json!(format!("app:{n}")));
    pair("group", &group, 2_147_483_647, Refused(CONFIG, "a number from 0 to"))?;
    let nested = |n: u64| {
        // The document and the object in it are two levels themselves.
        let lists = (2..n).fold(json!(1), |inner, _| json!([inner]));
        good().manifest("/extra", json!({ "x": lists }))
    };
    pair("depth", &nested, 32, Refused(INVALID, "nested deeper than 32 levels"))?;
    let base =
        serde_json::to_vec(&good().config("/config/Labels", json!({ "x": "" })).config)?.len();
    let config = |n: u64| {
        let padding = "x".repeat(count(n) - base);
        good().config("/config/Labels", json!({ "x": padding }))
    };
    pair("config", &config, 256 * KIB as u64, Refused(CONFIG, "larger than 256 KiB"))?;
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_is_where_it_is_said_to_be() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let registry = &scene.registry;
    let mut rows = pairs(registry)?;
    let manifest = registry.manifest("good")?;
    for (name, size, want) in
        [("at", MIB, Pinned), ("over", MIB + 1, Refused(INVALID, "larger than 1048576 bytes"))]
    {
        let mut padded = manifest.clone();
        padded.resize(usize::try_from(size)?, b' ');
        let name = format!("bytes/{name}");
        rows.push((registry.put_document(&name, Document::manifest(padded))?, want));
    }
    // Lengths that are not announced are measured, and those that are announced too.
    let lies = registry.draft().config("/config/Labels", json!({ "x": "x".repeat(300 * KIB) }));
    let lies = lies.manifest("/config/size", json!(256 * KIB));
    rows.push((registry.put("lies", &lies)?, Refused(CONFIG, "larger than 256 KiB")));
    rows.push((registry.reference("hops3/at"), Pinned));
    rows.push((registry.reference("hops4/over"), Waits("registry_down")));
    scene.ask_all(rows).await?;
    scene.leave().await
}
