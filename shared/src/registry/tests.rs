//! The registry's client on real connections: what it asks, where it goes, and how a blob comes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::{Blob, ImageLimits, Registry, Unresolved, manifest::Compression};
use crate::{
    domain::image::{Digest, ImageRef},
    tls,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const WITHIN: Duration = Duration::from_secs(10);

/// Answers by path: each a head without its last empty line, and the pieces of a body.
type Answers = BTreeMap<String, (String, Vec<Vec<u8>>)>;

/// A server of one request to a connection.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Answers>>,
    /// What comes before each piece of a body but the first.
    go_on: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, answers) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let go_on = Arc::new(Notify::new());
        let (kept, known, told) = (Arc::clone(&heads), Arc::clone(&answers), Arc::clone(&go_on));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(
                    stream,
                    Arc::clone(&kept),
                    Arc::clone(&known),
                    Arc::clone(&told),
                ));
            }
        });
        Self { address, heads, answers, go_on, task }
    }

    fn answer(&self, path: &str, head: &str, pieces: &[&[u8]]) {
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        self.answers.lock().unwrap().insert(path.to_owned(), (head.to_owned(), pieces));
    }

    /// A document by its digest, which it answers.
    fn document(&self, media_type: &str, document: &Value) -> Digest {
        let body = document.to_string().into_bytes();
        let digest = digest(&body);
        let head = format!(
            "200 OK\r\ncontent-type: {media_type}; charset=utf-8\r\ncontent-length: {}",
            body.len()
        );
        self.answer(&format!("/v2/a/b/manifests/{digest}"), &head, &[&body]);
        digest
    }

    fn image(&self) -> ImageRef {
        format!("{}/a/b", self.address).parse().unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Answers>>,
    go_on: Arc<Notify>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let path = head.split(' ').nth(1)?.to_owned();
    heads.lock().unwrap().push(head);
    let found = answers.lock().unwrap().get(&path).cloned();
    let (head, pieces) = found.unwrap_or(("404 Not Found\r\ncontent-length: 0".into(), vec![]));
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            go_on.notified().await;
        }
        stream.write_all(piece).await.ok()?;
    }
    stream.shutdown().await.ok()
}

fn digest(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().unwrap()
}

fn blob_path(digest: &Digest) -> String {
    format!("/v2/a/b/blobs/{digest}")
}

fn registry() -> Registry {
    tls::install_provider();
    Registry::new(Vec::new())
}

fn code(unresolved: Unresolved) -> &'static str {
    match unresolved {
        Unresolved::Participant(fault) => fault.code.as_str(),
        Unresolved::Registry(fault) => fault.code.as_str(),
    }
}

