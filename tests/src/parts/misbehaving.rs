//! A registry on loopback, in plain HTTP, that does what a hostile or broken one would. The first
//! part of a repository's name chooses what; what follows it is free, so that tests can have
//! names of their own (`flip/alice`). Each name holds the image that it was started with, under
//! the tag `1`, unless the table says otherwise.
//!
//! | name | what it does |
//! | --- | --- |
//! | `good`, or any other | nothing wrong |
//! | `index` | the image behind a list of several platforms |
//! | `linked` | every answer has a `Link` to the lure, as paging has |
//! | `flip` | the tag stands for another image from the second time on |
//! | `missing` | 404 for all; `noconfig`: 404 for the configuration; `nolayer`: for layers |
//! | `private`, `forbidden` | 401 `Basic`; 403 |
//! | `token` | wants a token of its own service; `locked`: and does not take it |
//! | `badtoken`, `hugetoken` | the token is no JSON; the token service's answer is 1 MiB |
//! | `realm` | the token service is the lure; `realm429`: its own limits us |
//! | `redirect`, `moved` | blobs are at the lure (307); the manifest is |
//! | `userinfo` | the manifest is at an address with a password in it |
//! | `hops3`, `hops4`, `loop` | the manifest is so many redirects away |
//! | `nowhere` | a redirect without an address |
//! | `r429`, `r503` | limits us, or is down; `Retry-After: 3600` |
//! | `stall` | says nothing at all; `stallblob`: ends in the middle of each layer, and waits |
//! | `slow` | layers at 10 bytes a second; `drip`: the manifest |
//! | `truncated` | hangs up in the middle of the manifest; `cutblob`: of each layer |
//! | `endless` | the manifest is followed by white space without end; `endlesshead`: no head ends |
//! | `hugemanifest` | the manifest is followed by 64 MiB of white space |
//! | `badjson`, `deep` | the manifest is cut; is 100,000 lists inside each other |
//! | `notype`, `html` | the manifest has no media type; is said to be a page |
//! | `gzipped` | the manifest comes compressed |
//! | `lie` | names another digest than the manifest has |
//! | `swap` | answers the digest that the list names with another manifest |
//! | `otherconfig`, `otherlayer` | answers with other blobs than were asked for |
//! | `nolayers`, `500layers` | the image has none; has 500 |
//! | `huge`, `foreign` | a layer of 40 GB; a layer that is elsewhere |
//! | `otherarch` | the image is for s390x |
//! | `noplatform`, `attestations`, `nested` | a list without platforms; of attestations; of a list |
//! | `bomb`, `zbomb` | one layer that unpacks to 1 GiB: gzip, Zstandard |

pub mod bombs;
mod http;
mod lure;
mod site;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use self::http::{Answer, silence};
pub use self::{
    http::Request,
    lure::{Lure, Visit},
    site::{Document, Draft},
};
use crate::image::{Recipe, digest};

/// A digest of nothing that is there.
const NOTHING: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// Ten bytes a second.
const DRIP: Duration = Duration::from_millis(100);
/// More than anybody reads of a manifest, in bytes.
const ENDLESS: u64 = u64::MAX;
const HUGE_MANIFEST: u64 = 64 * 1024 * 1024;
const DEEP: usize = 100_000;

/// A registry that misbehaves.
#[derive(Debug)]
pub struct Misbehaving {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    host: String,
    lure: String,
    good: Draft,
    layers: BTreeMap<String, Vec<u8>>,
    sites: Mutex<BTreeMap<String, site::Site>>,
    requests: Mutex<Vec<Request>>,
}

