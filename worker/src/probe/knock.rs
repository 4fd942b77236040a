//! Which ports accept a connection: for hints such as "something listens on 8080".

use std::{net::IpAddr, time::Duration};

use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// The ports that accepted before the deadline, in the order given; all are tried at once.
pub(super) async fn knock(address: IpAddr, ports: &[u16], within: Duration) -> Vec<u16> {
    let deadline = Instant::now() + within;
    let mut tries = JoinSet::new();
    for port in ports.iter().copied() {
        tries.spawn(async move {
            let accepted = timeout_at(deadline, TcpStream::connect((address, port))).await;
            matches!(accepted, Ok(Ok(_))).then_some(port)
        });
    }
    let open: Vec<u16> = tries.join_all().await.into_iter().flatten().collect();
    ports.iter().copied().filter(|port| open.contains(port)).collect()
}
