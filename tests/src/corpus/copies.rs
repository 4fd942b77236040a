//! How often what several asked for at the same moment was fetched (F30): the layer that nobody had
//! before once, and of the others none twice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::parts::misbehaving::Request;

/// What of an image was not fetched as it must be, by its manifest and by what its registry was
/// asked for. Its last layer is the one that nobody had before.
///
/// # Errors
/// When the manifest is none.
pub fn fetched_otherwise(manifest: &[u8], requests: &[Request]) -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest)?;
    let named = |part: &Value| Some(part["digest"].as_str()?.to_owned());
    let config = named(&manifest["config"]).context("an image without a configuration")?;
    let layers = manifest["layers"].as_array().context("an image without layers")?;
    let layers: Vec<String> = layers.iter().filter_map(named).collect();
    let fresh = layers.last().context("an image without layers")?;
    let mut fetched = BTreeMap::<&str, usize>::new();
    for request in requests.iter().filter(|request| request.method == "GET") {
        if let Some((_, digest)) = request.path.split_once("/blobs/") {
            *fetched.entry(digest).or_default() += 1;
        }
    }
    // The configuration is asked for by the api and by the worker, each time.
    let known: BTreeSet<&str> = layers.iter().chain([&config]).map(String::as_str).collect();
    let mut wrong: Vec<String> = fetched
        .iter()
        .filter(|(digest, _)| !known.contains(*digest))
        .map(|(digest, _)| format!("F30 {digest} was fetched and is not of the image"))
        .collect();
    for layer in known.into_iter().filter(|digest| *digest != config) {
        let times = fetched.get(layer).copied().unwrap_or_default();
        if times > 1 || (times == 0 && layer == fresh) {
            wrong.push(format!("F30 the layer {layer} was fetched {times} times"));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = br#"{
        "config": { "digest": "sha256:c" },
        "layers": [{ "digest": "sha256:old" }, { "digest": "sha256:new" }]
    }"#;

    fn wrong(digests: &[&str]) -> Vec<String> {
        let request = |digest: &&str| Request {
            method: "GET".to_owned(),
            path: format!("/v2/good/many/blobs/sha256:{digest}"),
            authorization: None,
        };
        let mut requests: Vec<Request> = digests.iter().map(request).collect();
        // Asking whether it is there fetches nothing.
        let asked = requests.iter().cloned().map(|r| Request { method: "HEAD".to_owned(), ..r });
        requests.extend(asked.collect::<Vec<_>>());
        fetched_otherwise(MANIFEST, &requests).unwrap()
    }

    #[test]
    fn what_is_fetched_twice_or_never_is_told() {
        assert_eq!(wrong(&["new"]), [""; 0]);
        assert_eq!(wrong(&["c", "c", "c", "c", "new", "old"]), [""; 0]);
        assert_eq!(wrong(&[]), ["F30 the layer sha256:new was fetched 0 times"]);
        assert_eq!(wrong(&["c", "old"]), ["F30 the layer sha256:new was fetched 0 times"]);
        assert_eq!(wrong(&["new", "new"]), ["F30 the layer sha256:new was fetched 2 times"]);
        assert_eq!(wrong(&["new", "old", "old"]), ["F30 the layer sha256:old was fetched 2 times"]);
        assert_eq!(wrong(&["new", "x"]), ["F30 sha256:x was fetched and is not of the image"]);
        // Whichever was fetched most: the configuration is known by its name.
        assert_eq!(wrong(&["new", "new", "c"]).len(), 1);
        assert!(fetched_otherwise(b"{}", &[]).is_err());
    }
}