impl Misbehaving {
    /// One that holds this image, and leads its clients to this lure.
    ///
    /// # Errors
    /// When the image cannot be packed, or there is no free port.
    pub async fn start(image: &Recipe, lure: &Lure) -> Result<Self> {
        let packed = image.pack()?;
        let good = Draft::of(&packed).await?;
        let mut layers = BTreeMap::new();
        for blob in packed.blobs.iter().skip(1) {
            layers.insert(blob.digest.clone(), blob.read().await?);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            host: address.to_string(),
            lure: lure.host(),
            good,
            layers,
            sites: Mutex::default(),
            requests: Mutex::default(),
        });
        let told = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&told)));
            }
        });
        Ok(Self { address, state, task })
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The reference that a participant submits for a name.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}:1", self.address)
    }

    /// The image that it was started with, to be made worse.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.state.good.clone()
    }

    /// Serves this image under a name, beside what the name does; its reference.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn put(&self, name: &str, draft: &Draft) -> Result<String> {
        let site = site::Site::image(draft, &self.state.layers)?;
        self.state.sites().insert(name.to_owned(), site);
        Ok(self.reference(name))
    }

    /// Serves this document as the tag `1` of a name, and what else the name holds as before.
    ///
    /// # Errors
    /// When the name's image cannot be made.
    pub fn put_document(&self, name: &str, document: Document) -> Result<String> {
        self.state.with_site(name, |site| drop(site.put("1", document)))?;
        Ok(self.reference(name))
    }

    /// Serves these bytes as a configuration, with a manifest that points to them.
    ///
    /// # Errors
    /// When the manifest cannot be written as JSON.
    pub fn put_config(&self, name: &str, config: &[u8]) -> Result<String> {
        let about = |draft: Draft| {
            draft
                .manifest("/config/digest", json!(digest(config)))
                .manifest("/config/size", json!(config.len()))
        };
        let reference = self.put(name, &about(self.draft()))?;
        let blob = (digest(config), config.to_vec());
        self.state.with_site(name, |site| site.blobs.extend([blob]))?;
        Ok(reference)
    }

    /// The document that the tag `1` of a name stands for (the first time).
    ///
    /// # Errors
    /// When the name's image cannot be made.
    pub fn manifest(&self, name: &str) -> Result<Vec<u8>> {
        let manifest = self.state.with_site(name, |site| site.documents.get("1").cloned())?;
        Ok(manifest.context("a name without the tag 1")?.bytes)
    }

    /// Its digest.
    ///
    /// # Errors
    /// When the name's image cannot be made.
    pub fn digest(&self, name: &str) -> Result<String> {
        Ok(digest(&self.manifest(name)?))
    }

    /// What was asked so far for names that begin with this, in order.
    #[must_use]
    pub fn requests(&self, name: &str) -> Vec<Request> {
        let under = format!("/v2/{name}");
        let requests = self.state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| request.path.starts_with(&under)).cloned().collect()
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn sites(&self) -> MutexGuard<'_, BTreeMap<String, site::Site>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_site<T>(&self, name: &str, with: impl FnOnce(&mut site::Site) -> T) -> Result<T> {
        let mut sites = self.sites();
        let site = match sites.entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let trick = name.split('/').next().unwrap_or_default();
                entry.insert(site::Site::named(trick, &self.good, &self.layers)?)
            }
        };
        Ok(with(site))
    }

    /// How often this path was asked for, this time included.
    fn keep(&self, request: &Request) -> usize {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request.clone());
        requests.iter().filter(|kept| kept.path == request.path).count()
    }
}

/// What a request is for.
struct Wanted<'a> {
    stream: &'a mut TcpStream,
    state: &'a State,
    name: &'a str,
    trick: &'a str,
    reference: &'a str,
    request: &'a Request,
    /// How often it was asked for the same.
    times: usize,
}

