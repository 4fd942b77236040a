//! The world in which rows run: one api, one worker with several slots behind a tap, an event for
//! each kind of row, lures, and somebody who looks on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    row::{OF_THE_REGISTRY, Profile, Rules},
    rows::image as planted,
};
use crate::{
    event::Event,
    image::{File, Layer, Recipe},
    parts::{
        client::{Client, Submission},
        engine::Inventory,
        given,
        lure::Lures,
        misbehaving::{Lure, Misbehaving},
        mongo,
        quarantine::Quarantine,
        stack::{Plan, World},
        tap::Tap,
    },
};

/// How many rows are graded at once.
pub const SLOTS: usize = 4;
/// Until anything is final.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The world in which rows run.
#[derive(Debug)]
pub struct Scene {
    /// The world.
    pub world: World,
    /// Between worker and engine.
    pub tap: Tap,
    /// Who must not be reached.
    pub lures: Lures,
    /// Where alone the engine's images come from; strangers push elsewhere.
    pub quarantine: Quarantine,
    /// Where the engine keeps its data.
    pub folder: PathBuf,
    /// A registry that misbehaves.
    pub misbehaving: Misbehaving,
    /// Another one, whose layers nobody ever copies whole.
    pub unknown: Misbehaving,
    /// One more, whose layers nobody has copied before.
    pub fresh: Misbehaving,
    /// Where it leads its clients.
    pub elsewhere: Lure,
    /// What was on the engine before the world began.
    pub before: Inventory,
    participants: AtomicU32,
    slots: Mutex<Vec<Ipv4Addr>>,
}

/// Where one submission of a row stands: what its image may know.
#[derive(Clone, Copy, Debug)]
pub struct Stand<'a> {
    /// The scene.
    pub scene: &'a Scene,
    /// The profile.
    pub profile: Profile,
    /// Whose submission it is, and which name its answers carry.
    pub participant: &'a str,
}

impl Stand<'_> {
    /// The hostile program in that mode.
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn hostile(&self, mode: &str) -> Result<Recipe> {
        Ok(Recipe::hostile(mode)?.env("HOSTILE_NAME", self.participant))
    }

    /// The sample app, which is nobody's enemy.
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn app(&self, mode: &str) -> Result<Recipe> {
        Ok(Recipe::app(mode)?.env("APP_NAME", self.participant))
    }

    /// Everything that an escape would reach: the lures, and the platform's own ports.
    #[must_use]
    pub fn targets(&self) -> String {
        let mut targets = self.scene.lures.targets().to_vec();
        targets.extend(self.scene.own_ports());
        let texts: Vec<String> = targets.iter().map(ToString::to_string).collect();
        texts.join(",")
    }
}

impl Scene {
    /// Begins a scene.
    ///
    /// # Errors
    /// When a part is not given or does not become ready.
    pub async fn begin(settle: impl FnOnce(Plan) -> Plan) -> Result<Self> {
        let lures = Lures::set().await?;
        close_the_node()?;
        let quarantine = Quarantine::start().await?;
        let elsewhere = Lure::start().await?;
        let image = Recipe::hostile("serve")?.env("HOSTILE_NAME", OF_THE_REGISTRY);
        let misbehaving = Misbehaving::start(&image, &elsewhere).await?;
        let unseen = || Layer::of(&[File::text("unseen", &fresh_text())]);
        let unknown = Misbehaving::start(&image.clone().layer(unseen()?), &elsewhere).await?;
        let fresh = Misbehaving::start(&image.layer(unseen()?), &elsewhere).await?;
        let engine = crate::parts::engine::Engine::given().await?;
        let tap = Tap::start(&engine.host).await?;
        let before = engine.inventory().await?;
        let folder = engine.folder().await?;
        let plan = World::of(Event::config())
            .worker_setting("PORTCALL_SLOTS", SLOTS)
            .worker_setting("PORTCALL_DOCKER_HOST", tap.host())
            .worker_setting("PORTCALL_QUARANTINE", quarantine.host())
            .worker_setting("PORTCALL_QUARANTINE_UNPACKED_MIB", 512)
            .allow_registry(&misbehaving.host())
            .allow_registry(&unknown.host())
            .allow_registry(&fresh.host());
        let database = mongo::shared().await?;
        let and = if database.contains('?') { '&' } else { '?' };
        let marked = format!("{database}{and}appName={}", planted::DATABASE_MARK);
        let plan = planted::PLANTED.iter().fold(plan, |plan, (name, text, mark)| {
            plan.worker_setting(name, text.replace("{}", mark))
        });
        let world = settle(plan.worker_database(&marked)).start().await?;
        for rules in Rules::ALL {
            for profile in [Profile::Ordinary, Profile::Strict] {
                world.apply(&event(rules, profile)).await?;
            }
        }
        Ok(Self {
            world,
            tap,
            lures,
            quarantine,
            misbehaving,
            unknown,
            fresh,
            elsewhere,
            folder,
            before,
            participants: AtomicU32::new(0),
            slots: Mutex::default(),
        })
    }

