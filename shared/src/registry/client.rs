//! The HTTP side of a registry (OCI distribution specification 1.1, Docker's token scheme).
//!
//! Every request of a conversation leaves by one door ([`Session::ask`]), which knows where it may
//! go. The token is for the registry alone; redirects are followed by hand; nothing that came
//! compressed is unpacked; answers are read to a limit and no further. How long a conversation may
//! take is for the caller to say.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
    redirect,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Host;

use super::{
    Unresolved, down,
    headers::{challenge, header, retry_after},
    hosts::{self, Lookup, Names, Reach},
    manifest, refuse,
};
use crate::domain::{
    image::{Digest, ImageRef, RegistryHost},
    text::defused_line,
    verdict::{ParticipantCode, RegistryCode, RegistryFault},
};

/// Longest way by redirects to a manifest or blob.
const MAX_HOPS: usize = 3;
/// Largest answer of a token service that is read, in bytes.
const MAX_TOKEN: usize = 64 * 1024;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take until its body begins.
const ANSWERS: Duration = Duration::from_secs(5);

/// Registries of the operator's own, which may have any address.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Those that are spoken to in plain HTTP.
    pub(super) plain: Vec<RegistryHost>,
    /// Those that are spoken to in HTTPS.
    pub(super) private: Vec<RegistryHost>,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    /// For everybody's registries: connects to public addresses only.
    public: reqwest::Client,
    /// For the operator's.
    any: reqwest::Client,
    own: Own,
}

/// One image's conversation with its registry: it keeps the token.
pub(super) struct Session<'a> {
    client: &'a Client,
    image: &'a ImageRef,
    base: Url,
    token: Option<String>,
}

/// A manifest as it came.
pub(super) struct RawManifest {
    pub(super) body: Vec<u8>,
    pub(super) media_type: String,
    /// What the registry calls it.
    named: Option<String>,
}

impl RawManifest {
    /// Its digest, which must be the one that was asked for, if one was, and the one that the
    /// registry gave it, if it gave one.
    pub(super) fn digest(&self, asked: Option<&Digest>) -> Result<Digest, Unresolved> {
        let found = digest_of(&self.body)?;
        if asked.is_some_and(|asked| *asked != found) {
            return Err(down("the registry answered with another manifest than was asked for"));
        }
        let named = self.named.as_deref().filter(|named| named.starts_with("sha256:"));
        if named.is_some_and(|named| named != found.as_str()) {
            return Err(down("the registry gives a manifest another digest than it has"));
        }
        Ok(found)
    }
}

pub(super) fn digest_of(body: &[u8]) -> Result<Digest, Unresolved> {
    let hex = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("sha256:{hex}").parse().map_err(|_| down("cannot compute a digest"))
}