/// Who asks may hang up at any time.
async fn serve(mut stream: TcpStream, state: Arc<State>) -> Option<()> {
    let request = http::read(&mut stream).await?;
    let times = state.keep(&request);
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if let Some(trick) = path.strip_prefix("/token/") {
        return token(&mut stream, trick).await;
    }
    let Some(rest) = path.strip_prefix("/v2/").filter(|rest| !rest.is_empty()) else {
        return Answer::new("200 OK").send(&mut stream).await;
    };
    let is_manifest = rest.contains("/manifests/");
    let separator = if is_manifest { "/manifests/" } else { "/blobs/" };
    let Some((name, reference)) = rest.split_once(separator) else {
        return Answer::new("404 Not Found").send(&mut stream).await;
    };
    let trick = name.split('/').next().unwrap_or_default();
    let (state, request) = (state.as_ref(), &request);
    let mut wanted = Wanted { stream: &mut stream, state, name, trick, reference, request, times };
    if wanted.turned_away().await? {
        return Some(());
    }
    match is_manifest {
        true => wanted.manifest(query).await,
        false => wanted.blob().await,
    }
}

async fn token(stream: &mut TcpStream, trick: &str) -> Option<()> {
    let huge = vec![b' '; 1024 * 1024];
    let answer = match trick {
        "badtoken" => Answer::new("200 OK").body(b"{\"token\""),
        "hugetoken" => Answer::new("200 OK").body(&huge),
        "realm429" => Answer::new("429 Too Many Requests").field("retry-after: 3600"),
        _ => Answer::new("200 OK").body(b"{\"token\":\"of-this-registry\"}"),
    };
    answer.field("content-type: application/json").send(stream).await
}

