//! Images without a Dockerfile: a layer and a configuration, pushed to the test's registry.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One file of an image.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) mode: u32,
}

/// Pushes an image and gives its pinned name.
pub(crate) async fn push(
    registry: &str,
    name: &str,
    arch: &str,
    config: Value,
    files: &[File<'_>],
) -> Result<String> {
    let layer = layer(files)?;
    let config = json!({
        "architecture": arch, "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    })
    .to_string();
    for blob in [layer.as_slice(), config.as_bytes()] {
        upload(registry, name, blob).await?;
    }
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config.len(), "digest": digest(config.as_bytes()),
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": layer.len(), "digest": digest(&layer),
        }],
    })
    .to_string();
    let digest = digest(manifest.as_bytes());
    let path = format!("/v2/{name}/manifests/{digest}");
    let (status, _) = call(registry, "PUT", &path, kind, manifest.as_bytes()).await?;
    ensure!(status == 201, "the registry answered {status} to the manifest");
    Ok(format!("{registry}/{name}@{digest}"))
}

fn layer(files: &[File<'_>]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        archive.append_data(&mut header, file.path, file.bytes)?;
    }
    Ok(archive.into_inner()?)
}

async fn upload(registry: &str, name: &str, blob: &[u8]) -> Result<()> {
    let kind = "application/octet-stream";
    let path = format!("/v2/{name}/blobs/uploads/");
    let (status, location) = call(registry, "POST", &path, kind, &[]).await?;
    ensure!(status == 202, "the registry answered {status} to an upload");
    let at = location.find("/v2/").context("no path in the upload's location")?;
    let path = format!("{}&digest={}", &location[at..], digest(blob));
    let (status, _) = call(registry, "PUT", &path, kind, blob).await?;
    ensure!(status == 201, "the registry answered {status} to a blob");
    Ok(())
}

/// One HTTP request; gives the status and the `Location`.
async fn call(
    registry: &str,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(registry).await.context("connecting to the registry")?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {registry}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).context("no status")?.parse()?;
    let location = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Ok((status, location.unwrap_or_default()))
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
