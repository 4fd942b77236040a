//! The platform's own registry: what is there, and putting things into it (OCI distribution
//! specification 1.1, "Push" and "Content Management").
//!
//! It is ours and trusted: whatever goes wrong with it is the platform's fault. A blob is sent
//! while it is still being looked at, and kept only by [`Upload::commit`].

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use reqwest::{
    Body, Client, Method, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
    redirect,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::domain::image::{Digest, RegistryHost};

/// How long the registry has for one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How many pieces of a blob wait to be sent.
const PIECES: usize = 4;
/// How much of a refusal is read, in bytes.
const REFUSAL: usize = 4096;

/// Why our own registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It cannot be reached, or the connection broke.
    #[error("cannot {doing} at our own registry")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// It did not answer in time.
    #[error("our own registry took longer than {} s to {doing}", ANSWER.as_secs())]
    Late {
        /// What was being done.
        doing: &'static str,
    },
    /// It refused.
    #[error("our own registry refused to {doing} with status {status}: {codes}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The HTTP status.
        status: u16,
        /// The error codes of its answer.
        codes: String,
    },
    /// Its answer is not what the specification has.
    #[error("our own registry gave no place for an upload")]
    Answer,
}

/// What became of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Stored,
    /// A blob that it names is not there.
    BlobUnknown,
    /// It is none: the registry's reader is stricter than ours.
    Invalid,
}

/// Whether something was there to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was, and is no longer.
    Yes,
    /// It was not there.
    NotThere,
}

/// One repository of our own registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OwnRegistry {
    http: Client,
    base: String,
    name: String,
}

impl OwnRegistry {
    /// A client that speaks plain HTTP to loopback and to these hosts, HTTPS to all others.
    #[must_use]
    pub fn new(host: &RegistryHost, repository: &str, plain_http: &[RegistryHost]) -> Self {
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .user_agent(concat!("portcall/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the builder's settings are constants that are valid together");
        let plain = host.is_loopback() || plain_http.contains(host);
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{repository}");
        Self { http, base, name: format!("{host}/{repository}") }
    }

    /// The name by which engines pull a manifest from it.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name)
    }

    /// Whether it has a manifest.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool, PushError> {
        self.has(&format!("{}/manifests/{digest}", self.base), "look for a manifest").await
    }

    /// Whether it has a blob.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, PushError> {
        self.has(&format!("{}/blobs/{digest}", self.base), "look for a blob").await
    }

    async fn has(&self, url: &str, doing: &'static str) -> Result<bool, PushError> {
        // Every kind of manifest: it answers only with what is asked for.
        let request = self.http.head(url).header("accept", super::manifest::ACCEPTED.join(", "));
        let response = send(request.send(), doing).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refusal(response, doing).await),
        }
    }

    /// Stores a manifest under its digest.
    ///
    /// # Errors
    /// When the registry refuses for another reason than the manifest or a missing blob.
    pub async fn put_manifest(
        &self,
        digest: &Digest,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Put, PushError> {
        let doing = "store a manifest";
        let url = format!("{}/manifests/{digest}", self.base);
        let request = self.http.put(url).header(CONTENT_TYPE, media_type).body(body);
        let response = send(request.send(), doing).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Put::Stored);
        }
        match refusal(response, doing).await {
            PushError::Refused { codes, .. } if codes.contains("BLOB_UNKNOWN") => {
                Ok(Put::BlobUnknown)
            }
            PushError::Refused { status: 400, codes, .. } if codes.contains("MANIFEST_INVALID") => {
                Ok(Put::Invalid)
            }
            error => Err(error),
        }
    }

    /// Deletes a manifest; its blobs stay until the registry collects its garbage.
    ///
    /// # Errors
    /// When the registry refuses, as it does where deleting is not enabled.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<Deleted, PushError> {
        self.delete(format!("{}/manifests/{digest}", self.base), "delete a manifest").await
    }

    /// Takes a blob out of the repository; its bytes stay until the registry collects its garbage.
    ///
    /// # Errors
    /// When the registry refuses, as it does where deleting is not enabled.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<Deleted, PushError> {
        self.delete(format!("{}/blobs/{digest}", self.base), "delete a blob").await
    }

    async fn delete(&self, url: String, doing: &'static str) -> Result<Deleted, PushError> {
        let response = send(self.http.delete(url).send(), doing).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(Deleted::Yes),
            StatusCode::NOT_FOUND => Ok(Deleted::NotThere),
            _ => Err(refusal(response, doing).await),
        }
    }

    /// Begins to send a blob.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn begin(&self) -> Result<Upload, PushError> {
        let doing = "begin an upload";
        let url = format!("{}/blobs/uploads/", self.base);
        let request = self.http.post(url).header(CONTENT_LENGTH, 0);
        let response = send(request.send(), doing).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(refusal(response, doing).await);
        }
        let place = location(&response)?;
        let (pieces, to_send) = mpsc::channel::<Bytes>(PIECES);
        let body = Body::wrap_stream(stream::unfold(to_send, |mut to_send| async {
            let piece = to_send.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(piece), to_send))
        }));
        let patch = self.http.patch(place.clone()).body(body);
        let patch = patch.header(CONTENT_TYPE, "application/octet-stream").send();
        let sending = tokio::spawn(async move {
            let doing = "send a blob";
            let response =
                patch.await.map_err(|source| PushError::Unreachable { doing, source })?;
            match response.status() {
                StatusCode::ACCEPTED | StatusCode::NO_CONTENT => location(&response),
                _ => Err(refusal(response, doing).await),
            }
        });
        Ok(Upload { http: self.http.clone(), place, pieces: Some(pieces), sending: Some(sending) })
    }

    /// Stores a small blob.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn put_blob(&self, digest: &Digest, body: Vec<u8>) -> Result<(), PushError> {
        let mut upload = self.begin().await?;
        // One that takes no more says why when it is committed.
        let _ = upload.feed(body.into()).await;
        upload.commit(digest).await
    }
}