impl Wanted<'_> {
    /// What a name does to whoever asks for anything; whether it has.
    async fn turned_away(&mut self) -> Option<bool> {
        let (lure, host) = (&self.state.lure, &self.state.host);
        let bearer = |realm: String| {
            let wants = format!("www-authenticate: Bearer realm=\"{realm}\",service=\"test\"");
            Answer::new("401 Unauthorized").field(wants)
        };
        let known = self.request.authorization.as_deref() == Some("Bearer of-this-registry");
        let answer = match self.trick {
            "stall" => {
                silence(self.stream).await?;
                return Some(true);
            }
            "endlesshead" => {
                Answer::new("200 OK").go_on_with_fields(self.stream).await?;
                return Some(true);
            }
            "missing" => Answer::new("404 Not Found"),
            "forbidden" => Answer::new("403 Forbidden"),
            "private" => {
                Answer::new("401 Unauthorized").field("www-authenticate: Basic realm=\"x\"")
            }
            "r429" => Answer::new("429 Too Many Requests").field("retry-after: 3600"),
            "r503" => Answer::new("503 Service Unavailable").field("retry-after: 3600"),
            "realm" => bearer(format!("http://{lure}/token")),
            "token" if known => return Some(false),
            "token" | "locked" | "badtoken" | "hugetoken" | "realm429" => {
                bearer(format!("http://{host}/token/{}", self.trick))
            }
            _ => return Some(false),
        };
        answer.send(self.stream).await?;
        Some(true)
    }

    async fn manifest(&mut self, query: &str) -> Option<()> {
        let by_tag = !self.reference.starts_with("sha256:");
        let key = match (self.trick, by_tag) {
            ("swap", false) => "1",
            _ => self.reference,
        };
        let found = self.state.with_site(self.name, |site| site.documents.get(key).cloned());
        let Some(mut document) = found.ok()? else {
            return Answer::new("404 Not Found").send(self.stream).await;
        };
        if self.trick == "flip" && by_tag && self.times > 1 {
            document = self.flipped()?;
        }
        if let Some(answer) = self.sent_elsewhere(query) {
            return answer.send(self.stream).await;
        }
        let named = match self.trick {
            "lie" => NOTHING.to_owned(),
            _ => digest(&document.bytes),
        };
        let media_type = match self.trick {
            "html" => "text/html; charset=utf-8",
            _ => &document.media_type,
        };
        let deep = "[".repeat(DEEP);
        let body = match self.trick {
            "badjson" => &document.bytes[..document.bytes.len() / 2],
            "deep" => deep.as_bytes(),
            _ => &document.bytes,
        };
        let mut answer = Answer::new("200 OK").body(body);
        if self.trick != "notype" {
            answer = answer.field(format!("content-type: {media_type}"));
        }
        if !matches!(self.trick, "badjson" | "deep") {
            answer = answer.field(format!("docker-content-digest: {named}"));
        }
        let gzipped;
        match self.trick {
            "linked" => {
                answer =
                    answer.field(format!("link: <http://{}/x>; rel=\"next\"", self.state.lure));
                answer.send(self.stream).await
            }
            "gzipped" => {
                gzipped = gzip(body)?;
                answer.field("content-encoding: gzip").body(&gzipped).send(self.stream).await
            }
            "drip" => answer.drip(self.stream, DRIP).await,
            "truncated" => answer.send_part(self.stream, body.len() / 2).await,
            "endless" => answer.go_on(self.stream, ENDLESS).await,
            "hugemanifest" => answer.go_on(self.stream, HUGE_MANIFEST).await,
            _ => answer.send(self.stream).await,
        }
    }

    /// The redirect that the name answers with, if it does.
    fn sent_elsewhere(&self, query: &str) -> Option<Answer<'static>> {
        let here = format!("/v2/{}/manifests/{}", self.name, self.reference);
        let hops = |most: usize| {
            let done: usize = query.strip_prefix("hop=").and_then(|n| n.parse().ok()).unwrap_or(0);
            (done < most).then(|| format!("{here}?hop={}", done + 1))
        };
        let to = match self.trick {
            "moved" => format!("http://{}{here}", self.state.lure),
            "userinfo" => format!("http://user:secret@{}{here}?hop=1", self.state.host),
            "hops3" => hops(3)?,
            "hops4" => hops(4)?,
            "loop" => here,
            "nowhere" => return Some(Answer::new("307 Temporary Redirect")),
            _ => return None,
        };
        Some(Answer::new("307 Temporary Redirect").field(format!("location: {to}")))
    }

    /// The other image that the tag stands for later: without what the first one was told, so that it
    /// answers otherwise, if at all.
    fn flipped(&self) -> Option<Document> {
        let label = json!({ "time": self.times.to_string() });
        let draft = self.state.good.clone().config("/config/Labels", label);
        let draft = draft.config("/config/Env", json!([]));
        let other = site::Site::image(&draft, &self.state.layers).ok()?;
        let document = other.documents.get("1").cloned()?;
        let kept = self.state.with_site(self.name, |site| {
            site.documents.insert(digest(&document.bytes), document.clone());
            site.blobs.extend(other.blobs);
        });
        kept.ok().map(|()| document)
    }

    async fn blob(&mut self) -> Option<()> {
        let found = self.state.with_site(self.name, |site| {
            (site.blobs.get(self.reference).cloned(), site.config == self.reference)
        });
        let (blob, is_config) = found.ok()?;
        let gone = match self.trick {
            "noconfig" => is_config,
            "nolayer" => !is_config,
            _ => false,
        };
        let Some(mut blob) = blob.filter(|_| !gone) else {
            return Answer::new("404 Not Found").send(self.stream).await;
        };
        if matches!((self.trick, is_config), ("otherconfig", true) | ("otherlayer", false)) {
            // As long as it should be, and another.
            let last = blob.len().checked_sub(2)?;
            blob[last] ^= 1;
        }
        let answer = Answer::new("200 OK").field("content-type: application/octet-stream");
        let answer = answer.body(&blob);
        match (self.trick, is_config) {
            ("redirect", _) => {
                let to = format!("location: http://{}{}", self.state.lure, self.request.path);
                Answer::new("307 Temporary Redirect").field(to).send(self.stream).await
            }
            ("stallblob", false) => {
                answer.send_part(self.stream, blob.len() / 2).await?;
                silence(self.stream).await
            }
            ("cutblob", false) => answer.send_part(self.stream, blob.len() / 2).await,
            ("slow", false) => answer.drip(self.stream, DRIP).await,
            _ => answer.send(self.stream).await,
        }
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).ok()?;
    packer.finish().ok()
}

#[cfg(test)]
mod tests;
