//! The certificate of the public side: where it comes from, and how it changes while everything runs.
//!
//! ```text
//!   files  somebody renews them ──► files: looked at every few seconds ──┐
//!                                                                        ├─► resolver ──► handshakes
//!   acme   authority ◄── order ◄── acme: whose turn it is ──► store ─────┘
//!                 └─────── challenge: answered by any api process ◄──────┘
//! ```
//!
//! [`pair`] checks a certificate whole before it is shown. Whoever takes connections gets one
//! configuration of TLS at the start and keeps it.
//!
//! With `acme` a process is ready before there is a certificate: the authority's look at us comes through
//! the same balancer, which sends nothing to what is not ready. Until then a certificate that we signed
//! ourselves stands in, and no client believes it. A process that cannot use the certificate that
//! the others use (its seal key is another) is not ready, nor is one whose files have expired.

pub mod acme;
pub mod challenge;
pub mod files;
pub mod order;
pub mod pair;
mod resolver;
pub mod settings;

use std::sync::Arc;

use portcall_shared::store::Store;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    sign::CertifiedKey,
};
use rustls_pki_types::PrivateKeyDer;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use self::{
    acme::Acme,
    files::{FileFault, Files},
    resolver::Resolver,
    settings::Tls,
};
use crate::settings::Settings;

/// The protocol by which an authority looks for a proof. Whoever ends up with it has seen all that
/// there is: the connection is closed after the handshake.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The files are not what they should be.
    #[error("{}", .0.variable)]
    File(#[source] FileFault),
    /// The TLS library refuses.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// No certificate can be made to stand in.
    #[error("cannot make a certificate that stands in")]
    StandIn(#[from] rcgen::Error),
}

/// The certificate of the public side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Files(Files),
    Acme(Box<Acme>),
}

impl Certificates {
    /// As the settings say; none where the public side speaks plain HTTP. Nothing is asked of the
    /// store or an authority yet: [`Self::keep`] does that.
    ///
    /// # Errors
    /// When the files are not what they should be, or there can be no TLS.
    pub fn open(settings: &Settings, store: Store) -> Result<Option<Self>, CertificateError> {
        let (resolver, source) = match &settings.tls {
            Tls::Off => return Ok(None),
            Tls::Files(files) => {
                let pair = files.load(OffsetDateTime::now_utc()).map_err(CertificateError::File)?;
                let resolver = Resolver::new(None);
                resolver.take(pair);
                (Arc::new(resolver), Source::Files(files.clone()))
            }
            Tls::Acme(acme) => {
                let resolver = Arc::new(Resolver::new(Some(stand_in(&acme.domains)?)));
                let acme = Acme::new(acme.clone(), store, Arc::clone(&resolver));
                (resolver, Source::Acme(Box::new(acme)))
            }
        };
        let config = config(Arc::clone(&resolver))?;
        Ok(Some(Self(Arc::new(Inner { resolver, config: Arc::new(config), source }))))
    }

    /// How TLS is spoken, from start to end.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config)
    }

    /// What to answer to `/.well-known/acme-challenge/{token}`, in plain HTTP: the text, if there is such a
    /// challenge, whichever process it belongs to.
    pub async fn http_challenge(&self, token: &str) -> Option<String> {
        match &self.0.source {
            Source::Files(_) => None,
            Source::Acme(acme) => acme.http_challenge(token).await,
        }
    }

    /// Why nobody should be sent here, if nobody should.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        match &self.0.source {
            Source::Files(_) if self.0.resolver.is_over(OffsetDateTime::now_utc()) => {
                Some("the certificate in PORTCALL_TLS_CERT_FILE has expired".to_owned())
            }
            Source::Files(_) => None,
            Source::Acme(acme) => acme.obstacle(),
        }
    }

    /// Keeps the certificate good until the process is told to stop.
    pub async fn keep(self, stop: CancellationToken) {
        match &self.0.source {
            Source::Files(files) => files.keep(&self.0.resolver, &stop).await,
            Source::Acme(acme) => acme.keep(&stop).await,
        }
    }
}

/// TLS 1.2 and 1.3 with nothing but AEAD, as this library has it; sessions are resumed by tickets, which
/// take no memory here, and nothing is taken before a handshake is done (no 0-RTT).
fn config(resolver: Arc<Resolver>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ticketer = Ticketer::new()?;
    config.max_early_data_size = 0;
    config.alpn_protocols = [b"h2".as_slice(), b"http/1.1", ACME_TLS].map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// A certificate that nobody believes, for the time before there is one.
fn stand_in(names: &[String]) -> Result<Arc<CertifiedKey>, CertificateError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Portcall: no certificate yet");
    signed_by_itself(&params)
}

fn signed_by_itself(params: &CertificateParams) -> Result<Arc<CertifiedKey>, CertificateError> {
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    // Whether the two belong together is not asked: the library would refuse to look at a proof, since it
    // does not know its critical extension.
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion;

    use super::*;

    #[test]
    fn tls_is_modern_and_nothing_else() {
        let config = config(Arc::new(Resolver::new(None))).unwrap();
        let suites = &config.crypto_provider().cipher_suites;
        for suite in suites {
            let name = format!("{:?}", suite.suite());
            assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
            assert!(!name.contains("_RSA_WITH") || name.contains("ECDHE"), "{name}");
            let version = suite.version().version;
            assert!([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3].contains(&version));
        }
        assert!(suites.len() >= 6);
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.ticketer.enabled());
        assert_eq!(config.alpn_protocols, [b"h2".as_slice(), b"http/1.1", b"acme-tls/1"]);
    }
}
