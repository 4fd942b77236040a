//! The packet filter, on a node with two networks of containers and a world beyond it that is the
//! tests' own: what nobody may reach is a listener or a counter, so that an escape would be seen.
//!
//! ```text
//!   stranger 10.213.0.2 ─┐                          ┌─ world: 198.51.100.2, 192.168.7.7,
//!   prober   10.213.0.3 ─┴ br-0123456789ab ─ node ──┤         203.0.113.9 and 169.254.169.254
//!   neighbour 10.213.0.18 ─ br-ba9876543210 ─┘      └
//! ```
//!
//! The node is the worst one: it forwards, its bridges have addresses, containers have a route.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::process::{Ended, Process};

use crate::space::{Own, Space};

/// Bash by its own means; a refusal comes at once, silence takes this long.
const SILENCE_S: u32 = 2;

struct Lab {
    node: Space,
    stranger: Space,
    prober: Space,
    neighbour: Space,
    world: Space,
    _listeners: Vec<Process>,
}

impl Lab {
    async fn new() -> Result<Self> {
        let node = Space::new(Own::Settings).await?;
        let (stranger, prober) = (Space::new(Own::Network).await?, Space::new(Own::Network).await?);
        let (neighbour, world) = (Space::new(Own::Network).await?, Space::new(Own::Network).await?);
        node.must(
            "set -e
            ip link add br-0123456789ab type bridge && ip addr add 10.213.0.1/28 dev br-0123456789ab
            ip link add br-ba9876543210 type bridge && ip addr add 10.213.0.17/28 dev br-ba9876543210
            ip link set br-0123456789ab up && ip link set br-ba9876543210 up
            echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
        )
        .await?;
        for (of, bridge, address, gateway) in [
            (&stranger, "br-0123456789ab", "10.213.0.2", "10.213.0.1"),
            (&prober, "br-0123456789ab", "10.213.0.3", "10.213.0.1"),
            (&neighbour, "br-ba9876543210", "10.213.0.18", "10.213.0.17"),
        ] {
            let (pid, port) = (of.pid(), format!("veth{}", of.pid()));
            node.must(&format!(
                "ip link add {port} type veth peer name eth0 netns {pid} \
                 && ip link set {port} master {bridge} up"
            ))
            .await?;
            of.must(&format!(
                "ip addr add {address}/28 dev eth0 && ip link set eth0 up \
                 && ip route add default via {gateway}"
            ))
            .await?;
        }
        node.must(&format!(
            "set -e
            ip link add uplink type veth peer name eth0 netns {}
            ip addr add 198.51.100.1/24 dev uplink && ip link set uplink up",
            world.pid()
        ))
        .await?;
        world
            .must(
                "set -e
                ip addr add 198.51.100.2/24 dev eth0 && ip link set eth0 up
                for lure in 169.254.169.254 192.168.7.7 203.0.113.9; do ip addr add $lure/32 dev lo; done
                ip route add 10.213.0.0/16 via 198.51.100.1
                nft 'table inet lure {
                  counter strangers { }
                  counter dns { }
                  counter node { }
                  chain seen {
                    type filter hook input priority 0; policy accept;
                    ip saddr 10.213.0.0/16 counter name strangers
                    ip saddr 198.51.100.1 udp dport 53 counter name dns
                    ip saddr 198.51.100.1 ct state new counter name node
                  }
                }'",
            )
            .await?;
        node.must("ip route add default via 198.51.100.2").await?;
        let mut listeners = Vec::new();
        for (of, ports) in [
            (&node, &[22, 2375, 2377][..]),
            (&stranger, &[80]),
            (&prober, &[80]),
            (&neighbour, &[80]),
            (&world, &[80, 5000]),
        ] {
            for port in ports {
                listeners.push(of.listen(*port).await?);
            }
        }
        Ok(Self { node, stranger, prober, neighbour, world, _listeners: listeners })
    }

    async fn apply(&self, options: &str) -> Result<()> {
        self.node.must(&format!("\"$NODES/node\" apply {options}")).await?;
        Ok(())
    }

    /// What one counter of the node's filter has counted.
    async fn counted(&self, counter: &str) -> Result<u64> {
        counter_of(&self.node, "portcall", counter).await
    }
}

