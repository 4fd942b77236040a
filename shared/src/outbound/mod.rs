//! Calls to addresses that strangers name, such as webhooks.
//!
//! What may be called is decided twice: when the address is given ([`Target`], [`Outbound::check`])
//! and again for every connection ([`addresses`]). A call follows no redirect, uses no proxy, unpacks
//! nothing, reads the answer to a limit and no further, and keeps no connection for the next one, so
//! that each is made to an address that was checked for it.

pub(crate) mod addresses;
mod target;

use std::{
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

use reqwest::{Client, Response, header::RETRY_AFTER, redirect};

use self::addresses::{Lookup, Names, Reach, is_not_public, is_public, system};
pub use self::target::{BadTarget, OwnHost, Target};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a call may take in all.
pub const WHOLE: Duration = Duration::from_secs(10);
/// So many bytes of an answer are read.
pub const ANSWER: usize = 16 * 1024;

/// What came back, whatever it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What it says of when to come again, as it was written.
    pub retry_after: Option<String>,
    /// The beginning of the body: [`ANSWER`] bytes at most, fewer if they did not come in time.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The host has no address that may be called.
    #[error("the host has no address on the internet")]
    NotPublic,
    /// The name stands for nothing.
    #[error("the host's name is not known")]
    Unknown,
    /// It did not answer within [`WHOLE`].
    #[error("no answer within {} s", WHOLE.as_secs())]
    Late,
    /// No connection, or one that broke off.
    #[error("the connection could not be made, or broke off")]
    Broken,
}

/// Calls what strangers name. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    /// For everybody's hosts: connects to public addresses only.
    public: Client,
    /// For the operator's.
    any: Client,
    lookup: Lookup,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbound")
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbound {
    /// With the system's way to turn names into addresses.
    #[must_use]
    pub fn new() -> Self {
        Self::with(system())
    }

    fn with(lookup: Lookup) -> Self {
        let build = |reach| {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .http1_only()
                .pool_max_idle_per_host(0)
                .connect_timeout(CONNECT)
                .user_agent(concat!("portcall/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Names { lookup: Lookup::clone(&lookup), reach })
                .build()
                .expect("the builder's settings are constants that are valid together")
        };
        Self { public: build(Reach::Internet), any: build(Reach::Anywhere), lookup }
    }

    /// That a host could be called as things are now. It is looked up and not connected to.
    ///
    /// # Errors
    /// When it could not be.
    pub async fn check(&self, target: &Target) -> Result<(), Unsent> {
        match target.literal() {
            Some(address) => within_reach(target.reach(), address),
            None => {
                let found = tokio::time::timeout(CONNECT, (self.lookup)(target.host().to_owned()));
                let found = match found.await {
                    Ok(Ok(found)) => found,
                    Ok(Err(_)) => return Err(Unsent::Unknown),
                    Err(_) => return Err(Unsent::Late),
                };
                let mut addresses = found.iter().map(|address| address.ip()).peekable();
                addresses.peek().ok_or(Unsent::Unknown)?;
                match addresses.any(|address| within_reach(target.reach(), address).is_ok()) {
                    true => Ok(()),
                    false => Err(Unsent::NotPublic),
                }
            }
        }
    }

    /// Posts a body, and tells what came back, with the time that it took.
    ///
    /// # Errors
    /// When nothing did.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> (Result<Answer, Unsent>, Duration) {
        let started = Instant::now();
        let answered = self.post_by(target, headers, body, started + WHOLE).await;
        (answered, started.elapsed())
    }

    async fn post_by(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Answer, Unsent> {
        if let Some(address) = target.literal() {
            within_reach(target.reach(), address)?;
        }
        let http = if target.reach() == Reach::Anywhere { &self.any } else { &self.public };
        let mut request = http.post(target.url().clone()).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match tokio::time::timeout_at(deadline.into(), request.send()).await {
            Ok(Ok(response)) => Ok(read(response, deadline).await),
            Ok(Err(error)) => Err(unsent(&error)),
            Err(_) => Err(Unsent::Late),
        }
    }
}

fn within_reach(reach: Reach, address: IpAddr) -> Result<(), Unsent> {
    match reach == Reach::Anywhere || is_public(address) {
        true => Ok(()),
        false => Err(Unsent::NotPublic),
    }
}

/// The status is the answer; of the body there is what came.
async fn read(mut response: Response, deadline: Instant) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let mut body = Vec::new();
    while body.len() < ANSWER {
        match tokio::time::timeout_at(deadline.into(), response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                body.extend_from_slice(&piece[..piece.len().min(ANSWER - body.len())]);
            }
            _ => break,
        }
    }
    Answer { status, retry_after, body }
}

fn unsent(error: &reqwest::Error) -> Unsent {
    if is_not_public(error) {
        return Unsent::NotPublic;
    }
    if error.is_timeout() {
        return Unsent::Late;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let late = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if late == Some(io::ErrorKind::TimedOut) {
            return Unsent::Late;
        }
        cause = error.source();
    }
    Unsent::Broken
}

#[cfg(test)]
mod tests;
