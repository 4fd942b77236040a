//! What differs is named, whatever it is; what does not is not.

use super::*;
use crate::fleet::{Requests, facts::tests::node};

/// The report of a node on which every wall stands.
fn good(expected: &Expected) -> Report {
    let mut report = Report::default();
    for (name, wanted) in &expected.0 {
        match wanted {
            Wanted::AnyOf(words) => {
                let last = words.last().copied().unwrap_or_default();
                report.attempts.insert((*name).to_owned(), last.to_owned());
            }
            Wanted::Within(range) => _ = report.numbers.insert((*name).to_owned(), *range.end()),
            Wanted::Anything => _ = report.numbers.insert((*name).to_owned(), -7),
        }
    }
    report
}

fn told(report: &Report, expected: &Expected) -> Vec<String> {
    differences(report, expected).iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_report_has_no_differences_and_is_another_one_under_each_profile() {
    let (node, settings) = (node(), NodeSettings::default());
    let [ordinary, strict] =
        [Profile::Ordinary, Profile::Strict].map(|of| Expected::of(of, &node, &settings));
    assert_eq!(told(&good(&ordinary), &ordinary), [""; 0]);
    assert_eq!(told(&good(&strict), &strict), [""; 0]);
    let differing = told(&good(&ordinary), &strict);
    assert!(differing.contains(&"write_rootfs: DONE instead of EROFS".to_owned()));
    assert!(differing.contains(&"cap_bounding: 1219 instead of 0".to_owned()));
}

#[test]
fn every_single_change_is_a_difference() {
    let (node, settings) = (node(), NodeSettings::default());
    let expected = Expected::of(Profile::Strict, &node, &settings);
    for (name, wanted) in &expected.0 {
        let mut report = good(&expected);
        match wanted {
            Wanted::AnyOf(_) => {
                report.attempts.insert((*name).to_owned(), "ELSE".to_owned());
            }
            Wanted::Within(range) => {
                report.numbers.insert((*name).to_owned(), range.end() + 1);
            }
            Wanted::Anything => continue,
        }
        let differing = differences(&report, &expected);
        assert_eq!(differing.len(), 1, "{name}");
        assert_eq!(
            (differing[0].attempt.as_str(), &differing[0].expected),
            (*name, &wanted.to_string())
        );
    }
}

#[test]
fn what_is_missing_and_what_nobody_knows_differ() {
    let (node, settings) = (node(), NodeSettings::default());
    let expected = Expected::of(Profile::Ordinary, &node, &settings);
    let mut report = good(&expected);
    report.attempts.remove("ptrace");
    // A word where a number must be is no number.
    report.numbers.remove("processes");
    report.attempts.insert("processes".to_owned(), "TOO_LATE".to_owned());
    report.attempts.insert("time_travel".to_owned(), "DONE".to_owned());
    let of = told(&report, &expected);
    assert_eq!(
        of,
        [
            "processes: TOO_LATE instead of 120..128",
            "ptrace: missing instead of EPERM",
            "time_travel: DONE instead of unknown",
        ]
    );
    assert_eq!(told(&Report::default(), &expected).len(), expected.0.len());
}

#[test]
fn a_node_that_remaps_users_has_a_namespace_of_its_own_for_them() {
    let mut node = node();
    let settings = NodeSettings::default();
    let wanted = |node: &NodeFacts| {
        let expected = Expected::of(Profile::Strict, node, &settings);
        expected.wanted("ns_user").map(ToString::to_string)
    };
    assert_eq!(wanted(&node).as_deref(), Some("INITIAL"));
    node.security.push("userns".to_owned());
    assert_eq!(wanted(&node).as_deref(), Some("PRIVATE"));
}

#[test]
fn gvisors_kernel_must_be_it_and_is_not_asked_for_our_filter() {
    let node = node();
    let settings = NodeSettings { runtime: Some("runsc".to_owned()), ..Default::default() };
    let expected = Expected::of(Profile::Ordinary, &node, &settings);
    let wanted = |name: &str| expected.wanted(name).map(ToString::to_string);
    assert_eq!(wanted("whose_kernel").as_deref(), Some("GVISOR"));
    assert_eq!(wanted("ptrace").as_deref(), Some("anything"));
    assert_eq!(wanted("setuid_0").as_deref(), Some("DONE"));
    assert_eq!(wanted("processes").as_deref(), Some("NOT_TRIED"));
    assert_eq!(wanted("tmp_bytes").as_deref(), Some("16777216"));
    let mut report = good(&expected);
    assert_eq!(told(&report, &expected), [""; 0]);
    // What is not told at all is missing there too.
    report.numbers.remove("ptrace");
    assert_eq!(told(&report, &expected), ["ptrace: missing instead of anything"]);
}

/// What a task's canary must tell otherwise than a container's: all of it, under both profiles.
#[test]
fn a_task_differs_in_what_a_service_cannot_carry_and_in_nothing_else() {
    let (container, settings) = (node(), NodeSettings::default());
    let task = NodeFacts { requests: Requests::Services, swap: Some(0), ..container.clone() };
    let differing = |task: &NodeFacts, profile| {
        let [here, there] = [&container, task].map(|node| Expected::of(profile, node, &settings));
        let differs = |(name, wanted): &(&&'static str, &Wanted)| here.wanted(name) != Some(wanted);
        there.0.iter().filter(differs).map(|(name, it)| format!("{name}: {it}")).collect::<Vec<_>>()
    };
    let most = i64::MAX;
    let everywhere = |of_profile: &[String]| {
        let mut all: Vec<String> = [
            "gateway: ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EACCES|EPERM",
            "oom_score: 0..1000",
            "read_interrupts: anything",
            "read_pressure: anything",
            "read_thermal: anything",
            "read_zoneinfo: anything",
            "swap_mib: 0..256",
        ]
        .map(str::to_owned)
        .into();
        all.extend(["data", "tmp"].map(|of| format!("{of}_inodes: 1..{most}")));
        all.extend_from_slice(of_profile);
        all.sort();
        all
    };
    let ordinary = ["exec_data: EACCES", "exec_tmp: EACCES"].map(str::to_owned);
    assert_eq!(differing(&task, Profile::Ordinary), everywhere(&ordinary));
    let strict = [format!("run_inodes: 1..{most}"), "af_netlink_route: DONE|EPERM".to_owned()];
    assert_eq!(differing(&task, Profile::Strict), everywhere(&strict));
    // Where a service carries the filter, it holds; where a node may swap, the container may not.
    let newer = NodeFacts { api: (1, 44), ..task.clone() };
    let wanted = |node: &NodeFacts, name| {
        let expected = Expected::of(Profile::Strict, node, &settings);
        expected.wanted(name).map(ToString::to_string)
    };
    assert_eq!(wanted(&newer, "af_netlink_route").as_deref(), Some("EPERM"));
    for swap in [None, Some(1)] {
        let swapping = NodeFacts { swap, ..task.clone() };
        assert_eq!(wanted(&swapping, "swap_mib").as_deref(), Some("0"));
    }
}
