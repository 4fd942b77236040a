//! D: neighbours, the host, the platform, the world.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::corpus::{
    row::{
        Expected::{Achieved, Passed},
        Row,
        Rules::{Patient, Short},
    },
    scene::Stand,
};

const NOTHING_OPEN: crate::corpus::Expected = Achieved("open=0", "open=0");

const IPV6_SILENT: &str = "sent over IPv6=0";

pub(super) const ROWS: &[Row] = &[
    Row::graded(
        "D01",
        "every port of every neighbour",
        Patient,
        Achieved("neighbours=1 open=0", "neighbours=1 open=0"),
        |s| s.hostile("scan"),
    ),
    Row::graded(
        "D02",
        "listens for another submission",
        Patient,
        Achieved("strangers=0", "strangers=0"),
        |s| s.hostile("listener"),
    )
    .together("D02"),
    Row::graded("D02", "dials another submission", Patient, NOTHING_OPEN, |s| {
        let everywhere = s.scene.slot_addresses().into_iter().map(|host| format!("{host}:9999"));
        let everywhere: Vec<String> = everywhere.collect();
        Ok(s.hostile("dialler")?.env("HOSTILE_TARGETS", &everywhere.join(",")))
    })
    .together("D02"),
    Row::graded(
        "D05",
        "names that carry data",
        Patient,
        Achieved("resolved=0", "resolved=0"),
        |s| Ok(s.hostile("dns")?.env("HOSTILE_TARGETS", &lures(s, &[53]))),
    ),
    Row::graded("D06", "metadata of the machine", Patient, NOTHING_OPEN, |s| {
        let metadata = ["169.254.169.254:80", "[fd00:ec2::254]:80"].join(",");
        Ok(s.hostile("reach")?.env("HOSTILE_TARGETS", &metadata))
    }),
    Row::graded("D07", "the internet", Patient, NOTHING_OPEN, |s| {
        let internet = ["203.0.113.10:80", "203.0.113.10:443", "[2001:db8::10]:80"].join(",");
        Ok(s.hostile("reach")?.env("HOSTILE_TARGETS", &internet))
    }),
    Row::graded("D08", "the host and the platform", Patient, NOTHING_OPEN, |s| {
        let datagrams = lures(s, &[53, 4789, 7946]);
        Ok(s.hostile("reach")?.env("HOSTILE_TARGETS", &format!("{},{datagrams}", s.targets())))
    }),
    Row::graded("D09", "attacks the prober back", Short, Passed, |s| s.hostile("harass")),
    Row::graded(
        "D11",
        "multicast and broadcast",
        Patient,
        Achieved(IPV6_SILENT, IPV6_SILENT),
        |s| s.hostile("multicast"),
    ),
    Row::graded("D12", "packets of an overlay", Patient, Achieved(IPV6_SILENT, IPV6_SILENT), |s| {
        Ok(s.hostile("overlay")?.env("HOSTILE_TARGETS", &lures(s, &[4789])))
    }),
    Row::graded("D13", "holds on after its removal", Short, Passed, |s| s.hostile("immortal")),
];

/// These ports of every address that has lures. Datagrams are listened for at 53, 4789 and 7946.
fn lures(stand: &Stand<'_>, ports: &[u16]) -> String {
    let hosts: BTreeSet<_> = stand.scene.lures.targets().iter().map(SocketAddr::ip).collect();
    let at = hosts.iter().flat_map(|host| ports.iter().map(|port| SocketAddr::new(*host, *port)));
    at.map(|target| target.to_string()).collect::<Vec<_>>().join(",")
}