impl Client {
    pub(super) fn new(own: Own, lookup: Lookup) -> Self {
        let build = |reach| {
            reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT)
                .user_agent(concat!("portcall/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Names { lookup: Lookup::clone(&lookup), reach })
                .build()
                .expect("the builder's settings are constants that are valid together")
        };
        Self { public: build(Reach::Internet), any: build(Reach::Anywhere), own }
    }

    /// Begins a conversation.
    pub(super) fn session<'a>(&'a self, image: &'a ImageRef) -> Result<Session<'a>, Unresolved> {
        let host = image.host();
        let denied = |why: &str| {
            refuse(ParticipantCode::ImageHostDenied, format!("the registry `{host}` {why}"))
        };
        let base = self.base(host);
        let base = Url::parse(&base).map_err(|_| denied("has no address"))?;
        // `0x7f.1` and `127.1` are addresses to some readers of names, and hosts to others.
        let written = image.host().as_str().rsplit_once(':').map_or(host.as_str(), |(h, _)| h);
        if host.as_str() != "docker.io" && base.host_str() != Some(written) {
            return Err(denied("is written in an ambiguous way"));
        }
        Ok(Session { client: self, image, base, token: None })
    }

    fn base(&self, host: &RegistryHost) -> String {
        if host.as_str() == "docker.io" {
            return "https://registry-1.docker.io".to_owned();
        }
        let plain = host.is_loopback() || self.own.plain.contains(host);
        format!("{}://{host}", if plain { "http" } else { "https" })
    }

    /// Whether it is the operator's, or on this machine.
    fn is_own(&self, host: &RegistryHost) -> bool {
        host.is_loopback() || self.own.plain.contains(host) || self.own.private.contains(host)
    }
}

impl Session<'_> {
    /// A manifest or an index, by tag or digest.
    pub(super) async fn manifest(&mut self, reference: &str) -> Result<RawManifest, Unresolved> {
        let url = self.url("manifests", reference)?;
        let response = self.get(url, &manifest::ACCEPTED.join(", ")).await?;
        let media_type = header(&response, CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().map(str::trim).unwrap_or_default().to_owned();
        let named = header(&response, "docker-content-digest");
        let invalid = |message| refuse(ParticipantCode::ImageManifestInvalid, message);
        let encoding = header(&response, CONTENT_ENCODING.as_str()).unwrap_or_default();
        if !matches!(encoding.as_str(), "" | "identity") {
            return Err(invalid(format!("its manifest came compressed (`{}`)", cut(&encoding))));
        }
        let too_large =
            || invalid(format!("its manifest is larger than {} bytes", manifest::MAX_MANIFEST));
        let body = self.body(response, manifest::MAX_MANIFEST).await?.ok_or_else(too_large)?;
        Ok(RawManifest { body, media_type, named })
    }

    /// A small blob, checked against its digest; nothing if it is larger than the limit in bytes.
    pub(super) async fn small_blob(
        &mut self,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Unresolved> {
        let response = self.blob(digest).await?;
        let Some(body) = self.body(response, limit).await? else { return Ok(None) };
        if digest_of(&body)? == *digest {
            Ok(Some(body))
        } else {
            Err(down("the registry answered with another blob than was asked for"))
        }
    }

    /// A blob, of which nothing has been read yet.
    pub(super) async fn blob(&mut self, digest: &Digest) -> Result<Response, Unresolved> {
        let url = self.url("blobs", digest.as_str())?;
        self.get(url, "*/*").await
    }

    fn url(&self, kind: &str, reference: &str) -> Result<Url, Unresolved> {
        let path = format!("/v2/{}/{kind}/{reference}", self.image.path());
        self.base.join(&path).map_err(|_| down("the image's name makes no address"))
    }

    /// Asks the registry, with an anonymous token if it wants one, and goes where it sends us.
    async fn get(&mut self, url: Url, accept: &str) -> Result<Response, Unresolved> {
        let mut response = self.ask(url.clone(), accept).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.token.is_none() {
            let wanted = header(&response, "www-authenticate").unwrap_or_default();
            self.token = Some(self.ask_for_token(&wanted).await?);
            response = self.ask(url, accept).await?;
        }
        for _ in 0..MAX_HOPS {
            let Some(next) = target(&response)? else { break };
            response = self.ask(next, accept).await?;
        }
        if target(&response)?.is_some() {
            return Err(down(format!("{} sends us on and on", self.image.host())));
        }
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refusal(&response)),
        }
    }

    /// The one door: asks, if we may go there, and by the token only the registry.
    async fn ask(&self, url: Url, accept: &str) -> Result<Response, Unresolved> {
        let same = self.base.origin() == url.origin();
        self.check_host(&url)?;
        let own = same && self.client.is_own(self.image.host());
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if !own && literal.is_some_and(|address| !hosts::is_public(address)) {
            return Err(self.not_public(&url));
        }
        let http = if own { &self.client.any } else { &self.client.public };
        let mut request = http.get(url.clone()).header(ACCEPT, accept);
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token.as_ref().filter(|_| same) {
            request = request.bearer_auth(token);
        }
        match tokio::time::timeout(ANSWERS, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if hosts::is_not_public(&error) => Err(self.not_public(&url)),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(down(format!("{} did not answer in time", self.image.host()))),
        }
    }

