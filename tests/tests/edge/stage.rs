//! One api or several with a registry that answers at once, and clients with addresses of their own.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Recipe, Submission,
    image::{File, Layer},
    parts::{
        apis::Apis,
        client::{Answer, Client},
        misbehaving::{Lure, Misbehaving},
        mongo,
        silent::Silent,
    },
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where submissions go.
pub(crate) const POSTS: &str = "/api/v1/events/birthday-3/submissions";
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// Apis and a registry.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) apis: Apis,
    pub(crate) registry: Misbehaving,
    /// One that never answers: what is at it is taken in without a digest.
    pub(crate) silent: Silent,
    _lure: Lure,
}

impl Stage {
    /// One api with these settings beside the usual.
    pub(crate) async fn set(settings: &[(&str, &str)]) -> Result<Self> {
        let mut stage = Self::bare(settings).await?;
        stage.apis.start().await?;
        Ok(stage)
    }

    /// None yet.
    pub(crate) async fn bare(settings: &[(&str, &str)]) -> Result<Self> {
        let layer = Layer::of(&[File::text("etc/motd", "hello")])?;
        let image = Recipe::scratch().layer(layer).cmd(&["/app"]);
        let (silent, lure) = (Silent::start().await?, Lure::start().await?);
        let registry = Misbehaving::start(&image, &lure).await?;
        let (uri, hosts) = (mongo::shared().await?, [registry.host(), silent.host()]);
        let event = Event::config().answer("why");
        let mut apis = Apis::on(&uri, &event, &[&hosts[0], &hosts[1]]).await?;
        apis = apis.setting("PORTCALL_API_DRAIN_MS", 0);
        for (name, value) in settings {
            apis = apis.setting(name, value);
        }
        Ok(Self { apis, registry, silent, _lure: lure })
    }

    pub(crate) fn client(&self) -> Result<Client> {
        self.apis.client(0)
    }

    /// A good submission, whose image is pinned at once.
    pub(crate) fn submission(&self, name: &str) -> Submission {
        let submission = Submission::of(name).with("/answers/why", "because".into());
        submission.reference(&self.registry.reference("good"))
    }

    /// How many submissions are stored.
    pub(crate) async fn stored(&self) -> Result<u64> {
        let (uri, database) = self.apis.database();
        let all = mongo::dump(uri, database).await?;
        Ok(all.iter().filter(|(collection, _)| collection == "submissions").count() as u64)
    }

    /// A client with this address on loopback.
    pub(crate) fn from(&self, address: &str) -> Result<From> {
        let base = self.apis.all[0].address.context("an api without an address")?;
        From::new(&format!("http://{base}"), address)
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.apis.end().await
    }
}

/// Somebody with an address of their own.
#[derive(Debug)]
pub(crate) struct From {
    http: reqwest::Client,
    base: String,
}

impl From {
    pub(crate) fn new(base: &str, address: &str) -> Result<Self> {
        let address: IpAddr = address.parse()?;
        let http = reqwest::Client::builder().no_proxy().local_address(address);
        Ok(Self { http: http.build()?, base: base.to_owned() })
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(StatusCode, HeaderMap, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header(JSON.0, JSON.1).body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        Ok((status, headers, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Posts a submission with these headers; the status and the code of the first error.
    pub(crate) async fn post(
        &self,
        submission: &Submission,
        headers: &[(&str, &str)],
    ) -> Result<(u16, String, HeaderMap)> {
        let asked = self.ask(Method::POST, POSTS, headers, Some(submission.body())).await?;
        let (status, headers, json) = asked;
        let code = json["errors"][0]["code"].as_str().unwrap_or_default().to_owned();
        Ok((status.as_u16(), code, headers))
    }
}

/// What comes back on a connection of its own over which exactly this is sent: all until it closes.
pub(crate) async fn spoken(stage: &Stage, words: &[u8]) -> Result<String> {
    let address = stage.apis.all[0].address.context("an api without an address")?;
    let mut stream = TcpStream::connect(address).await?;
    // The other side may have heard enough.
    let _ = stream.write_all(words).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(20), read).await.context("no end")?.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// That an answer is a problem with this status and code.
pub(crate) fn problem(answer: &Answer, status: u16, code: &str) -> Result<()> {
    ensure!(answer.status.as_u16() == status, "{status} {code}: {} {}", answer.status, answer.text);
    let media_type = answer.header("content-type");
    ensure!(media_type == "application/problem+json", "{media_type}: {}", answer.text);
    ensure!(answer.json["code"] == code, "{code}: {}", answer.text);
    ensure!(answer.json["status"] == status, "{}", answer.text);
    Ok(())
}
