//! The HTTP side of a registry (OCI distribution specification 1.1, Docker's token scheme).

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
    redirect,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Unresolved, down, manifest, refuse};
use crate::domain::{
    image::{Digest, ImageRef, RegistryHost},
    verdict::{LONGEST_DELAY, ParticipantCode, RegistryCode, RegistryFault},
};

/// Longest way by redirects to a blob.
const MAX_HOPS: usize = 3;
/// Largest answer of a token service that is read, in bytes.
const MAX_TOKEN: usize = 64 * 1024;

/// Hosts that a registry is known to send its clients to, for tokens and for blobs. A name that
/// begins with a dot stands for every host under it.
const KNOWN: [(&str, &[&str]); 3] = [
    ("docker.io", &["auth.docker.io", ".docker.io", ".docker.com", ".r2.cloudflarestorage.com"]),
    ("ghcr.io", &["pkg-containers.githubusercontent.com"]),
    ("quay.io", &[".quay.io"]),
];

#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    plain: Vec<RegistryHost>,
}

/// One image's conversation with its registry: it keeps the token.
pub(super) struct Session<'a> {
    client: &'a Client,
    image: &'a ImageRef,
    token: Option<String>,
}

/// A manifest as it came.
pub(super) struct RawManifest {
    pub(super) body: Vec<u8>,
    pub(super) media_type: String,
}

impl RawManifest {
    /// Its digest, which must be the one that was asked for, if one was.
    pub(super) fn digest(&self, asked: Option<&Digest>) -> Result<Digest, Unresolved> {
        let found = digest_of(&self.body)?;
        match asked {
            Some(asked) if *asked != found => {
                Err(down("the registry answered with another manifest than was asked for"))
            }
            _ => Ok(found),
        }
    }
}

fn digest_of(body: &[u8]) -> Result<Digest, Unresolved> {
    let hex = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("sha256:{hex}").parse().map_err(|_| down("cannot compute a digest"))
}

impl Client {
    pub(super) fn new(plain: Vec<RegistryHost>) -> Self {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(5))
            .user_agent(concat!("portcall/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the builder's settings are constants that are valid together");
        Self { http, plain }
    }

    pub(super) fn session<'a>(&'a self, image: &'a ImageRef) -> Session<'a> {
        Session { client: self, image, token: None }
    }

    fn base(&self, host: &RegistryHost) -> String {
        if host.as_str() == "docker.io" {
            return "https://registry-1.docker.io".to_owned();
        }
        let plain = host.is_loopback() || self.plain.contains(host);
        format!("{}://{host}", if plain { "http" } else { "https" })
    }
}

