//! Certificates that a test makes, and a client that shakes hands and says what it was shown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Until a handshake is done.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate, signed by itself, with its key: PEM.
#[derive(Clone, Debug)]
pub struct Made {
    /// The certificate.
    pub chain: String,
    /// The key.
    pub key: String,
    /// The certificate as a handshake brings it.
    pub der: Vec<u8>,
    /// The key as a program stores it: PKCS #8.
    pub key_der: Vec<u8>,
}

impl Made {
    /// For these names and addresses, from and until when, in seconds from now.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(names: &[&str], from: i64, until: i64) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (mut params, now) = (CertificateParams::new(names)?, OffsetDateTime::now_utc());
        params.not_before = now + time::Duration::seconds(from);
        params.not_after = now + time::Duration::seconds(until);
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        let (chain, der) = (made.pem(), made.der().to_vec());
        Ok(Self { chain, key: key.serialize_pem(), der, key_der: key.serialize_der() })
    }
}

/// A client of TLS.
#[derive(Clone, Debug)]
pub struct Trust(ClientConfig);

impl Trust {
    /// Believes these roots (PEM), and resumes nothing.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn in_roots(roots: &[&str]) -> Result<Self> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(store).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(config))
    }

    /// Offering these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Shakes hands with whoever is there, by this name.
    ///
    /// # Errors
    /// When there is no handshake, or the certificate is not believed.
    pub async fn connect(&self, to: SocketAddr, name: &str) -> Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let name = ServerName::try_from(name.to_owned())?;
        let shaken = tokio::time::timeout(HANDSHAKE, async {
            let stream = TcpStream::connect(to).await?;
            connector.connect(name, stream).await
        });
        Ok(shaken.await.context("no handshake in time")??)
    }

    /// The certificate that one is shown.
    ///
    /// # Errors
    /// As those of [`Self::connect`].
    pub async fn shown(&self, at: SocketAddr, name: &str) -> Result<Vec<u8>> {
        let stream = self.connect(at, name).await?;
        leaf(&stream)
    }
}

/// The certificate that was shown on a connection.
///
/// # Errors
/// When there was none.
pub fn leaf(stream: &TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().context("no certificate was shown")?;
    Ok(chain.first().context("an empty chain")?.to_vec())
}
