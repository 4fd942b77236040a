//! Requests, whole, as snapshots.

use serde_json::{Value, json};

use super::*;
use crate::fleet::{
    labels::Kind,
    request::tests::{labels, spec},
};

pub(in crate::fleet::swarm) fn request(profile: Profile, api: Version) -> ServiceSpec {
    let place = Place { network: "slot-network-id", uid: 20_007, node: "node-id", api };
    service("portcall-2-3-0", &spec(profile), &place, &labels(Kind::Workload))
}

/// The whole request; the filter of system calls, which has tests of its own, by its name.
fn shown(request: impl serde::Serialize) -> Value {
    let mut value = serde_json::to_value(request).unwrap();
    let filter = value.pointer_mut("/TaskTemplate/ContainerSpec/Privileges/Seccomp/Profile");
    if let Some(filter) = filter {
        for (of, name) in [(Profile::Ordinary, "ordinary"), (Profile::Strict, "strict")] {
            if *filter == json!(STANDARD.encode(seccomp::profile(of))) {
                *filter = json!(format!("<infra/nodes/seccomp.json, {name}>"));
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
fn a_service_under_the_ordinary_profile() {
    snapshot!(shown(request(Profile::Ordinary, (1, 41))));
}

#[test]
fn a_service_under_the_strict_profile_on_a_newer_engine() {
    snapshot!(shown(request(Profile::Strict, (1, 44))));
}

#[test]
fn an_anchor() {
    let place = Place { network: "slot-network-id", uid: 40_007, node: "node-id", api: (1, 41) };
    let image = format!("quarantine.example/portcall@sha256:{}", "cd".repeat(32));
    let labels = labels(Kind::Prober);
    snapshot!(shown(anchor("portcall-1-0-7-anchor", &image, &place, &labels)));
}

#[test]
fn an_overlay() {
    let subnet = "10.213.0.112/28".parse().unwrap();
    snapshot!(shown(network("portcall-1-0-7", &subnet, labels(Kind::Slot))));
}

#[test]
fn a_newer_engine_is_asked_for_more_and_for_nothing_less() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        let old = serde_json::to_value(request(profile, (1, 43))).unwrap();
        let mut new = serde_json::to_value(request(profile, (1, 44))).unwrap();
        let container = new.pointer_mut("/TaskTemplate/ContainerSpec").unwrap();
        let privileges = container.as_object_mut().unwrap().remove("Privileges").unwrap();
        assert_eq!(privileges["NoNewPrivileges"], true);
        assert_eq!(privileges["Seccomp"]["Mode"], "custom");
        assert_eq!(new, old);
    }
}

#[test]
fn its_task_is_all_that_is_added_for_the_start() {
    let made = request(Profile::Strict, (1, 41));
    let started = with_its_task(&made);
    assert_eq!(made.mode.as_ref().unwrap().replicated.as_ref().unwrap().replicas, Some(0));
    assert_eq!(started.mode.as_ref().unwrap().replicated.as_ref().unwrap().replicas, Some(1));
    assert_eq!(ServiceSpec { mode: made.mode.clone(), ..started }, made);
}

#[test]
fn nothing_in_a_request_opens_a_way_out_or_is_a_template() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        let request = request(profile, (1, 44));
        let task = request.task_template.clone().unwrap();
        let container = task.container_spec.clone().unwrap();
        assert_eq!(container.env, None);
        assert_eq!(container.hosts, None);
        assert_eq!(container.groups, None);
        assert_eq!((container.secrets, container.configs), (None, None));
        assert_eq!(request.endpoint_spec.unwrap().ports, None);
        assert_eq!(task.networks.unwrap().len(), 1);
        for mount in container.mounts.unwrap() {
            assert_eq!((mount.typ, mount.source), (Some(MountType::TMPFS), None));
        }
        let resources = task.resources.unwrap();
        let (most, kept) = (resources.limits.unwrap(), resources.reservations.unwrap());
        assert_eq!((most.nano_cpus, most.memory_bytes), (kept.nano_cpus, kept.memory_bytes));
        assert!(most.pids > Some(0));
        let text = serde_json::to_string(&request.name).unwrap() + &container.hostname.unwrap();
        assert!(!text.contains("{{"));
    }
}

#[test]
fn every_name_of_a_slot_is_one_that_a_service_may_have() {
    // The largest pool and the largest number.
    let network = format!("portcall-{}-{}-{}", "a".repeat(32), 999, (1 << 20) - 1);
    assert!(format!("{network}-anchor").len() <= 63);
    assert!(format!("{network}-canary").len() <= 63);
}