    async fn ask_for_token(&self, wanted: &str) -> Result<String, Unresolved> {
        let private = || {
            let message = format!("{} wants credentials for this image", self.image.host());
            refuse(ParticipantCode::ImagePrivate, message)
        };
        let fields = challenge(wanted).ok_or_else(private)?;
        let realm = fields.get("realm").ok_or_else(private)?;
        let mut realm = Url::parse(realm).map_err(|_| down("the token service has no address"))?;
        {
            let mut query = realm.query_pairs_mut();
            if let Some(service) = fields.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &format!("repository:{}:pull", self.image.path()));
        }
        let response = self.ask(realm, "application/json").await?;
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
        let invalid = || down("the token service's answer is not valid");
        let token: Token = serde_json::from_slice(&body).map_err(|_| invalid())?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(private)?;
        match token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(token),
            false => Err(invalid()),
        }
    }

    /// Refuses to go where the registry is not known to send its clients.
    fn check_host(&self, url: &Url) -> Result<(), Unresolved> {
        let registry = self.image.host();
        let allowed = self.base.origin() == url.origin() || hosts::is_known(registry, url);
        let bare = url.username().is_empty() && url.password().is_none();
        if allowed && bare {
            return Ok(());
        }
        let to = cut(url.host_str().unwrap_or_default());
        let message = format!("{registry} sends its clients to `{to}`, which is not allowed");
        Err(refuse(ParticipantCode::ImageHostDenied, message))
    }

    fn not_public(&self, url: &Url) -> Unresolved {
        let host = cut(url.host_str().unwrap_or_default());
        tracing::warn!(
            registry.host = %self.image.host(), host,
            "a registry leads to an address that is not on the internet"
        );
        let message = format!("`{host}` has no address on the internet");
        refuse(ParticipantCode::ImageHostDenied, message)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Unresolved {
        unreachable(self.image.host(), error)
    }

    fn refusal(&self, response: &Response) -> Unresolved {
        let (host, image) = (self.image.host(), self.image);
        let busy = |code, message| {
            let retry_after = retry_after(response);
            Unresolved::Registry(RegistryFault { code, message, retry_after })
        };
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
                let message = format!("{host} limits how often we may ask");
                busy(RegistryCode::RegistryLimited, message)
            }
            status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
                let message = format!("{host} refuses `{image}` with status {}", status.as_u16());
                refuse(ParticipantCode::ImageNotFound, message)
            }
            status => {
                let message = format!("{host} answered with status {}", status.as_u16());
                busy(RegistryCode::RegistryDown, message)
            }
        }
    }

    /// The body, if it keeps to the limit. More is not read.
    async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Unresolved> {
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len() + chunk.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }
}

/// Where an answer sends us, if it does.
fn target(response: &Response) -> Result<Option<Url>, Unresolved> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let nowhere = || down("the registry redirects to nowhere");
    let to = header(response, LOCATION.as_str()).ok_or_else(nowhere)?;
    response.url().join(&to).map(Some).map_err(|_| nowhere())
}

fn unreachable(host: &RegistryHost, error: &reqwest::Error) -> Unresolved {
    tracing::debug!(registry.host = %host, %error, "registry did not answer");
    down(match error.is_timeout() {
        true => format!("{host} did not answer in time"),
        false => format!("{host} cannot be reached"),
    })
}

/// A stranger's word in a sentence or line of ours.
fn cut(text: &str) -> String {
    defused_line(text, 80)
}

/// A blob on its way. Dropping it ends the connection.
#[derive(Debug)]
pub struct Blob {
    response: Response,
    host: RegistryHost,
}

impl Blob {
    pub(super) fn new(response: Response, host: RegistryHost) -> Self {
        Self { response, host }
    }