    /// Looks where the slots are; one that was in doubt has moved.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn survey(&self) -> Result<()> {
        let there = self.world.slot_addresses().await?;
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = there;
        Ok(())
    }

    /// Every address of every slot.
    #[must_use]
    pub fn slot_addresses(&self) -> Vec<Ipv4Addr> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client of the event for rows of that kind.
    ///
    /// # Errors
    /// When the api is not there.
    pub fn client(&self, rules: Rules, profile: Profile) -> Result<Client> {
        Ok(self.world.apis[0].client(&slug(rules, profile))?.quietly())
    }

    /// A participant whom nobody had before.
    #[must_use]
    pub fn participant(&self, id: &str) -> String {
        format!("{id}-{}", self.participants.fetch_add(1, Ordering::Relaxed))
    }

    /// A submission of this participant's that must achieve this.
    #[must_use]
    pub fn submission(&self, participant: &str, rules: Rules, outcome: &str) -> Submission {
        let submission = Submission::of(participant);
        match rules {
            Rules::Answers | Rules::Canary => submission.with("/answers", json!({})),
            Rules::Control => submission,
            _ => submission.with("/answers/outcome", outcome.into()),
        }
    }

    /// Where the platform itself listens in this network.
    #[must_use]
    pub fn own_ports(&self) -> Vec<SocketAddr> {
        let services = self.world.apis.iter().chain(&self.world.workers);
        let mut ports: Vec<u16> = services
            .flat_map(|service| [service.address, Some(service.ops)])
            .flatten()
            .map(|address| address.port())
            .collect();
        ports.push(self.tap.address().port());
        let part = |text: &str| text.rsplit(':').next()?.parse::<u16>().ok();
        ports.extend(
            [self.world.registry.host(), self.quarantine.host()].map(part).into_iter().flatten(),
        );
        let uri = self.world.database().split("//").nth(1).unwrap_or_default();
        ports.extend(uri.split(['/', ',']).filter_map(part));
        // The host by every address that it has for its containers.
        let hosts = ["127.0.0.1", "172.17.0.1", "192.168.77.1"].map(|text| text.parse().ok());
        let hosts = hosts.into_iter().flatten();
        hosts.flat_map(|host| ports.iter().map(move |port| SocketAddr::new(host, *port))).collect()
    }

    /// The process id of the worker.
    ///
    /// # Errors
    /// When there is none.
    pub fn worker(&self) -> Result<u32> {
        Ok(self.world.workers.first().context("no worker")?.process.pid())
    }
}

/// The packet filter that a node has (`infra/nodes/nftables.nft`), for the addresses of the tests'
/// slots. What containers say to everybody reaches a bridge's host without it.
fn close_the_node() -> Result<()> {
    let file = given::checkout().join("infra/nodes/nftables.nft");
    let file = file.to_str().context("a path that is not UTF-8")?;
    for arguments in [
        vec!["-f", file],
        vec!["add", "element", "inet", "portcall", "containers", "{ 10.64.0.0/12 }"],
    ] {
        let output = Command::new("nft").args(&arguments).output().context("running nft")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Takes the packet filter away again.
pub fn open_the_node() {
    for family in ["inet", "bridge"] {
        // It may never have been there.
        let _ = Command::new("nft").args(["delete", "table", family, "portcall"]).output();
    }
}

/// The marks of the secrets that the worker is given.
pub fn marks() -> impl Iterator<Item = &'static str> {
    planted::PLANTED.iter().map(|(_, _, mark)| *mark).chain([planted::DATABASE_MARK])
}

/// A text that no layer held before.
fn fresh_text() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    (0..2000_u128).map(|n| format!("{:x}", (now + n).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

fn slug(rules: Rules, profile: Profile) -> String {
    format!("{}-{}", format!("{rules:?}").to_lowercase(), profile.as_str())
}

/// The event for rows of that kind.
fn event(rules: Rules, profile: Profile) -> Event {
    let event = match rules {
        Rules::Control => Event::config(),
        Rules::Answers => Event::checked(portcall_hostile::answers::CHECK),
        Rules::Canary => Event::checked(&super::rows::canary::check(profile)),
        _ => Event::with_check(
            "\"any\"",
            &[
                "{ path = \"$.name\", equals = \"{participant.name}\" }",
                "{ path = \"$.outcome\", equals = \"{answers.outcome}\" }",
            ],
        )
        .answer("outcome"),
    };
    let event = match rules {
        Rules::Short => event.limits("ready_s = 4\nrequest_s = 2\npull_s = 40"),
        Rules::Control => event.limits("ready_s = 30\nrequest_s = 5"),
        Rules::Answers => event.limits("ready_s = 6"),
        Rules::Patient | Rules::Canary => event.limits("ready_s = 40\nrequest_s = 2"),
        Rules::Default => event.limits(""),
        Rules::Generous => {
            event.limits("ready_s = 40\nmemory_mib = 1024\npids = 200\nbody_kib = 256")
        }
    };
    let event = event.slug(&slug(rules, profile));
    match profile {
        Profile::Ordinary => event,
        Profile::Strict => event.strict(),
    }
}
