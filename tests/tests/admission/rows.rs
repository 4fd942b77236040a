//! What the registry does, and what comes of it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::ask::{Scene, Want, Want::*, stored};

/// Promised for the answer to a POST.
const ANSWER: Duration = Duration::from_secs(2);

/// What is decided at once.
fn rows() -> Vec<(&'static str, Want)> {
    let no_manifest = "image_manifest_invalid";
    vec![
        ("good", Pinned),
        ("index", Pinned),
        ("linked", Pinned),
        ("flip", Pinned),
        ("token", Pinned),
        ("hops3", Pinned),
        // What only the blobs show is for the quarantine.
        ("stallblob", Pinned),
        ("slow", Pinned),
        ("cutblob", Pinned),
        ("nolayer", Pinned),
        ("otherlayer", Pinned),
        ("bomb", Pinned),
        ("zbomb", Pinned),
        ("missing", Refused("image_not_found", "has no image")),
        ("noconfig", Refused("image_not_found", "has no image")),
        ("private", Refused("image_private", "wants credentials")),
        ("forbidden", Refused("image_private", "or it is private")),
        ("locked", Refused("image_private", "or it is private")),
        ("realm", Refused("image_host_denied", "which is not allowed")),
        ("redirect", Refused("image_host_denied", "which is not allowed")),
        ("moved", Refused("image_host_denied", "which is not allowed")),
        ("userinfo", Refused("image_host_denied", "which is not allowed")),
        ("endless", Refused(no_manifest, "larger than 1048576 bytes")),
        ("hugemanifest", Refused(no_manifest, "larger than 1048576 bytes")),
        ("badjson", Refused(no_manifest, "it is not JSON")),
        ("deep", Refused(no_manifest, "nested deeper than 32 levels")),
        ("notype", Refused(no_manifest, "does not say what")),
        ("html", Refused(no_manifest, "`text/html`, which is not an image")),
        ("gzipped", Refused(no_manifest, "came compressed")),
        ("nolayers", Refused(no_manifest, "has no layers")),
        ("nested", Refused(no_manifest, "points to another index")),
        ("500layers", Refused("image_too_many_layers", "has 500 layers")),
        ("huge", Refused("image_too_large", "is 38147 MiB compressed")),
        ("foreign", Refused("image_foreign_layer", "kept outside its registry")),
        (
            "otherarch",
            Refused("image_wrong_platform", "for linux/s390x; it must be for linux/amd64"),
        ),
        ("noplatform", Refused("image_wrong_platform", "it names no platform")),
        ("attestations", Refused("image_wrong_platform", "it names no platform")),
        // The registry's fault is not the participant's.
        ("badtoken", Waits("registry_down")),
        ("hugetoken", Waits("registry_down")),
        ("realm429", Waits("registry_limited")),
        ("hops4", Waits("registry_down")),
        ("loop", Waits("registry_down")),
        ("nowhere", Waits("registry_down")),
        ("r429", Waits("registry_limited")),
        ("r503", Waits("registry_down")),
        ("truncated", Waits("registry_down")),
        ("lie", Waits("registry_down")),
        ("swap", Waits("registry_down")),
        ("otherconfig", Waits("registry_down")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_reason() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let rows = rows();
    let refused = rows.iter().filter(|(_, want)| matches!(want, Refused(..))).count();
    let accepted = (rows.len() - refused) as u64;
    let rows = rows.into_iter().map(|(name, want)| (scene.registry.reference(name), want));
    scene.ask_all(rows.collect()).await?;
    ensure!(stored(&scene.world).await? == accepted, "what was refused is not stored");
    scene.leave().await
}

/// What says nothing, or for ever a little, costs the answer no more than its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_its_time_takes_none_of_ours() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    for name in ["stall", "drip", "endlesshead"] {
        let mut took = Vec::new();
        // Three times are enough for a moment in which the machine had other things to do.
        for _ in 0..3 {
            let reference = scene.registry.reference(name);
            took.push(scene.ask(&reference, &Waits("registry_down")).await?.took);
            if took.last().is_some_and(|took| *took < ANSWER) {
                break;
            }
        }
        if took.iter().all(|took| *took >= ANSWER) {
            bail!("{name}: answered only after {took:?}");
        }
    }
    scene.leave().await
}

/// A tag is asked for once; what it stood for then is what is stored, whatever it stands for now.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_resolved_once() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let by_tag = |name: &str| {
        let requests = scene.registry.requests(name);
        requests.into_iter().filter(|request| request.path.ends_with("/manifests/1")).count()
    };
    // Two for an image, one more for the entry of an index: no list of tags, no ping, no layer.
    for (name, requests) in [("good/a", 2), ("linked/a", 2), ("flip/a", 2), ("index/a", 3)] {
        let pinned = scene.ask(&scene.registry.reference(name), &Pinned).await?.digest;
        let asked = scene.registry.requests(name);
        ensure!(by_tag(name) == 1 && asked.len() == requests, "{name}: {asked:?}");
        // Of an index the platform's manifest is pinned, not the index.
        let first = if name == "index/a" { "good" } else { name };
        ensure!(pinned == Some(scene.registry.digest(first)?), "{name}: {pinned:?}");
    }
    let later = scene.ask(&scene.registry.reference("flip/a"), &Pinned).await?.digest;
    ensure!(later != Some(scene.registry.digest("flip/a")?), "the control: the tag has moved");
    scene.leave().await
}

/// The token is for the registry alone, and is asked for without anybody's credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_anonymous_and_for_its_registry() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    scene.ask(&scene.registry.reference("token/a"), &Pinned).await?;
    let sent: Vec<Option<String>> =
        scene.registry.requests("token/a").into_iter().map(|r| r.authorization).collect();
    let token = Some("Bearer of-this-registry".to_owned());
    ensure!(sent == [None, token.clone(), token], "{sent:?}");
    // The service that gave it was asked without any, and so was every other name.
    let others = ["good", "moved", "redirect", "realm"];
    for name in others {
        let want = if name == "good" { Pinned } else { Refused("image_host_denied", "") };
        scene.ask(&scene.registry.reference(name), &want).await?;
        for request in scene.registry.requests(name) {
            ensure!(request.authorization.is_none(), "{request:?}");
        }
    }
    scene.leave().await
}
