//! Who asks: the address that a request is counted by.
//!
//! It is the peer's, unless the peer is a balancer that the settings trust. Then it is the right-most
//! address in `X-Forwarded-For` that is not itself such a balancer: each balancer writes behind what it was sent,
//! so whatever a client writes there itself stands further left. `Forwarded` and `X-Real-IP` are not
//! read.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, request::Parts};
use ipnet::IpNet;

use crate::{
    peer::{Client, Connection},
    state::AppState,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most balancers that are looked behind.
const MOST: usize = 32;

/// The balancers that are believed.
#[derive(Debug)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    told: AtomicBool,
}

impl Proxies {
    /// Those in these networks.
    #[must_use]
    pub fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, told: AtomicBool::new(false) }
    }

    /// The client of a request that this peer sent.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            self.hint(headers);
            return Client(peer);
        }
        let lists = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        let mut client = peer;
        for hop in hops.take(MOST) {
            // What no balancer writes is a client's: whoever stands right of it wrote it down.
            let Some(address) = address(hop.trim()) else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        Client(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Says once that somebody who is not trusted acts as a balancer does.
    fn hint(&self, headers: &HeaderMap) {
        if headers.contains_key(FORWARDED_FOR) && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "somebody who is no trusted proxy sends X-Forwarded-For, which is not read; if that is \
                 your balancer, name its network in PORTCALL_TRUSTED_PROXIES: without that all its \
                 clients count as one"
            );
        }
    }
}

/// An address as balancers write it: some add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = hop.parse().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Says to the rest of the request's way whose it is.
pub async fn identify(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    let client = match connection {
        Some(connection) => app.proxies.client(connection.peer.ip(), request.headers()),
        None => Client::default(),
    };
    request.extensions_mut().insert(client);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        headers.insert("x-real-ip", HeaderValue::from_static("203.0.113.9"));
        headers.insert("forwarded", HeaderValue::from_static("for=203.0.113.9"));
        Proxies::new(trusted).client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[rstest]
    #[case::nobody_is_trusted(&[], "192.0.2.1", &["203.0.113.5"], "192.0.2.1")]
    #[case::a_stranger(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.5"], "192.0.2.1")]
    #[case::a_balancer(&["10.0.0.0/8"], "10.1.2.3", &["203.0.113.5"], "203.0.113.5")]
    #[case::says_nothing(&["10.0.0.0/8"], "10.1.2.3", &[], "10.1.2.3")]
    #[case::spoofed(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.1, 203.0.113.5"], "203.0.113.5")]
    #[case::two_lines(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.1", "203.0.113.5"], "203.0.113.5")]
    #[case::two_balancers(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.1, 203.0.113.5,10.9.9.9"], "203.0.113.5")]
    #[case::only_balancers(&["10.0.0.0/8"], "10.1.2.3", &["10.0.0.7, 10.9.9.9"], "10.0.0.7")]
    #[case::with_a_port(&["10.0.0.0/8"], "10.1.2.3", &["203.0.113.5:4711"], "203.0.113.5")]
    #[case::brackets(&["10.0.0.0/8"], "10.1.2.3", &["[2001:db8::5]:4711"], "2001:db8::5")]
    #[case::garbage(&["10.0.0.0/8"], "10.1.2.3", &["203.0.113.5, unknown, 10.9.9.9"], "10.9.9.9")]
    #[case::mapped(&["10.0.0.0/8"], "::ffff:10.1.2.3", &["::ffff:203.0.113.5"], "203.0.113.5")]
    #[case::the_edge(&["10.0.0.0/31"], "10.0.0.1", &["203.0.113.5"], "203.0.113.5")]
    #[case::beyond_it(&["10.0.0.0/31"], "10.0.0.2", &["203.0.113.5"], "10.0.0.2")]
    #[case::v6(&["fd00::/8"], "fd00::1", &["203.0.113.5"], "203.0.113.5")]
    fn whose_request_it_is(
        #[case] trusted: &[&str],
        #[case] peer: &str,
        #[case] lines: &[&'static str],
        #[case] expected: &str,
    ) {
        assert_eq!(client(trusted, peer, lines), expected);
    }
}
