//! Pushing images to a registry over its HTTP API (v2), without an engine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode, header};
use serde_json::Value;

use crate::{
    image::{Blob, MANIFEST_TYPE, Recipe},
    parts::given,
};

/// A registry that is spoken to in plain HTTP.
#[derive(Clone, Debug)]
pub struct Registry {
    host: String,
    client: Client,
}

/// An image in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `host/name:tag`, what a participant submits.
    pub reference: String,
    /// `sha256:…` of its manifest.
    pub digest: String,
}

impl Registry {
    /// The registry that was given.
    ///
    /// # Errors
    /// When none is given.
    pub fn given() -> Result<Self> {
        Self::at(&given::registry()?)
    }

    /// The registry at that host and port.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn at(host: &str) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?;
        Ok(Self { host: host.to_owned(), client })
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The reference of an image that is not there.
    #[must_use]
    pub fn missing(&self) -> String {
        format!("{}/nobody/nothing:1", self.host)
    }

    /// Pushes an image as `name:tag`, or `name:1` for a bare name; blobs that the registry has
    /// under that name already are not sent again.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn push(&self, name: &str, recipe: &Recipe) -> Result<Image> {
        let (name, tag) = name.split_once(':').unwrap_or((name, "1"));
        let packed = recipe.pack()?;
        for blob in &packed.blobs {
            self.upload(name, blob).await?;
        }
        self.put_manifest(name, tag, MANIFEST_TYPE, packed.manifest).await
    }

    /// Puts a manifest of any kind; what it names must be there.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn put_manifest(
        &self,
        name: &str,
        tag: &str,
        media_type: &str,
        manifest: Vec<u8>,
    ) -> Result<Image> {
        let answer = self
            .client
            .put(format!("http://{}/v2/{name}/manifests/{tag}", self.host))
            .header(header::CONTENT_TYPE, media_type)
            .body(manifest)
            .send()
            .await?;
        let status = answer.status();
        let digest = answer.headers().get("docker-content-digest").cloned();
        ensure!(status == StatusCode::CREATED, "manifest: {status} {}", answer.text().await?);
        let digest = digest.context("a registry that names no digest")?.to_str()?.to_owned();
        Ok(Image { reference: format!("{}/{name}:{tag}", self.host), digest })
    }

    /// The names in the registry.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn names(&self) -> Result<Vec<String>> {
        let answer = self.client.get(format!("http://{}/v2/_catalog", self.host)).send().await?;
        let catalog: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let names = catalog["repositories"].as_array().cloned().unwrap_or_default();
        Ok(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    async fn upload(&self, name: &str, blob: &Blob) -> Result<()> {
        let there = format!("http://{}/v2/{name}/blobs/{}", self.host, blob.digest);
        if self.client.head(&there).send().await?.status() == StatusCode::OK {
            return Ok(());
        }
        let start = format!("http://{}/v2/{name}/blobs/uploads/", self.host);
        let begun = self.client.post(&start).send().await?.error_for_status()?;
        let place = begun.headers().get(header::LOCATION).context("an upload without a place")?;
        let mut place = begun.url().join(place.to_str()?)?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        let bytes = blob.read().await?;
        let length = bytes.len();
        let answer = self
            .client
            .put(place)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length)
            .body(bytes)
            .send()
            .await?;
        let status = answer.status();
        ensure!(status == StatusCode::CREATED, "blob: {status} {}", answer.text().await?);
        Ok(())
    }
}
