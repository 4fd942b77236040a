//! A lure: a port of this machine that nobody has a reason to dial. One of the attacks is told every
//! address that the machine has; whoever comes has left its slot.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

/// Most addresses that an attack is told.
const MOST: usize = 16;

/// How many ports are tried.
const TRIES: usize = 20;

/// The lure, for as long as it is kept.
pub(super) struct Lure {
    /// Where it is, at each address.
    pub(super) targets: Vec<SocketAddr>,
    #[cfg(test)]
    port: u16,
    touched: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
}

impl Lure {
    /// Lays one.
    pub(super) async fn lay() -> io::Result<Self> {
        let (listener, datagrams) = both().await?;
        let port = listener.local_addr()?.port();
        let table = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        let targets = own(&table).into_iter().take(MOST).map(|ip| (ip, port).into()).collect();
        let touched = Arc::new(AtomicUsize::new(0));
        let (by_stream, by_datagram) = (Arc::clone(&touched), Arc::clone(&touched));
        let tasks = [
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    by_stream.fetch_add(1, Ordering::Relaxed);
                }
            }),
            tokio::spawn(async move {
                let mut piece = [0; 16];
                while datagrams.recv_from(&mut piece).await.is_ok() {
                    by_datagram.fetch_add(1, Ordering::Relaxed);
                }
            }),
        ];
        Ok(Self {
            targets,
            #[cfg(test)]
            port,
            touched,
            tasks,
        })
    }

    /// The targets as the hostile program reads them.
    pub(super) fn told(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// How often somebody came.
    pub(super) fn touched(&self) -> usize {
        self.touched.load(Ordering::Relaxed)
    }
}

impl Drop for Lure {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A port for streams and for datagrams. One that is free for the former need not be for the latter.
async fn both() -> io::Result<(TcpListener, UdpSocket)> {
    let mut taken = None;
    for _ in 0..TRIES {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, listener.local_addr()?.port())).await {
            Ok(datagrams) => return Ok((listener, datagrams)),
            Err(error) => taken = Some(error),
        }
    }
    Err(taken.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// The machine's own addresses as the kernel's table of routes has them, but for loopback.
fn own(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !address.is_loopback())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    const TABLE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
        +-- 10.1.0.0/16 2 0 2\n        |-- 10.1.0.0\n           /16 link UNICAST\n        \
        |-- 10.1.0.7\n           /32 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n\
        Local:\n        |-- 10.1.0.7\n           /32 host LOCAL\n";

    #[test]
    fn the_machines_addresses_are_found() {
        assert_eq!(own(TABLE), [Ipv4Addr::new(10, 1, 0, 7)]);
        assert_eq!(own(""), Vec::<Ipv4Addr>::new());
    }

    #[tokio::test]
    async fn whoever_dials_it_is_noticed() {
        let lure = Lure::lay().await.unwrap();
        assert_eq!(lure.touched(), 0);
        let _stream = TcpStream::connect((Ipv4Addr::LOCALHOST, lure.port)).await.unwrap();
        while lure.touched() == 0 {
            tokio::task::yield_now().await;
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.send_to(b"hostile", (Ipv4Addr::LOCALHOST, lure.port)).await.unwrap();
        while lure.touched() == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lure.touched(), 2);
    }
}