async fn counter_of(space: &Space, table: &str, counter: &str) -> Result<u64> {
    let told = space.must(&format!("nft list counter inet {table} {counter}")).await?;
    let after = told.split("packets ").nth(1).context("no packets in it")?;
    Ok(after.split(' ').next().unwrap_or_default().parse()?)
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialled {
    Connected,
    Refused,
    Silence,
}

async fn dial(from: &Space, to: &str, port: u16) -> Result<Dialled> {
    let script = format!("timeout {SILENCE_S} bash -c ': <>/dev/tcp/{to}/{port}' 2>&1");
    let done = from.run(&script).await?;
    Ok(match done.ended {
        Ended::Code(0) => Dialled::Connected,
        Ended::Code(124) => Dialled::Silence,
        _ => Dialled::Refused,
    })
}

/// Where a stranger must not get, and which counter says that he tried.
const OUT_OF_REACH: [(&str, u16, &str); 8] = [
    ("10.213.0.1", 22, "to_machine"),
    ("10.213.0.1", 2375, "to_machine"),
    ("198.51.100.1", 22, "to_machine"),
    ("10.213.0.18", 80, "to_neighbours"),
    ("169.254.169.254", 80, "to_link_local"),
    ("192.168.7.7", 80, "to_private"),
    ("198.51.100.2", 80, "to_world"),
    ("203.0.113.9", 80, "to_world"),
];

#[tokio::test]
async fn a_stranger_reaches_his_own_network_and_nothing_else() -> Result<()> {
    let lab = Lab::new().await?;
    // The control: without the filter he reaches everything, and the lures see him.
    for (to, port, _) in OUT_OF_REACH {
        assert_eq!(dial(&lab.stranger, to, port).await?, Dialled::Connected, "{to}:{port}");
    }
    lab.stranger.must("echo name >/dev/udp/203.0.113.9/53").await?;
    let seen = counter_of(&lab.world, "lure", "strangers").await?;
    ensure!(seen >= 9, "the lures saw {seen} packets only");
    assert_eq!(dial(&lab.world, "10.213.0.2", 80).await?, Dialled::Connected);

    lab.apply("").await?;
    let before = counter_of(&lab.world, "lure", "strangers").await?;
    for (to, port, counter) in OUT_OF_REACH {
        let already = lab.counted(counter).await?;
        assert_eq!(dial(&lab.stranger, to, port).await?, Dialled::Silence, "{to}:{port}");
        ensure!(lab.counted(counter).await? > already, "{counter} did not count {to}:{port}");
    }
    for datagram in ["203.0.113.9/53", "198.51.100.1/4789", "10.213.0.1/7946"] {
        lab.stranger.must(&format!("echo name >/dev/udp/{datagram}")).await?;
    }
    assert_eq!(counter_of(&lab.world, "lure", "strangers").await?, before, "a lure saw him");
    // Within his own network all is as before, also for the packets of br_netfilter.
    assert_eq!(dial(&lab.prober, "10.213.0.2", 80).await?, Dialled::Connected);
    assert_eq!(dial(&lab.stranger, "10.213.0.3", 80).await?, Dialled::Connected);
    // From outside nobody reaches a container, and everybody what the machine offers itself.
    assert_eq!(dial(&lab.world, "10.213.0.2", 80).await?, Dialled::Silence);
    ensure!(lab.counted("to_containers").await? > 0);
    assert_eq!(dial(&lab.neighbour, "10.213.0.2", 80).await?, Dialled::Silence);
    assert_eq!(dial(&lab.world, "198.51.100.1", 22).await?, Dialled::Connected);

    // Taken back, he is free again.
    lab.node.must("\"$NODES/node\" remove").await?;
    assert_eq!(dial(&lab.stranger, "169.254.169.254", 80).await?, Dialled::Connected);
    ensure!(counter_of(&lab.world, "lure", "strangers").await? > before);
    Ok(())
}

/// What carries an address that is no container's is known by its bridge.
#[tokio::test]
async fn forged_addresses_and_ipv6_get_no_further() -> Result<()> {
    let lab = Lab::new().await?;
    lab.stranger
        .must("ip addr add 10.99.0.5/24 dev eth0 && ip -6 addr add fd00::2/64 dev eth0 nodad")
        .await?;
    lab.node.must("ip addr add 10.99.0.1/24 dev br-0123456789ab && ip -6 addr add fd00::1/64 dev br-0123456789ab nodad").await?;
    lab.world.must("ip route add 10.99.0.0/24 via 198.51.100.1").await?;
    let v6 = lab.node.start(
        "listener-v6",
        &portcall_tests::parts::given::static_program("app")?,
        &["listen:[::]:8006"],
    )?;
    portcall_tests::wait::until("a listener on IPv6", crate::space::SOON, || async {
        let there = dial(&lab.node, "::1", 8006).await? == Dialled::Connected;
        Ok(there.then_some(()))
    })
    .await?;
    let forged = "curl -s --interface 10.99.0.5 --connect-timeout 2 http://203.0.113.9/";
    let forged_ends = |done: portcall_tests::parts::process::Finished| done.ended;
    assert_eq!(forged_ends(lab.stranger.run(forged).await?), Ended::Code(0));
    assert_eq!(dial(&lab.stranger, "fd00::1", 8006).await?, Dialled::Connected);
    lab.apply("").await?;
    assert_eq!(forged_ends(lab.stranger.run(forged).await?), Ended::Code(28));
    assert_eq!(dial(&lab.stranger, "fd00::1", 8006).await?, Dialled::Silence);
    drop(v6);

    // A bridge of the machine's own that is called like one of the engine's is left alone.
    lab.node.must("\"$NODES/node\" remove && ip link add br-lan type bridge").await?;
    lab.apply("").await?;
    let told = lab.node.must("\"$NODES/node\" check | grep br-lan").await?;
    ensure!(told.starts_with("warn"), "{told}");
    let bridges = lab.node.must("nft list set inet portcall bridges").await?;
    ensure!(!bridges.contains("br-*"), "{bridges}");
    Ok(())
}

#[tokio::test]
async fn the_engine_and_the_swarm_answer_only_whom_they_are_told() -> Result<()> {
    let lab = Lab::new().await?;
    lab.apply("").await?;
    for (port, counter) in [(2375, "to_engine"), (2377, "to_swarm")] {
        assert_eq!(dial(&lab.world, "198.51.100.1", port).await?, Dialled::Silence);
        ensure!(lab.counted(counter).await? > 0, "{counter}");
        assert_eq!(dial(&lab.node, "127.0.0.1", port).await?, Dialled::Connected);
    }
    // A forged packet of an overlay.
    let already = lab.counted("to_swarm").await?;
    lab.world.must("echo frame >/dev/udp/198.51.100.1/4789").await?;
    ensure!(lab.counted("to_swarm").await? > already);

    lab.apply("--workers 198.51.100.2 --nodes 198.51.100.3").await?;
    assert_eq!(dial(&lab.world, "198.51.100.1", 2375).await?, Dialled::Connected);
    assert_eq!(dial(&lab.world, "198.51.100.1", 2377).await?, Dialled::Silence);
    lab.apply("--workers 198.51.100.3 --nodes 198.51.100.0/28").await?;
    assert_eq!(dial(&lab.world, "198.51.100.1", 2375).await?, Dialled::Silence);
    assert_eq!(dial(&lab.world, "198.51.100.1", 2377).await?, Dialled::Connected);
    let already = lab.counted("to_swarm").await?;
    lab.world.must("echo frame >/dev/udp/198.51.100.1/4789").await?;
    assert_eq!(lab.counted("to_swarm").await?, already);
    Ok(())
}

/// The engine dials what a registry sends it on to: so its machine gets no further than it must.
#[tokio::test]
async fn a_closed_machine_reaches_its_registry_and_little_else() -> Result<()> {
    let lab = Lab::new().await?;
    lab.apply("--quarantine 198.51.100.2:5000").await?;
    for (to, port) in [("198.51.100.2", 5000), ("198.51.100.2", 80), ("203.0.113.9", 80)] {
        assert_eq!(
            dial(&lab.node, to, port).await?,
            Dialled::Connected,
            "the control: {to}:{port}"
        );
    }
    lab.apply("--egress closed --resolvers 198.51.100.2").await?;
    let seen = counter_of(&lab.world, "lure", "node").await?;
    for (to, port) in [("198.51.100.2", 80), ("203.0.113.9", 80), ("169.254.169.254", 80)] {
        assert_eq!(dial(&lab.node, to, port).await?, Dialled::Refused, "{to}:{port}");
    }
    assert_eq!(counter_of(&lab.world, "lure", "node").await?, seen, "the world saw it");
    ensure!(lab.counted("from_machine").await? >= 3);
    let asked = counter_of(&lab.world, "lure", "dns").await?;
    lab.node.run("echo name >/dev/udp/203.0.113.9/53").await?;
    assert_eq!(counter_of(&lab.world, "lure", "dns").await?, asked);
    lab.node.must("echo name >/dev/udp/198.51.100.2/53").await?;
    assert_eq!(counter_of(&lab.world, "lure", "dns").await?, asked + 1);
    assert_eq!(dial(&lab.node, "198.51.100.2", 5000).await?, Dialled::Connected);
    assert_eq!(dial(&lab.node, "127.0.0.1", 22).await?, Dialled::Connected);
    // Answering is no way out.
    assert_eq!(dial(&lab.world, "198.51.100.1", 22).await?, Dialled::Connected);
    Ok(())
}

/// What a stranger floods his slot's overlay with arrives at a manager: no faster than its rate, and
/// his neighbours' overlays go on.
#[tokio::test]
async fn an_overlay_sends_no_faster_than_its_rate_and_slows_no_other() -> Result<()> {
    /// Some 14 megabytes, which a machine sends within a second or two.
    const FLOOD: u64 = 10_000;
    let lab = Lab::new().await?;
    lab.world
        .must(
            "nft 'table inet arrivals {
              counter overlays { }
              chain seen {
                type filter hook input priority 0; policy accept;
                udp dport 4789 counter name overlays drop
              }
            }'",
        )
        .await?;
    let arrived = || counter_of(&lab.world, "arrivals", "overlays");
    // A VXLAN header with the overlay's number, and 1,400 bytes.
    let send = async |overlay: u8, packets: u64| {
        // Each printf is a datagram; one that is dropped fails.
        let script = format!(
            "exec 3>/dev/udp/198.51.100.2/4789
            for ((i = 0; i < {packets}; i++)); do
              printf '\\x08\\0\\0\\0\\0\\0\\x{overlay:02x}\\0%01400d' 0 >&3
            done 2>/dev/null
            true"
        );
        lab.node.must(&script).await
    };
    send(1, FLOOD).await?;
    assert_eq!(arrived().await?, FLOOD, "the control: without the filter all arrive");

    lab.apply("--nodes 198.51.100.2 --overlay-rate 1").await?;
    send(1, FLOOD).await?;
    let (first, dropped) = (arrived().await? - FLOOD, lab.counted("over_rate").await?);
    assert_eq!(first + dropped, FLOOD);
    ensure!(first < FLOOD / 2, "{first} of {FLOOD} arrived");
    send(2, 100).await?;
    assert_eq!(arrived().await? - FLOOD - first, 100, "another overlay's");
    Ok(())
}

