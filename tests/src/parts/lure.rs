//! Lures: addresses of the suite's own network that an escape would reach (a metadata service, an
//! internet, the node and what usually runs on it), each with listeners that record who came.
//!
//! They are added to the loopback of a network namespace that holds nothing else. On a machine's own
//! network nothing is added, and the test that wants lures fails with that sentence.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// Addresses that strangers like to ask for: what they stand for, and where.
const ADDRESSES: [(&str, &str); 5] = [
    ("metadata", "169.254.169.254"),
    ("internet", "203.0.113.10"),
    ("node", "192.168.77.1"),
    ("metadata over IPv6", "fd00:ec2::254"),
    ("internet over IPv6", "2001:db8::10"),
];
/// A resolver of the host's, which is on its loopback already.
const RESOLVER: &str = "127.0.0.53";
/// What listens there: ssh, pages, the engine, the swarm, a registry, a database.
const TCP: [u16; 10] = [22, 53, 80, 443, 2375, 2376, 2377, 5000, 7946, 27017];
/// Names, VXLAN, the swarm's gossip.
const UDP: [u16; 3] = [53, 4789, 7946];
/// What is sent to everybody.
const EVERYBODY: [u16; 3] = [67, 1900, 5353];

/// Listeners that nobody has a reason to reach.
#[derive(Debug)]
pub struct Lures {
    added: Vec<String>,
    targets: Vec<SocketAddr>,
    touched: Arc<Mutex<Vec<String>>>,
    listeners: JoinSet<()>,
}

impl Lures {
    /// Sets them up.
    ///
    /// # Errors
    /// When this is not a network of its own, or an address cannot be listened on.
    pub async fn set() -> Result<Self> {
        ensure!(
            ip(&["route", "show", "default"])?.is_empty() && leads_nowhere()?,
            "lures need a network of the suite's own, which `./infra/test` opens when it runs as root"
        );
        let mut lures = Self {
            added: Vec::new(),
            targets: Vec::new(),
            touched: Arc::default(),
            listeners: JoinSet::new(),
        };
        for (what, address) in ADDRESSES {
            lures.add(address)?;
            lures.listen(what, address.parse()?).await?;
        }
        lures.listen("the host's resolver", RESOLVER.parse()?).await?;
        if let Some(gateway) = bridge_of_the_engine()? {
            lures.listen("the engine's bridge", gateway).await?;
        }
        for port in EVERYBODY {
            let at = SocketAddr::from(([0, 0, 0, 0], port));
            lures.udp("everybody", at).await?;
        }
        Ok(lures)
    }

    /// Where they listen.
    #[must_use]
    pub fn targets(&self) -> &[SocketAddr] {
        &self.targets
    }

    /// Who came since the last time, and to what.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&mut self, address: &str) -> Result<()> {
        let with_prefix = format!("{address}/{}", if address.contains(':') { 128 } else { 32 });
        // One that was killed may have left it there.
        if ip(&["addr", "replace", &with_prefix, "dev", "lo", "nodad"]).is_err() {
            bail!("{address} could not be added to the loopback");
        }
        self.added.push(with_prefix);
        Ok(())
    }

    async fn listen(&mut self, what: &str, address: IpAddr) -> Result<()> {
        for port in TCP {
            self.tcp(what, SocketAddr::new(address, port)).await?;
        }
        for port in UDP {
            self.udp(what, SocketAddr::new(address, port)).await?;
        }
        Ok(())
    }

    async fn tcp(&mut self, what: &str, at: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(at).await.with_context(|| format!("a lure at {at}"))?;
        let (touched, what) = (Arc::clone(&self.touched), what.to_owned());
        self.targets.push(at);
        self.listeners.spawn(async move {
            while let Ok((_, from)) = listener.accept().await {
                note(&touched, format!("{from} connected to {what} ({at})"));
            }
        });
        Ok(())
    }

    async fn udp(&mut self, what: &str, at: SocketAddr) -> Result<()> {
        let socket = UdpSocket::bind(at).await.with_context(|| format!("a lure at {at}"))?;
        let (touched, what) = (Arc::clone(&self.touched), what.to_owned());
        self.listeners.spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                note(&touched, format!("{from} sent {length} bytes to {what} ({at})"));
            }
        });
        Ok(())
    }
}

impl Drop for Lures {
    fn drop(&mut self) {
        for address in &self.added {
            // It goes with the namespace at the latest.
            let _ = ip(&["addr", "del", address, "dev", "lo"]);
        }
    }
}

fn note(touched: &Mutex<Vec<String>>, what: String) {
    touched.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output().context("running ip")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether every device is the loopback or an engine's.
fn leads_nowhere() -> Result<bool> {
    let devices = ip(&["-o", "link"])?;
    let engines = ["lo", "docker", "br-", "veth"];
    let name = |line: &str| line.split(": ").nth(1).unwrap_or_default().to_owned();
    Ok(devices.lines().map(name).all(|name| engines.iter().any(|own| name.starts_with(own))))
}

/// The address of the bridge that every engine has.
fn bridge_of_the_engine() -> Result<Option<IpAddr>> {
    let Ok(text) = ip(&["-4", "-o", "addr", "show", "docker0"]) else { return Ok(None) };
    let address = text.split_whitespace().skip_while(|word| *word != "inet").nth(1);
    let address = address.and_then(|word| word.split('/').next());
    Ok(address.map(str::parse).transpose()?)
}
