//! What following comes to, and what it says.

use super::*;

fn service(tag: &str, state: &str) -> Service {
    Service {
        name: "api".to_owned(),
        image: format!("p/api:{tag}@sha256:00"),
        previous: None,
        replicas: 2,
        state: state.to_owned(),
        message: "what the swarm says".to_owned(),
    }
}

fn task(number: u32, tag: &str, wanted: bool, state: &str) -> Task {
    Task {
        id: format!("{number}{tag}"),
        name: format!("portcall_api.{number}"),
        image: format!("p/api:{tag}"),
        node: "m1".to_owned(),
        wanted,
        state: state.to_owned(),
        error: if state == "Failed" { "unhealthy container".to_owned() } else { String::new() },
    }
}

fn to(tag: &str) -> Goal {
    Goal::Version(tag.to_owned())
}

#[test]
fn it_is_reached_when_every_task_is_new_and_runs() {
    let both = [task(1, "b", true, "Running"), task(2, "b", true, "Running")];
    for state in ["completed", ""] {
        assert_eq!(outcome(&service("b", state), &both, &to("b")), Some(Outcome::Reached));
    }
    assert_eq!(outcome(&service("b", "updating"), &both, &to("b")), None);
    let one_starts = [task(1, "b", true, "Running"), task(2, "b", true, "Starting")];
    assert_eq!(outcome(&service("b", "completed"), &one_starts, &to("b")), None);
    assert_eq!(outcome(&service("b", "completed"), &both[..1], &to("b")), None);
    let old_beside = [both[0].clone(), both[1].clone(), task(2, "a", true, "Running")];
    assert_eq!(outcome(&service("b", "completed"), &old_beside, &to("b")), None);
}

#[test]
fn before_the_swarm_begins_nothing_is_reached() {
    let old = [task(1, "a", true, "Running"), task(2, "a", true, "Running")];
    assert_eq!(outcome(&service("b", ""), &old, &to("b")), None);
    assert_eq!(outcome(&service("a", "completed"), &old, &to("b")), None);
}

#[test]
fn what_is_taken_back_says_why() {
    let tasks = [
        task(1, "a", true, "Running"),
        task(1, "b", false, "Failed"),
        task(2, "a", true, "Running"),
    ];
    let back = Outcome::TakenBack("unhealthy container on m1".to_owned());
    assert_eq!(outcome(&service("a", "rollback_completed"), &tasks, &to("b")), Some(back));
    assert_eq!(outcome(&service("a", "rollback_started"), &tasks, &to("b")), None);
    let stuck = Outcome::Stuck("unhealthy container on m1".to_owned());
    assert_eq!(outcome(&service("a", "rollback_paused"), &tasks, &to("b")), Some(stuck.clone()));
    assert_eq!(outcome(&service("b", "paused"), &tasks, &to("b")), Some(stuck));
    let silent = [task(1, "a", true, "Running"), task(2, "a", true, "Running")];
    let back = "it was not ready in time (what the swarm says)";
    let back = Outcome::TakenBack(back.to_owned());
    assert_eq!(outcome(&service("a", "rollback_completed"), &silent, &to("b")), Some(back.clone()));
    // Only settings or secrets were to be others.
    assert_eq!(outcome(&service("a", "rollback_completed"), &silent, &to("a")), Some(back));
}

#[test]
fn going_back_is_reached_by_going_back() {
    let tasks = [task(1, "a", true, "Running"), task(2, "a", true, "Running")];
    let reached = Some(Outcome::Reached);
    assert_eq!(outcome(&service("a", "rollback_completed"), &tasks, &Goal::Before), reached);
    assert_eq!(outcome(&service("a", "rollback_started"), &tasks, &Goal::Before), None);
    assert_eq!(outcome(&service("a", "rollback_completed"), &tasks[..1], &Goal::Before), None);
}

#[test]
fn what_is_never_ready_is_told_apart_from_what_is_retired() {
    let mut diary = Diary::default();
    let old = task(1, "a", true, "Running");
    diary.note(&to("b"), std::slice::from_ref(&old));
    diary.note(&to("b"), &[task(1, "b", true, "Starting"), old.clone()]);
    // Its engine ends it, and it ends well.
    assert_eq!(diary.note(&to("b"), &[task(1, "b", false, "Running"), old.clone()]), [""; 0]);
    let said = diary.note(&to("b"), &[task(1, "b", false, "Complete"), old]);
    assert_eq!(said, ["portcall_api.1 b on m1 was not ready in time"]);
    assert_eq!(diary.failed.len(), 1);
}

#[test]
fn what_happens_is_said_once() {
    let mut diary = Diary::default();
    let old = [task(1, "a", true, "Running")];
    assert_eq!(diary.note(&to("b"), &old), [""; 0]);
    let beside = [task(1, "b", true, "Starting"), task(1, "a", true, "Running")];
    assert_eq!(diary.note(&to("b"), &beside), ["portcall_api.1 b starts on m1"]);
    assert_eq!(diary.note(&to("b"), &beside), [""; 0]);
    let promoted = [task(1, "b", true, "Running"), task(1, "a", false, "Running")];
    assert_eq!(diary.note(&to("b"), &promoted), ["portcall_api.1 b on m1 is ready and serves"]);
    let retired = [task(1, "b", true, "Running"), task(1, "a", false, "Shutdown")];
    assert_eq!(diary.note(&to("b"), &retired), ["portcall_api.1 a on m1 is retired"]);
    let failed = [task(1, "b", false, "Failed")];
    let said = diary.note(&to("b"), &failed);
    assert_eq!(said, ["portcall_api.1 b on m1 failed: unhealthy container"]);
    assert_eq!(diary.failed.len(), 1);
}
