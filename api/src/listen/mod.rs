//! The way in for connections: what accepts them, counts them, and ends those that only cost.
//!
//! ```text
//!  accept ─► seats ─► PROXY header ─► TLS ─► HTTP/1.1 or HTTP/2 ─► router
//!            in all,  5 s, trusted    5 s    first byte 5 s, head 10 s, idle 60 s,
//!            each     proxies only           an answer that nobody reads 30 s,
//!            network                         no more than a MiB of nothing
//! ```
//!
//! [`accept`] has the loop and [`seats`] the counting; one connection's life is in [`connection`].
//! Its clock is the [`pulse`]: [`wire`] tells it what comes and goes, [`service`] which requests are
//! being answered, and the connection ends when it says so. [`heads`] bounds the head of a request,
//! [`plain`] is what plain HTTP is for when there is TLS.
//!
//! What a body may cost is bounded where it is read (`extract.rs`), what a client may ask for in
//! the layers of the router: nothing here knows of routes.
//!
//! What is not possible with hyper: a head that takes too long is not answered, its connection just
//! ends; over HTTP/2 a header list beyond 32 KiB is refused by the protocol's own code, with a 431
//! that has no body and none of our headers; and when a broken head directly follows a request whose
//! answer has not left yet, its 400 has no body either.

pub mod accept;
mod bucket;
mod connection;
pub mod heads;
pub mod plain;
mod proxy;
mod pulse;
mod seats;
mod service;
mod tls;
mod wire;

pub use accept::{Side, Way, serve};
pub use tls::Tls;
