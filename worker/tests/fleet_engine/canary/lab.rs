//! Where canaries run without one of their walls: networks of their own on the engine under test,
//! and lures that answer if somebody gets out. What takes a wall of the network away is done only
//! where the whole network has no way out.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process::Command,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use portcall_worker::{
    canary::{Expected, Report},
    fleet::{
        ContainerSpec, ImageDeclares, Limits, NodeFacts, NodeSettings, Profile, Role,
        request::{self, Place},
    },
};
use sha2::{Digest, Sha256};

use super::walls::{Change, Wall};
use crate::{
    raw::{RawEngine, RawNetwork, labels},
    world::{World, variable},
};

/// Addresses that a canary dials and that are nobody's: here they are the lures'.
const LURES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(10, 0, 0, 1)];
/// Users of strict containers here, at the end of what slots have.
const FIRST_UID: u32 = 39_000;

pub(crate) struct Lab {
    engine: RawEngine,
    node: NodeFacts,
    settings: NodeSettings,
    image: String,
    declared: ImageDeclares,
    network: RawNetwork,
    closed: Result<(), String>,
    uid: AtomicU32,
    folder: tempfile::TempDir,
}

/// What came of a canary without a wall.
pub(crate) enum Said {
    /// Its report.
    Report(Report),
    /// It ran and gave none: its words instead.
    Nothing(String),
    /// It cannot run in this way on this machine.
    NotHere(String),
}

impl Lab {
    /// Sees to it that the canary's image is on the engine.
    pub(crate) async fn open(world: &World) -> Result<Self> {
        let slot = world.fleet.open_slot(0).await?;
        let canary = world.fleet.start_canary(&slot, Profile::Strict).await?;
        canary.remove().await?;
        let node = slot.node().clone();
        world.fleet.close_slot(slot).await?;
        let (engine, image) = (RawEngine::new()?, Self::canary_image()?);
        Ok(Self {
            network: engine.network(&node, |_| ()).await?,
            declared: world.fleet.image_declares(&image).await?,
            settings: world.fleet.node_settings().clone(),
            closed: no_way_out(),
            uid: AtomicU32::new(FIRST_UID),
            folder: tempfile::tempdir()?,
            engine,
            node,
            image,
        })
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.engine.remove_network(self.network).await
    }

    /// The name that the worker gives the image.
    pub(crate) fn canary_image() -> Result<String> {
        let binary = fs::read(variable("PORTCALL_CANARY_BIN", "path of the static canary")?)?;
        let digest: String = Sha256::digest(binary).iter().map(|b| format!("{b:02x}")).collect();
        Ok(format!("portcall-canary:{}", &digest[..16]))
    }

    pub(crate) fn expected(&self, profile: Profile) -> Expected {
        Expected::of(profile, &self.node, &self.settings)
    }

    /// With every wall, as the fleet asks for it.
    pub(crate) async fn report(&self, profile: Profile) -> Result<Report> {
        let line = self.engine.first_line(self.body(profile, &self.network.id)).await?;
        Report::parse(line.as_bytes()).map_err(anyhow::Error::msg)
    }

    /// As an engine starts whatever it is given.
    pub(crate) async fn under_defaults(&self) -> Result<Report> {
        let line = self.engine.first_line(self.plain(&self.image, &self.network.id, None)).await?;
        Report::parse(line.as_bytes()).map_err(anyhow::Error::msg)
    }

