//! Requests, whole, as snapshots.

use portcall_shared::domain::ids::{Generation, SubmissionId, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::fleet::{
    facts::tests::node,
    labels::{Identity, Kind, LabelKey, Owner},
    workload::{ImageDeclares, Role},
};

pub(in crate::fleet) fn spec(profile: Profile) -> ContainerSpec {
    ContainerSpec {
        role: Role::Image,
        index: 0,
        alias: "vote".into(),
        image: format!("registry.example/u/app@sha256:{}", "ab".repeat(32)),
        profile,
        limits: Limits::of(profile),
        declared: ImageDeclares { volumes: vec!["/data/".into()], ..Default::default() },
    }
}

pub(in crate::fleet) fn labels(kind: Kind) -> HashMap<String, String> {
    let worker = WorkerId::from(Uuid::from_u128(1));
    let submission = SubmissionId::from(Uuid::from_u128(2));
    let owner = Owner { submission, generation: Generation(3), worker };
    let identity = match kind {
        Kind::Workload | Kind::Service => Identity::of_workload(kind, &owner),
        Kind::Prober | Kind::Canary | Kind::Slot => Identity::of_slot(kind, worker),
    };
    LabelKey([7; 32]).sign(&identity)
}

pub(in crate::fleet) fn request(profile: Profile, settings: &NodeSettings) -> ContainerCreateBody {
    let node = node();
    let place = Place { network: "slot-network-id", uid: 20_007, node: &node, settings };
    container(&spec(profile), &place, labels(Kind::Workload))
}

fn prober_request() -> ContainerCreateBody {
    let (node, settings) = (node(), NodeSettings::default());
    let place = Place { network: "slot-network-id", uid: 30_007, node: &node, settings: &settings };
    let subnet = "10.213.0.112/28".parse().unwrap();
    prober("portcall-prober:0123456789ab", &subnet, &place, labels(Kind::Prober))
}

/// The whole request; the filter of system calls, which has tests of its own, by its name.
fn shown(request: impl serde::Serialize) -> Value {
    let mut value = serde_json::to_value(request).unwrap();
    let options = value.pointer_mut("/HostConfig/SecurityOpt").and_then(Value::as_array_mut);
    for option in options.into_iter().flatten() {
        for (of, name) in [(Profile::Ordinary, "ordinary"), (Profile::Strict, "strict")] {
            if *option == json!(format!("seccomp={}", seccomp::profile(of))) {
                *option = json!(format!("seccomp=<infra/nodes/seccomp.json, {name}>"));
            }
        }
    }
    value
}

/// A snapshot whose maps are in order, whatever order they were made in.
macro_rules! snapshot {
    ($value:expr) => {
        insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!($value) })
    };
}

#[test]
fn a_container_under_the_ordinary_profile() {
    snapshot!(shown(request(Profile::Ordinary, &NodeSettings::default())));
}

#[test]
fn a_container_under_the_strict_profile() {
    snapshot!(shown(request(Profile::Strict, &NodeSettings::default())));
}

#[test]
fn a_prober() {
    snapshot!(shown(prober_request()));
}

#[test]
fn a_network_on_an_old_and_on_a_new_engine() {
    let subnet = "10.213.0.112/28".parse().unwrap();
    let mut node = node();
    snapshot!(shown(network("portcall-slot", &subnet, &node, labels(Kind::Slot))));
    node.api = (1, 48);
    let newer = network("portcall-slot", &subnet, &node, labels(Kind::Slot));
    assert_eq!(
        newer.options.unwrap(),
        [("com.docker.network.bridge.gateway_mode_ipv4".to_owned(), "isolated".to_owned())].into()
    );
}

#[test]
fn what_the_operator_of_a_node_decides() {
    let settings = NodeSettings {
        runtime: Some("runsc".into()),
        cgroup_parent: Some("/grader.slice".into()),
        cpuset: Some("1".into()),
        throttle: Some(DiskThrottle {
            device: "/dev/vda".into(),
            bytes_per_s: 20_000_000,
            operations_per_s: 500,
        }),
        root_quota: RootQuota::Project,
    };
    let plain = shown(request(Profile::Ordinary, &NodeSettings::default()));
    let decided = shown(request(Profile::Ordinary, &settings));
    let plain = plain["HostConfig"].as_object().unwrap();
    let changed: serde_json::Map<String, Value> = decided["HostConfig"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| plain.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    snapshot!(changed);
}

#[test]
fn nothing_in_a_request_opens_a_way_out() {
    for body in [
        request(Profile::Ordinary, &NodeSettings::default()),
        request(Profile::Strict, &NodeSettings::default()),
        prober_request(),
    ] {
        let host = body.host_config.unwrap();
        assert_eq!(host.privileged, Some(false));
        assert_eq!(host.binds, None);
        assert_eq!(host.mounts, None);
        assert_eq!(host.volumes_from, None);
        assert_eq!(host.devices, None);
        assert_eq!(host.port_bindings, None);
        assert_eq!(host.publish_all_ports, Some(false));
        assert_eq!(host.pid_mode, None);
        assert_eq!(host.uts_mode, None);
        assert_eq!(host.userns_mode, None);
        assert_eq!(host.memory, host.memory_swap);
        assert!(host.pids_limit > Some(0) && host.nano_cpus > Some(0));
        assert_eq!(body.env, None);
    }
}

/// A process beyond either of these is killed, or cannot be made, through nobody's fault.
#[test]
fn no_limit_is_asked_for_that_honest_images_die_of() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        let ulimits = request(profile, &NodeSettings::default()).host_config.unwrap().ulimits;
        let names: Vec<_> = ulimits.unwrap().into_iter().filter_map(|limit| limit.name).collect();
        assert!(names.contains(&"nofile".to_owned()));
        assert!(!names.iter().any(|name| ["nproc", "fsize"].contains(&name.as_str())), "{names:?}");
    }
}

#[test]
fn a_volume_cannot_take_the_place_of_tmp() {
    let mut spec = spec(Profile::Ordinary);
    spec.declared.volumes = vec!["/tmp/".into(), "//var/./lib/x//".into()];
    let mounts = tmpfs(&spec);
    assert_eq!(mounts.keys().collect::<Vec<_>>(), ["/tmp", "/var/lib/x"]);
    assert!(mounts["/tmp"].contains("size=16m"));
}
