//! Apis behind the balancer as it is deployed with a certificate: spoken to over TLS, and in the
//! plain HTTP beside it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    apis::Apis,
    balancer::{Balancer, Behind, Retries, Speaks},
    client::Answer,
    names::Names,
    tls::{Made, Trust},
};
use reqwest::{Certificate, Method, redirect::Policy};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{raw::rest, stage::Stage};

/// How people reach it.
pub(crate) const NAME: &str = "portcall.test";
pub(crate) const PUBLIC_URL: &str = "https://portcall.test";
/// Whoever has no reason to come from elsewhere.
pub(crate) const ANYBODY: &str = "127.3.0.1";
/// The name that stands for all apis.
const API: &str = "tasks.api";

/// Apis, and a balancer before them.
pub(crate) struct Front {
    pub(crate) stage: Stage,
    pub(crate) balancer: Balancer,
    pub(crate) made: Made,
    _names: Names,
}

impl Front {
    /// One api with these settings beside the usual, behind a balancer that speaks TLS.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::with(settings, Some(PUBLIC_URL)).await
    }

    /// The same, and what the balancer is told of how people reach it.
    pub(crate) async fn with(settings: &[(&str, &str)], public_url: Option<&str>) -> Result<Self> {
        let mut stage = Stage::bare(settings).await?;
        stage.apis.set("PORTCALL_PUBLIC_URL", PUBLIC_URL);
        stage.apis.set("PORTCALL_TRUSTED_PROXIES", "127.0.0.1/32");
        stage.apis.start().await?;
        let made = Made::new(&[NAME], -60, 86_400)?;
        let names = Names::start().await?;
        names.add(API, stage.apis.ip(0)?);
        let speaks = Speaks::Tls { made: &made, public_url };
        let balancer = before(&stage.apis, &names, speaks).await?;
        balancer.wait_up(1).await?;
        Ok(Self { stage, balancer, made, _names: names })
    }

    /// Somebody at this address.
    pub(crate) fn somebody(&self, address: &str) -> Result<Somebody> {
        Somebody::new(&self.made.chain, address, self.balancer.secure)
    }

    /// What comes back over TLS on a connection of its own over which this is said, until it closes.
    pub(crate) async fn said(&self, words: impl AsRef<[u8]>) -> Result<String> {
        said(&Trust::in_roots(&[&self.made.chain])?, self.balancer.secure, words).await
    }

    pub(crate) async fn end(self) -> Result<()> {
        drop(self.balancer);
        self.stage.end().await
    }
}

/// A balancer before these apis.
pub(crate) async fn before(apis: &Apis, names: &Names, speaks: Speaks<'_>) -> Result<Balancer> {
    let (port, ops_port) = apis.ports();
    let behind = Behind { name: API.to_owned(), names: names.address(), port, ops_port };
    Balancer::speaking("front", apis.dir(), &behind, Retries::AsDeployed, speaks).await
}

/// One more of them is found.
pub(crate) fn found(apis: &Apis, names: &Names, n: usize) -> Result<()> {
    names.add(API, apis.ip(n)?);
    Ok(())
}

/// What comes back over TLS on a new connection over which this is said, until it closes.
pub(crate) async fn said(trust: &Trust, to: SocketAddr, words: impl AsRef<[u8]>) -> Result<String> {
    let stream = trust.connect(to, NAME).await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        // Whoever closes before all was said has heard enough.
        let _ = writer.write_all(words.as_ref()).await;
        let _ = writer.flush().await;
    };
    let (answer, ()) = tokio::join!(rest(&mut reader), write);
    Ok(String::from_utf8_lossy(&answer?).into_owned())
}

/// Somebody with an address, over HTTP/2 and over HTTP/1.1.
pub(crate) struct Somebody {
    two: reqwest::Client,
    one: reqwest::Client,
    port: u16,
}

impl Somebody {
    /// One who believes this root (PEM), and finds [`NAME`] there.
    pub(crate) fn new(root: &str, address: &str, there: SocketAddr) -> Result<Self> {
        let address: IpAddr = address.parse()?;
        let root = Certificate::from_pem(root.as_bytes())?;
        let builder = || {
            let builder = reqwest::Client::builder().no_proxy().redirect(Policy::none());
            let builder = builder.tls_certs_only([root.clone()]).local_address(address);
            builder.resolve(NAME, there)
        };
        let (two, one) = (builder().build()?, builder().http1_only().build()?);
        Ok(Self { two, one, port: there.port() })
    }

    /// Asks over HTTP/2.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let answer = self.by(&self.two, method, path, headers, body).await?;
        ensure!(answer.1 == reqwest::Version::HTTP_2, "{:?}", answer.1);
        Ok(answer.0)
    }

    /// Asks over HTTP/1.1.
    pub(crate) async fn ask_by_one(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        Ok(self.by(&self.one, method, path, headers, body).await?.0)
    }

    async fn by(
        &self,
        client: &reqwest::Client,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<(Answer, reqwest::Version)> {
        let asked = Instant::now();
        let mut request = client.request(method, format!("https://{NAME}:{}{path}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let (status, version) = (answer.status(), answer.version());
        let (headers, text) = (answer.headers().clone(), answer.text().await?);
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((Answer { status, headers, json, text, took: asked.elapsed() }, version))
    }
}