    fn plain(&self, image: &str, network: &str, user: Option<String>) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(image.to_owned()),
            user,
            labels: Some(labels()),
            host_config: Some(HostConfig {
                network_mode: Some(network.to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// With one wall away.
    pub(crate) async fn without(&self, wall: &Wall) -> Result<Said> {
        match &wall.change {
            Change::Container(change) => {
                let mut body = self.body(wall.profile, &self.network.id);
                change(&mut body);
                self.say(body).await
            }
            Change::Folder(change) => {
                let mut body = self.body(wall.profile, &self.network.id);
                let folder = self.folder.path().to_str().context("a folder's name is text")?;
                change(&mut body, folder);
                self.say(body).await
            }
            Change::Network(change, also) => {
                self.in_network(wall.profile, change, |body, _| also(body)).await
            }
            Change::Resolver(change) => {
                if let Err(why) = &self.closed {
                    return Ok(Said::NotHere(why.clone()));
                }
                self.in_network(wall.profile, change, |body, gateway| {
                    host(body).dns = Some(vec![gateway.to_string()]);
                })
                .await
            }
            Change::WayOut(change) => {
                if let Err(why) = &self.closed {
                    return Ok(Said::NotHere(why.clone()));
                }
                let _lures = Lures::lay()?;
                self.in_network(wall.profile, change, |_, _| ()).await
            }
            Change::MachinesNetwork(change) => {
                if let Err(why) = &self.closed {
                    return Ok(Said::NotHere(why.clone()));
                }
                let mut body = self.body(wall.profile, "host");
                change(&mut body);
                self.say(body).await
            }
        }
    }

    async fn in_network(
        &self,
        profile: Profile,
        change: &fn(&mut bollard::models::NetworkCreateRequest),
        place: impl Fn(&mut ContainerCreateBody, Ipv4Addr),
    ) -> Result<Said> {
        let network = self.engine.network(&self.node, change).await?;
        let gateway = network.subnet.gateway();
        let _resolver = Resolver::at(gateway);
        let mut body = self.body(profile, &network.id);
        place(&mut body, gateway);
        let said = self.say(body).await;
        self.engine.remove_network(network).await?;
        said
    }

    async fn say(&self, body: ContainerCreateBody) -> Result<Said> {
        let line = match self.engine.first_line(body).await {
            Ok(line) => line,
            // A machine may lack what the wall keeps away; then nobody needs the wall.
            Err(error) if error.to_string().contains("operation not permitted") => {
                let why = "the engine itself may not do it (operation not permitted)";
                return Ok(Said::NotHere(why.to_owned()));
            }
            Err(error) => return Err(error),
        };
        Ok(match Report::parse(line.as_bytes()) {
            Ok(report) => Said::Report(report),
            Err(_) => Said::Nothing(line),
        })
    }

    fn body(&self, profile: Profile, network: &str) -> ContainerCreateBody {
        let spec = ContainerSpec {
            role: Role::Image,
            index: 0,
            alias: "canary".to_owned(),
            image: self.image.clone(),
            profile,
            limits: Limits::of(profile),
            declared: self.declared.clone(),
        };
        let uid = self.uid.fetch_add(1, Ordering::Relaxed);
        let place = Place { network, uid, node: &self.node, settings: &self.settings };
        request::container(&spec, &place, labels())
    }
}

pub(crate) fn host(body: &mut ContainerCreateBody) -> &mut HostConfig {
    body.host_config.get_or_insert_default()
}

/// Whether the network that the engine lives in has nothing but a loopback, the bridges of engines
/// and what hangs on them: no route leads out of it, so that nothing that gets out of a container
/// gets any further. Else why not.
fn no_way_out() -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    for line in read("/proc/net/route").lines().skip(1) {
        let mut fields = line.split_whitespace();
        let (device, network) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let bridge = device == "docker0" || device.starts_with("br-");
        if !bridge || network == "00000000" {
            return Err(format!("this network has a way out, by {device}"));
        }
    }
    for line in read("/proc/net/dev").lines().skip(2) {
        let device = line.split(':').next().unwrap_or("").trim();
        let inner = ["lo", "docker0"].contains(&device)
            || device.starts_with("br-")
            || device.starts_with("veth");
        if !inner {
            return Err(format!("this network has a way out, perhaps, by {device}"));
        }
    }
    Ok(())
}

/// Listeners at the addresses that must not be reached. They are taken away when this is dropped.
struct Lures {
    _tcp: Vec<TcpListener>,
    _udp: Vec<Resolver>,
}

impl Lures {
    fn lay() -> Result<Self> {
        for address in LURES {
            address_of_ours("add", address)?;
        }
        let ports = [(LURES[0], 80), (LURES[1], 443)];
        let tcp = ports.map(|at| TcpListener::bind(at).with_context(|| format!("{at:?}")));
        let udp = [(LURES[1], 53), (LURES[2], 9)].map(|(at, port)| Resolver::listen(at, port));
        Ok(Self {
            _tcp: tcp.into_iter().collect::<Result<_>>()?,
            _udp: udp.into_iter().collect::<Result<_>>()?,
        })
    }
}

impl Drop for Lures {
    fn drop(&mut self) {
        for address in LURES {
            if let Err(error) = address_of_ours("del", address) {
                let _ = writeln!(io::stderr(), "{error}");
            }
        }
    }
}

fn address_of_ours(verb: &str, address: Ipv4Addr) -> Result<()> {
    let address = format!("{address}/32");
    let done = Command::new("ip").args(["addr", verb, &address, "dev", "lo"]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Answers whatever comes by UDP, until it is dropped: to a question for a name, that it has an
/// address.
struct Resolver {
    _stop: mpsc::Sender<()>,
}

impl Resolver {
    /// On the machine's side of a network, if it has one.
    fn at(gateway: Ipv4Addr) -> Option<Self> {
        Self::listen(gateway, 53).ok()
    }

    fn listen(address: Ipv4Addr, port: u16) -> Result<Self> {
        let socket =
            UdpSocket::bind((address, port)).with_context(|| format!("{address}:{port}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let _ = socket.send_to(&answered(&question[..length]), from);
            }
        });
        Ok(Self { _stop: stop })
    }
}

/// The question, with one answer to it: 192.0.2.7.
fn answered(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    if answer.len() > 12 {
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        // Additional records of the question are left out of the counts.
        (answer[10], answer[11]) = (0, 0);
        let end = 12 + answer[12..].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
        answer.truncate(end);
        answer.extend([0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    }
    answer
}