/// Whatever a stranger sends, the node's table of connections stays as it is.
#[tokio::test]
async fn a_strangers_flows_take_no_room_in_the_table_of_connections() -> Result<()> {
    const FLOWS: u32 = 300;
    let lab = Lab::new().await?;
    // What makes an engine's node look at connections at all.
    lab.node.must("nft 'table ip engine { chain forward { type filter hook forward priority 0; ct state established accept; }; }'").await?;
    let flood = format!(
        "for ((port = 1000; port < {}; port++)); do echo x >/dev/udp/10.213.0.3/$port; done 2>/dev/null; true",
        1000 + FLOWS
    );
    let count = || async {
        let told = lab.node.must("cat /proc/sys/net/netfilter/nf_conntrack_count").await?;
        anyhow::Ok(told.trim().parse::<u32>()?)
    };
    lab.apply("").await?;
    let before = count().await?;
    lab.stranger.must(&flood).await?;
    let after = count().await?;
    ensure!(after <= before, "{before} connections became {after}");
    lab.node.must("nft delete table inet portcall").await?;
    lab.stranger.must(&flood).await?;
    let free = count().await?;
    ensure!(free >= after + FLOWS, "the control: {after} connections became only {free}");
    Ok(())
}

/// The file by itself, without addresses, loads and lets nobody in.
#[tokio::test]
async fn the_rules_load_again_and_again_and_whole_or_not_at_all() -> Result<()> {
    let space = Space::new(Own::Network).await?;
    let list = "nft -s list ruleset";
    space.must("nft -f \"$NODES/nftables.nft\"").await?;
    let first = space.must(list).await?;
    space.must("nft -f \"$NODES/nftables.nft\"").await?;
    assert_eq!(space.must(list).await?, first);
    let broken =
        "sed 's/th dport 53 accept/th dport fifty accept/' \"$NODES/nftables.nft\" | nft -f -";
    assert_ne!(space.run(broken).await?.ended, Ended::Code(0));
    assert_eq!(space.must(list).await?, first);
    ensure!(Path::new("/proc/self/ns/net").exists());
    Ok(())
}