    /// Its size in bytes, if the registry announces one; it may lie.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece, or nothing after the last. It waits as long as the registry takes: rate,
    /// wall time, number of bytes and digest are for the caller to check.
    ///
    /// # Errors
    /// When the registry breaks off, also before the announced size has come.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Unresolved> {
        self.response.chunk().await.map_err(|error| {
            tracing::debug!(registry.host = %self.host, %error, "registry broke off");
            down(format!("{} broke off while it sent the image", self.host))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_hosts_are_gone_to() {
        crate::tls::install_provider();
        let own = Own { plain: vec!["lan:5000".parse().unwrap()], private: Vec::new() };
        let client = Client::new(own, hosts::system());
        let goes = |image: &str, url: &str| {
            let image: ImageRef = image.parse().unwrap();
            client.session(&image).unwrap().check_host(&Url::parse(url).unwrap()).is_ok()
        };
        assert!(goes("u/app", "https://auth.docker.io/token"));
        assert!(goes("ghcr.io/u/app", "https://ghcr.io/token"));
        assert!(goes("127.0.0.1:5000/app", "http://127.0.0.1:5000/token"));
        assert!(goes("lan:5000/app", "http://lan:5000/token"));
        assert!(!goes("lan:5000/app", "https://lan:5000/token"));
        assert!(!goes("lan:5000/app", "http://lan:5001/token"));
        assert!(!goes("127.0.0.1:5000/app", "http://127.0.0.1:2375/token"));
        assert!(!goes("127.0.0.1:5000/app", "http://u:p@127.0.0.1:5000/token"));
        assert!(!goes("u/app", "http://auth.docker.io/token"));
        assert!(!goes("u/app", "https://auth.docker.io.evil.test/token"));
        assert!(!goes("u/app", "https://evildocker.io/token"));
        assert!(!goes("u/app", "https://docker.io.:443/token"));
        assert!(!goes("u/app", "https://169.254.169.254/token"));
        assert!(!goes("u/app", "https://auth.docker.io:8443/token"));
        assert!(!goes("u/app", "https://evil.r2.cloudflarestorage.com/x"));
        assert!(!goes("ghcr.io/u/app", "https://localhost/"));
        assert!(!goes("ghcr.io/u/app", "file:///etc/passwd"));
    }

    /// A listener, and what asking this registry for an image comes to while every name stands for
    /// the listener's address; whether anybody connected.
    async fn led_to_loopback(host: &str, own: impl FnOnce(RegistryHost) -> Own) -> (String, bool) {
        crate::tls::install_provider();
        let lure = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = lure.local_addr().unwrap();
        let host = host.replace("{port}", &address.port().to_string());
        let image: ImageRef = format!("{host}/a/b").parse().unwrap();
        let lookup: Lookup =
            std::sync::Arc::new(move |_| Box::pin(std::future::ready(Ok(vec![address]))));
        let client = Client::new(own(host.parse().unwrap()), lookup);
        let mut session = client.session(&image).unwrap();
        let told = tokio::select! {
            _ = lure.accept() => return ("no answer".to_owned(), true),
            asked = session.manifest("1") => match asked {
                Err(Unresolved::Participant(fault)) => fault.code.as_str().to_owned(),
                Err(Unresolved::Registry(fault)) => fault.code.as_str().to_owned(),
                Ok(_) => "an answer".to_owned(),
            },
        };
        (told, lure.into_std().unwrap().accept().is_ok())
    }

    #[tokio::test]
    async fn a_registrys_name_that_stands_for_a_private_address_is_not_connected_to() {
        let nobodys = |_| Own::default();
        let denied = ("image_host_denied".to_owned(), false);
        for host in ["registry.test:{port}", "ghcr.io", "u", "127.0.0.2.nip.test:{port}"] {
            assert_eq!(led_to_loopback(host, nobodys).await, denied, "{host}");
        }
        // The control: the operator's own may be there, to the port and no further.
        let plain = |host| Own { plain: vec![host], private: Vec::new() };
        let private = |host| Own { plain: Vec::new(), private: vec![host] };
        for (told, connected) in [
            led_to_loopback("registry.test:{port}", plain).await,
            led_to_loopback("registry.test:{port}", private).await,
        ] {
            assert_eq!((told.as_str(), connected), ("no answer", true));
        }
        let other =
            |_| Own { plain: Vec::new(), private: vec!["registry.test:1".parse().unwrap()] };
        assert_eq!(led_to_loopback("registry.test:{port}", other).await, denied);
    }

    #[test]
    fn a_host_that_is_an_address_in_disguise_is_refused() {
        crate::tls::install_provider();
        let client = Client::new(Own::default(), hosts::system());
        let begins = |image: &str| client.session(&image.parse().unwrap()).is_ok();
        for host in ["0x7f.1", "127.1", "0177.0.0.1", "2130706433:443", "1.2.3.4.5", "127.0.0.01"] {
            assert!(!begins(&format!("{host}/x")), "{host}");
        }
        for host in ["ghcr.io", "127.0.0.1:5000", "8.8.8.8", "localhost", "h.tld:443", "h.tld:80"] {
            assert!(begins(&format!("{host}/x")), "{host}");
        }
    }
}
