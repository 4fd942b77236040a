//! It misbehaves as its table says.

use reqwest::{Client, Response, redirect};

use super::*;
use crate::image::{File, Layer};

struct Asked {
    registry: Misbehaving,
    lure: Lure,
    http: Client,
}

async fn asked() -> Asked {
    let layer = Layer::of(&[File::text("etc/motd", "hello")]).unwrap();
    let image = Recipe::scratch().layer(layer).cmd(&["/app"]);
    let lure = Lure::start().await.unwrap();
    let registry = Misbehaving::start(&image, &lure).await.unwrap();
    let http = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
    Asked { registry, lure, http }
}

impl Asked {
    async fn get(&self, path: &str) -> Response {
        let url = format!("http://{}{path}", self.registry.host());
        self.http.get(url).send().await.unwrap()
    }

    async fn manifest(&self, name: &str) -> Response {
        self.get(&format!("/v2/{name}/manifests/1")).await
    }

    async fn layer(&self, name: &str) -> Response {
        let manifest: serde_json::Value =
            serde_json::from_str(&self.manifest(name).await.text().await.unwrap()).unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        self.get(&format!("/v2/{name}/blobs/{digest}")).await
    }
}

#[tokio::test]
async fn a_good_name_serves_the_image_whole() {
    let asked = asked().await;
    let manifest = asked.manifest("good/alice").await;
    let named = manifest.headers()["docker-content-digest"].to_str().unwrap().to_owned();
    let body = manifest.bytes().await.unwrap();
    assert_eq!(digest(&body), named);
    assert_eq!(asked.registry.digest("good/alice").unwrap(), named);
    let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
    for blob in [&manifest["config"], &manifest["layers"][0]] {
        let named = blob["digest"].as_str().unwrap();
        let body = asked.get(&format!("/v2/good/alice/blobs/{named}")).await.bytes().await.unwrap();
        assert_eq!(
            (digest(&body).as_str(), Some(body.len() as u64)),
            (named, blob["size"].as_u64())
        );
    }
    assert_eq!(asked.registry.requests("good/").len(), 3);
    asked.lure.untouched().unwrap();
}

#[tokio::test]
async fn statuses_and_directions() {
    let asked = asked().await;
    for (name, status, field) in [
        ("missing", 404, ""),
        ("private", 401, "www-authenticate: Basic"),
        ("forbidden", 403, ""),
        ("token", 401, "www-authenticate: Bearer"),
        ("realm", 401, "www-authenticate: Bearer realm=\"http://127.0.0.1:"),
        ("r429", 429, "retry-after: 3600"),
        ("r503", 503, "retry-after: 3600"),
        ("moved", 307, "location: http://127.0.0.1:"),
        ("userinfo", 307, "location: http://user:secret@"),
        ("hops3", 307, "?hop=1"),
        ("nowhere", 307, ""),
        ("lie", 200, NOTHING),
        ("linked", 200, "link: <http://127.0.0.1:"),
        ("gzipped", 200, "content-encoding: gzip"),
        ("html", 200, "content-type: text/html"),
        ("endless", 200, ""),
        ("hugemanifest", 200, ""),
    ] {
        let answer = asked.manifest(name).await;
        let fields: Vec<String> = answer
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(answer.status().as_u16(), status, "{name}");
        assert!(fields.iter().any(|f| f.contains(field)), "{name}: {fields:?}");
    }
    assert_eq!(asked.layer("redirect").await.status(), 307);
    assert_eq!(asked.layer("nolayer").await.status(), 404);
    asked.lure.untouched().unwrap();
}

#[tokio::test]
async fn a_tag_that_flips_and_blobs_that_are_others() {
    let asked = asked().await;
    let first = asked.manifest("flip/a").await.text().await.unwrap();
    let second = asked.manifest("flip/a").await.text().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(
        asked.manifest("flip/b").await.text().await.unwrap(),
        first,
        "each name has its own"
    );
    let other = digest(second.as_bytes());
    let by_digest = asked.get(&format!("/v2/flip/a/manifests/{other}")).await;
    assert_eq!(by_digest.text().await.unwrap(), second);
    let good = asked.layer("good").await.bytes().await.unwrap();
    let other = asked.layer("otherlayer").await.bytes().await.unwrap();
    assert_eq!(good.len(), other.len());
    assert_ne!(good, other);
    assert!(asked.layer("cutblob").await.bytes().await.is_err());
    assert!(asked.manifest("truncated").await.bytes().await.is_err());
}

#[tokio::test]
async fn what_waits_waits() {
    let asked = asked().await;
    let within = Duration::from_millis(200);
    assert!(tokio::time::timeout(within, asked.manifest("stall")).await.is_err());
    for name in ["stallblob", "slow"] {
        let layer = asked.layer(name).await;
        assert!(tokio::time::timeout(within, layer.bytes()).await.is_err(), "{name}");
    }
}
