//! Pushing images to a registry over its HTTP API (v2), without an engine.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, StatusCode, header};
use serde_json::Value;

use crate::{
    image::{Blob, MANIFEST_TYPE, Packed, Recipe},
    parts::given,
};

/// How often a push is tried, and how long after the first one.
const PUSHES: u32 = 5;
const BEFORE_AGAIN: Duration = Duration::from_millis(50);

/// How a registry answers when two pushes of the same blob to the same name get into each other's
/// way; it says nothing about the image.
const CROSSED: [&str; 4] =
    ["DIGEST_INVALID", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"];

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
    /// under that name already are not sent again. Tests that push the same blob at once may get
    /// into each other's way; then it is tried again as a whole.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn push(&self, name: &str, recipe: &Recipe) -> Result<Image> {
        let (name, tag) = name.split_once(':').unwrap_or((name, "1"));
        let packed = recipe.pack()?;
        let mut again = BEFORE_AGAIN;
        for _ in 1..PUSHES {
            match self.push_once(name, tag, &packed).await {
                Err(error) if is_crossed(&error) => tokio::time::sleep(again).await,
                pushed => return pushed,
            }
            again *= 2;
        }
        self.push_once(name, tag, &packed).await
    }

    async fn push_once(&self, name: &str, tag: &str, packed: &Packed) -> Result<Image> {
        for blob in &packed.blobs {
            self.upload(name, blob).await?;
        }
        self.put_manifest(name, tag, MANIFEST_TYPE, packed.manifest.clone()).await
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
        let begun = self.client.post(&start).send().await?;
        let status = begun.status();
        if status != StatusCode::ACCEPTED {
            bail!("an upload: {status} {}", begun.text().await?);
        }
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

fn is_crossed(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    CROSSED.iter().any(|code| text.contains(code))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A registry that has every blob and answers a manifest with these, one after the other.
    async fn answering(answers: &'static [&'static str]) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Registry::at(&listener.local_addr().unwrap().to_string()).unwrap();
        tokio::spawn(async move {
            let mut answers = answers.iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 16 * 1024];
                let read = stream.read(&mut head).await.unwrap();
                let (status, body) = match head[..read].starts_with(b"HEAD") {
                    true => ("200 OK", ""),
                    false => match *answers.next().unwrap() {
                        "" => ("201 Created\r\ndocker-content-digest: sha256:0", ""),
                        body => ("400 Bad Request", body),
                    },
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                // To the end, since what is left unread would break the connection.
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
            }
        });
        registry
    }

    #[tokio::test]
    async fn a_push_that_was_crossed_is_tried_again_and_a_refused_one_is_not() {
        let recipe = Recipe::scratch();
        let crossed = answering(&["DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", ""]).await;
        assert_eq!(crossed.push("a:1", &recipe).await.unwrap().digest, "sha256:0");
        let refused = answering(&["MANIFEST_INVALID", ""]).await;
        let error = refused.push("a:1", &recipe).await.unwrap_err().to_string();
        assert!(error.contains("MANIFEST_INVALID"), "{error}");
        let crossed = answering(&["BLOB_UNKNOWN"; PUSHES as usize]).await;
        let error = crossed.push("a:1", &recipe).await.unwrap_err().to_string();
        assert!(error.contains("BLOB_UNKNOWN"), "{error}");
    }
}