async fn whole(mut blob: Blob) -> Result<Vec<u8>, Unresolved> {
    let mut bytes = Vec::new();
    while let Some(piece) = blob.chunk().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_blob_comes_in_pieces_and_waits_for_as_long_as_the_registry_does() {
    let server = Server::start().await;
    let wanted = digest(b"hello world");
    let head = "200 OK\r\ncontent-length: 11";
    server.answer(&blob_path(&wanted), head, &[b"hello ", b"world"]);
    let mut blob = registry().blob(&server.image(), &wanted).await.unwrap();
    assert_eq!(blob.size(), Some(11));
    assert_eq!(&blob.chunk().await.unwrap().unwrap()[..], b"hello ");
    let waits = tokio::time::timeout(Duration::from_millis(100), blob.chunk()).await;
    assert!(waits.is_err(), "rate and time are the caller's");
    server.go_on.notify_one();
    assert_eq!(whole(blob).await.unwrap(), b"world");

    server.answer(
        &blob_path(&wanted),
        "200 OK\r\ntransfer-encoding: chunked",
        &[b"1\r\nx\r\n0\r\n\r\n"],
    );
    let blob = registry().blob(&server.image(), &wanted).await.unwrap();
    assert_eq!(blob.size(), None);
    assert_eq!(whole(blob).await.unwrap(), b"x", "its digest is the caller's to check");
}

#[tokio::test]
async fn a_blob_that_breaks_off_is_the_registrys_fault() {
    let server = Server::start().await;
    let wanted = digest(b"");
    server.answer(&blob_path(&wanted), "200 OK\r\ncontent-length: 11", &[b"hello"]);
    let blob = registry().blob(&server.image(), &wanted).await.unwrap();
    assert_eq!(code(whole(blob).await.unwrap_err()), "registry_down");
    for (status, expected) in [
        ("404 Not Found", "image_not_found"),
        ("403 Forbidden", "image_private"),
        ("429 Too Many Requests", "registry_limited"),
        ("500 Internal Server Error", "registry_down"),
        ("304 Not Modified", "registry_down"),
    ] {
        server.answer(&blob_path(&wanted), &format!("{status}\r\ncontent-length: 0"), &[]);
        let refused = registry().blob(&server.image(), &wanted).await.unwrap_err();
        assert_eq!(code(refused), expected, "{status}");
    }
}

#[tokio::test]
async fn the_way_to_a_blob_is_by_the_registrys_hosts_and_the_token_stays_there() {
    let (server, other) = (Server::start().await, Server::start().await);
    let wanted = digest(b"blob");
    let head = "200 OK\r\ncontent-length: 4";
    server.answer("/elsewhere", head, &[b"blob"]);
    other.answer("/elsewhere", head, &[b"blob"]);
    let to = |to: String| format!("307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0");
    server.answer(&blob_path(&wanted), &to("/elsewhere".to_owned()), &[]);
    let blob = registry().blob(&server.image(), &wanted).await.unwrap();
    assert_eq!(whole(blob).await.unwrap(), b"blob");

    for scheme in ["http", "https", "ftp"] {
        let there = format!("{scheme}://{}/elsewhere", other.address);
        server.answer(&blob_path(&wanted), &to(there), &[]);
        let refused = registry().blob(&server.image(), &wanted).await.unwrap_err();
        assert_eq!(code(refused), "image_host_denied", "{scheme}");
    }
    assert_eq!(other.heads(), Vec::<String>::new());
    // The control: the other server is there for whoever is allowed to ask it.
    let image: ImageRef = format!("{}/a/b", other.address).parse().unwrap();
    assert!(registry().blob(&image, &wanted).await.is_err());
    assert_eq!(other.heads().len(), 1);
}

#[tokio::test]
async fn a_token_is_asked_for_once_in_a_conversation_and_kept_out_of_the_way() {
    let server = Server::start().await;
    let wanted = digest(b"blob");
    let realm = format!("http://{}/token?x=1", server.address);
    let challenge = format!(
        "401 Unauthorized\r\ncontent-length: 0\r\n\
         www-authenticate: Bearer realm=\"{realm}\",service=\"s\""
    );
    server.answer(&blob_path(&wanted), &challenge, &[]);
    let body = br#"{"token":"secret-token"}"#;
    let head = format!("200 OK\r\ncontent-length: {}", body.len());
    server.answer("/token?x=1&service=s&scope=repository%3aa%2fb%3apull", &head, &[body]);
    let refused = registry().blob(&server.image(), &wanted).await.unwrap_err();
    assert_eq!(code(refused), "image_private", "a token that does not help is no reason to go on");
    let heads = server.heads();
    let authorized = |head: &String| head.contains("authorization: bearer secret-token");
    assert_eq!(heads.iter().map(authorized).collect::<Vec<_>>(), [false, false, true]);
    for head in heads {
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        assert!(!head.contains("referer:") && !head.contains("cookie:"), "{head}");
    }
}

fn limits() -> ImageLimits {
    ImageLimits { max_bytes: 100, max_layers: 2, architecture: "amd64".to_owned() }
}

fn document(layers: usize, size: u64) -> Value {
    let kind = "application/vnd.oci.image.layer.v1.tar+zstd";
    let layer = json!({ "mediaType": kind, "digest": digest(b"layer").as_str(), "size": size });
    json!({ "schemaVersion": 2,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": digest(b"config").as_str(), "size": 6 },
        "layers": vec![layer; layers] })
}

#[tokio::test]
async fn the_manifest_that_was_pinned_is_checked_again() {
    let server = Server::start().await;
    let ask = async |digest: &Digest| {
        registry().manifest(&server.image(), digest, &limits(), WITHIN).await
    };
    let good = server.document(MANIFEST, &document(2, 50));
    let raw = ask(&good).await.unwrap();
    assert_eq!((digest(&raw.body), raw.media_type.as_str()), (good.clone(), MANIFEST));
    assert_eq!((raw.manifest.size(), raw.manifest.config_size), (100, 6));
    assert_eq!(raw.manifest.layers[1].compression, Compression::Zstd);
    assert_eq!(raw.manifest.config, digest(b"config"));

    for (document, kind, expected) in [
        (document(2, 51), MANIFEST, "image_too_large"),
        (document(3, 1), MANIFEST, "image_too_many_layers"),
        (document(1, 1), "text/html", "image_manifest_invalid"),
        (json!({ "schemaVersion": 2, "manifests": [] }), INDEX, "image_wrong_platform"),
    ] {
        let digest = server.document(kind, &document);
        assert_eq!(code(ask(&digest).await.unwrap_err()), expected, "{document}");
    }
    let platform = json!({ "os": "linux", "architecture": "amd64" });
    let entry =
        json!({ "mediaType": MANIFEST, "digest": good.as_str(), "size": 1, "platform": platform });
    let index = server.document(INDEX, &json!({ "schemaVersion": 2, "manifests": [entry] }));
    assert_eq!(code(ask(&index).await.unwrap_err()), "image_manifest_invalid", "it pins no index");

    // Another document under the digest that was pinned is no fault of the participant's.
    let pinned = digest(b"another document");
    let answer = server.answers.lock().unwrap()[&format!("/v2/a/b/manifests/{good}")].clone();
    server.answers.lock().unwrap().insert(format!("/v2/a/b/manifests/{pinned}"), answer);
    assert_eq!(code(ask(&pinned).await.unwrap_err()), "registry_down");
}