/// Whether an upload goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It does.
    Taken,
    /// The registry takes no more; [`Upload::failure`] says why.
    Over,
}

/// A blob on its way. It ends by [`Upload::commit`] or [`Upload::cancel`]; one that is only
/// dropped stays in the registry as unfinished until the registry clears such.
#[derive(Debug)]
pub struct Upload {
    http: Client,
    place: Url,
    pieces: Option<mpsc::Sender<Bytes>>,
    sending: Option<JoinHandle<Result<Url, PushError>>>,
}

impl Upload {
    /// Sends the next bytes, as fast as the registry takes them.
    pub async fn feed(&mut self, bytes: Bytes) -> Fed {
        match &self.pieces {
            Some(pieces) if pieces.send(bytes).await.is_ok() => Fed::Taken,
            _ => Fed::Over,
        }
    }

    /// Why the registry takes no more.
    pub async fn failure(&mut self) -> PushError {
        // An answer before the end that is no refusal makes no sense either.
        self.sent().await.err().unwrap_or(PushError::Answer)
    }

    /// Makes a blob of what was sent; the registry checks that it has this digest.
    ///
    /// # Errors
    /// When the registry did not take it.
    pub async fn commit(mut self, digest: &Digest) -> Result<(), PushError> {
        let doing = "keep a blob";
        let mut place = match self.sent().await {
            Ok(place) => place,
            Err(error) => {
                self.give_up().await?;
                return Err(error);
            }
        };
        place.query_pairs_mut().append_pair("digest", digest.as_str());
        let request = self.http.put(place).header(CONTENT_LENGTH, 0);
        let response = send(request.send(), doing).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(refusal(response, doing).await),
        }
    }

    /// Takes back what was sent: nothing of it is ever a blob.
    ///
    /// # Errors
    /// When the registry did not.
    pub async fn cancel(mut self) -> Result<(), PushError> {
        // It ends well, and is then deleted: an upload that breaks off is still being written
        // when it is to be deleted.
        if let Ok(place) = self.sent().await {
            self.place = place;
        }
        self.give_up().await
    }

    async fn give_up(&self) -> Result<(), PushError> {
        let doing = "cancel an upload";
        let request = self.http.request(Method::DELETE, self.place.clone());
        let response = send(request.header(CONTENT_LENGTH, 0).send(), doing).await?;
        match response.status() {
            StatusCode::NO_CONTENT | StatusCode::ACCEPTED | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(refusal(response, doing).await),
        }
    }

    /// Ends the body and waits for the answer to it.
    async fn sent(&mut self) -> Result<Url, PushError> {
        self.pieces = None;
        let doing = "send a blob";
        let Some(mut sending) = self.sending.take() else { return Err(PushError::Answer) };
        match timeout(ANSWER, &mut sending).await {
            Ok(Ok(sent)) => sent,
            // It does not panic, and nobody aborts it but the end of the process.
            Ok(Err(_)) => Err(PushError::Answer),
            Err(_) => {
                sending.abort();
                Err(PushError::Late { doing })
            }
        }
    }
}

async fn send(
    request: impl Future<Output = Result<Response, reqwest::Error>>,
    doing: &'static str,
) -> Result<Response, PushError> {
    match timeout(ANSWER, request).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(source)) => Err(PushError::Unreachable { doing, source }),
        Err(_) => Err(PushError::Late { doing }),
    }
}

fn location(response: &Response) -> Result<Url, PushError> {
    let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    place.and_then(|place| response.url().join(place).ok()).ok_or(PushError::Answer)
}

async fn refusal(mut response: Response, doing: &'static str) -> PushError {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL - body.len())]);
            if body.len() == REFUSAL {
                break;
            }
        }
    };
    // What is not there in time is not needed: it is for the log.
    let _ = timeout(ANSWER, read).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let errors = body["errors"].as_array().into_iter().flatten();
    let codes: Vec<&str> = errors.filter_map(|error| error["code"].as_str()).collect();
    PushError::Refused { doing, status, codes: codes.join(", ") }
}