impl Session<'_> {
    pub(super) async fn manifest(&mut self, reference: &str) -> Result<RawManifest, Unresolved> {
        let base = self.client.base(self.image.host());
        let url = format!("{base}/v2/{}/manifests/{reference}", self.image.path());
        let accept = manifest::ACCEPTED.join(", ");
        let response = self.get(&url, &accept).await?;
        let media_type = header(&response, CONTENT_TYPE.as_str()).unwrap_or_default();
        let too_large = || {
            let message = format!("its manifest is larger than {} bytes", manifest::MAX_MANIFEST);
            refuse(ParticipantCode::ImageManifestInvalid, message)
        };
        let body = self.body(response, manifest::MAX_MANIFEST).await?.ok_or_else(too_large)?;
        Ok(RawManifest { body, media_type })
    }

    /// A small blob, checked against its digest.
    pub(super) async fn blob(
        &mut self,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<u8>, Unresolved> {
        let base = self.client.base(self.image.host());
        let url = format!("{base}/v2/{}/blobs/{digest}", self.image.path());
        let mut response = self.get(&url, "*/*").await?;
        for _ in 0..MAX_HOPS {
            if !response.status().is_redirection() {
                break;
            }
            let from = response.url().clone();
            let to = header(&response, LOCATION.as_str()).unwrap_or_default();
            let to = from.join(&to).map_err(|_| down("the registry redirects to nowhere"))?;
            self.check_host(&to)?;
            // Without the token: it is for the registry alone.
            let request = self.client.http.get(to);
            response = request.send().await.map_err(|e| self.unreachable(&e))?;
        }
        if !response.status().is_success() {
            return Err(self.refusal(&response));
        }
        let too_large = || {
            let message = format!("its configuration is larger than {limit} bytes");
            refuse(ParticipantCode::ImageConfigRefused, message)
        };
        let body = self.body(response, limit).await?.ok_or_else(too_large)?;
        if digest_of(&body)? == *digest {
            Ok(body)
        } else {
            Err(down("the registry answered with another blob than was asked for"))
        }
    }

    /// Asks, with an anonymous token if the registry wants one. Redirects come back as they are.
    async fn get(&mut self, url: &str, accept: &str) -> Result<Response, Unresolved> {
        let response = self.send(url, accept).await?;
        if response.status() != StatusCode::UNAUTHORIZED || self.token.is_some() {
            return self.accepted(response);
        }
        let challenge = header(&response, WWW_AUTHENTICATE.as_str()).unwrap_or_default();
        self.token = Some(self.ask_for_token(&challenge).await?);
        let response = self.send(url, accept).await?;
        self.accepted(response)
    }

    async fn send(&self, url: &str, accept: &str) -> Result<Response, Unresolved> {
        let mut request = self.client.http.get(url).header(ACCEPT, accept);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    fn accepted(&self, response: Response) -> Result<Response, Unresolved> {
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            Ok(response)
        } else {
            Err(self.refusal(&response))
        }
    }

    async fn ask_for_token(&self, challenge: &str) -> Result<String, Unresolved> {
        let private = || {
            let message = format!("{} wants credentials for this image", self.image.host());
            refuse(ParticipantCode::ImagePrivate, message)
        };
        let fields = bearer(challenge).ok_or_else(private)?;
        let realm = fields.get("realm").ok_or_else(private)?;
        let mut realm = Url::parse(realm).map_err(|_| down("the token service has no address"))?;
        self.check_host(&realm)?;
        {
            let mut query = realm.query_pairs_mut();
            if let Some(service) = fields.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &format!("repository:{}:pull", self.image.path()));
        }
        let response =
            self.client.http.get(realm).send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(&response));
        }
        let body = self.body(response, MAX_TOKEN).await?;
        let body = body.ok_or_else(|| down("the token service's answer is too large"))?;
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let token: Token = serde_json::from_slice(&body)
            .map_err(|_| down("the token service's answer is not valid"))?;
        token.token.or(token.access_token).ok_or_else(private)
    }

    /// Refuses to go where the registry is not known to send its clients.
    fn check_host(&self, url: &Url) -> Result<(), Unresolved> {
        let registry = self.image.host();
        let own = Url::parse(&self.client.base(registry)).ok();
        let same = own.as_ref().is_some_and(|own| own.origin() == url.origin());
        let host = url.host_str().unwrap_or_default();
        let known = KNOWN
            .iter()
            .filter(|(name, _)| *name == registry.as_str())
            .flat_map(|(_, hosts)| hosts.iter())
            .any(|known| host == *known || (known.starts_with('.') && host.ends_with(known)));
        let secure = url.scheme() == "https" && url.port_or_known_default() == Some(443);
        if same || (known && secure) {
            return Ok(());
        }
        let host: String = host.chars().take(80).collect();
        let message = format!("{registry} sends its clients to `{host}`, which is not allowed");
        Err(refuse(ParticipantCode::ImageHostDenied, message))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Unresolved {
        let host = self.image.host();
        tracing::debug!(registry.host = %host, %error, "registry did not answer");
        down(match error.is_timeout() {
            true => format!("{host} did not answer in time"),
            false => format!("{host} cannot be reached"),
        })
    }

    fn refusal(&self, response: &Response) -> Unresolved {
        let (host, image) = (self.image.host(), self.image);
        match response.status() {
            StatusCode::NOT_FOUND => {
                let message = format!("{host} has no image `{image}`");
                refuse(ParticipantCode::ImageNotFound, message)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let message = format!("`{image}` does not exist at {host}, or it is private");
                refuse(ParticipantCode::ImagePrivate, message)
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = header(response, RETRY_AFTER.as_str()).and_then(|v| v.parse().ok());
                Unresolved::Registry(RegistryFault {
                    code: RegistryCode::RegistryLimited,
                    message: format!("{host} limits how often we may ask"),
                    retry_after: seconds.map(|s| Duration::from_secs(s).min(LONGEST_DELAY)),
                })
            }
            status if status.is_client_error() => {
                let message = format!("{host} refuses `{image}` with status {}", status.as_u16());
                refuse(ParticipantCode::ImageNotFound, message)
            }
            status => down(format!("{host} answered with status {}", status.as_u16())),
        }
    }

    /// The body, if it keeps to the limit. More is not read.
    async fn body(&self, response: Response, limit: usize) -> Result<Option<Vec<u8>>, Unresolved> {
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| self.unreachable(&e))?;
            if body.len() + chunk.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// The fields of a `Bearer` challenge (RFC 6750 §3).
fn bearer(challenge: &str) -> Option<BTreeMap<String, String>> {
    let (scheme, rest) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut fields = BTreeMap::new();
    let mut rest = rest;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        fields.insert(name.trim_matches([' ', ',']).to_lowercase(), value.to_owned());
        rest = after;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let fields = bearer(r#"Bearer realm="https://a.test/t",service="s",scope="x:y:pull""#);
        let fields = fields.unwrap();
        assert_eq!(fields["realm"], "https://a.test/t");
        assert_eq!(fields["service"], "s");
        assert_eq!(bearer("Basic realm=\"x\""), None);
    }

    #[test]
    fn only_known_hosts_are_gone_to() {
        crate::tls::install_provider();
        let client = Client::new(Vec::new());
        let goes = |image: &str, url: &str| {
            let image: ImageRef = image.parse().unwrap();
            client.session(&image).check_host(&Url::parse(url).unwrap()).is_ok()
        };
        assert!(goes("u/app", "https://auth.docker.io/token"));
        assert!(goes("ghcr.io/u/app", "https://ghcr.io/token"));
        assert!(goes("127.0.0.1:5000/app", "http://127.0.0.1:5000/token"));
        assert!(!goes("127.0.0.1:5000/app", "http://127.0.0.1:2375/token"));
        assert!(!goes("u/app", "http://auth.docker.io/token"));
        assert!(!goes("u/app", "https://auth.docker.io.evil.test/token"));
        assert!(!goes("u/app", "https://169.254.169.254/token"));
        assert!(!goes("u/app", "https://auth.docker.io:8443/token"));
        assert!(!goes("ghcr.io/u/app", "https://localhost/"));
    }
}
