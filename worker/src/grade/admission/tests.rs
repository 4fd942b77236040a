//! Who is let in, and who waits.

use futures::FutureExt;

use super::*;

/// What four containers of an event that says nothing else need.
const FOUR: Needs = needs(1024, 2000);
const ONE: Needs = needs(256, 500);

const fn needs(mib: u64, milli_cpus: u64) -> Needs {
    Needs { mib, milli_cpus }
}

/// A node with so much for strangers.
fn node(mib: u64, processors: Option<Processors>) -> Strangers {
    Strangers { mib, processors }
}

fn reserved(ever: u64, usual: u64) -> Option<Processors> {
    Some(Processors { ever, usual })
}

/// What comes of it at once; none for who has to wait.
fn now(admission: &Admission, node: &Strangers, needs: Needs) -> Option<Result<Admitted, Refused>> {
    admission.take(node, needs).now_or_never()
}

fn is_let_in(admission: &Admission, node: &Strangers, needs: Needs) -> bool {
    now(admission, node, needs).is_some_and(|taken| taken.is_ok())
}

#[tokio::test]
async fn strangers_share_four_fifths_of_the_memory_and_wait_for_each_other() {
    let (admission, node) = (Admission::default(), Strangers::of(1000 * MIB, None));
    let first = admission.take(&node, needs(500, 0)).await.unwrap();
    let second = admission.take(&node, needs(300, 0)).await.unwrap();
    assert!(now(&admission, &node, needs(1, 0)).is_none(), "nothing is left");
    drop(second);
    assert!(now(&admission, &node, needs(301, 0)).is_none());
    assert!(is_let_in(&admission, &node, needs(300, 0)));
    drop(first);
    assert!(is_let_in(&admission, &node, needs(800, 0)));
    assert_eq!(admission.take(&node, needs(801, 0)).await.unwrap_err(), Refused::Node);
}

#[tokio::test]
async fn two_workers_on_one_node_never_take_more_than_its_share_together() {
    let node = Strangers::of(4096 * MIB, None);
    let workers = [Admission::default(), Admission::default()];
    let mut taken = Vec::new();
    for worker in &workers {
        worker.share(Part { slots: 2, room: 4 });
        while let Some(Ok(one)) = now(worker, &node, ONE) {
            taken.push(one);
        }
    }
    let mib: u64 = taken.iter().map(|one| one.has.mib).sum();
    assert_eq!((taken.len(), mib), (12, 3072), "of {}", node.mib);
    assert!(mib <= 4096 * SHARE / 100);
    drop(taken);
    // What one of them never has, even if the other has nothing to do, another one may have.
    assert_eq!(workers[0].take(&node, needs(1639, 0)).await.unwrap_err(), Refused::Part);
    assert_eq!(workers[0].take(&node, needs(3277, 0)).await.unwrap_err(), Refused::Node);
    assert!(is_let_in(&workers[0], &node, needs(1638, 0)));
    // The other one has gone.
    workers[0].share(Part { slots: 4, room: 4 });
    assert!(is_let_in(&workers[0], &node, needs(1639, 0)));
}

#[tokio::test]
async fn a_part_that_becomes_smaller_is_kept_to_once_what_was_let_in_has_ended() {
    let (admission, node) = (Admission::default(), node(1000, None));
    let all = admission.take(&node, needs(1000, 0)).await.unwrap();
    admission.share(Part { slots: 1, room: 2 });
    assert!(now(&admission, &node, needs(500, 0)).is_none());
    drop(all);
    let half = admission.take(&node, needs(500, 0)).await.unwrap();
    assert!(now(&admission, &node, needs(1, 0)).is_none());
    // Whoever waits hears of a part that becomes larger.
    let mut waiting = Box::pin(admission.take(&node, needs(500, 0)));
    assert!((&mut waiting).now_or_never().is_none());
    admission.share(Part::WHOLE);
    assert!(waiting.now_or_never().is_some_and(|taken| taken.is_ok()));
    drop(half);
}

#[tokio::test]
async fn processors_are_waited_for_where_they_are_reserved() {
    let plain = node(1 << 20, None);
    let (admission, mut taken) = (Admission::default(), Vec::new());
    for _ in 0..50 {
        taken.push(now(&admission, &plain, FOUR).unwrap().unwrap());
    }
    let swarm = node(1 << 20, reserved(7400, 6000));
    let (admission, mut taken) = (Admission::default(), Vec::new());
    while let Some(Ok(one)) = now(&admission, &swarm, FOUR) {
        taken.push(one);
    }
    assert_eq!(taken.len(), 3);
    assert!(now(&admission, &swarm, ONE).is_none());
    taken.pop();
    assert!(is_let_in(&admission, &swarm, FOUR));
}

#[tokio::test]
async fn one_that_needs_more_processors_than_the_part_is_graded_alone() {
    let swarm = node(1 << 20, reserved(1800, 1000));
    let admission = Admission::default();
    admission.share(Part { slots: 1, room: 2 });
    let large = needs(1024, 1600);
    let small = admission.take(&swarm, ONE).await.unwrap();
    assert!(now(&admission, &swarm, large).is_none());
    drop(small);
    let alone = admission.take(&swarm, large).await.unwrap();
    assert!(now(&admission, &swarm, needs(1, 1)).is_none(), "nobody beside it");
    drop(alone);
    // What the node never has is told, and not waited for.
    assert_eq!(admission.take(&swarm, needs(1, 1801)).await.unwrap_err(), Refused::Node);
}

#[tokio::test]
async fn nobody_overtakes_one_that_waits_for_much() {
    let swarm = node(4096, reserved(2000, 2000));
    let admission = Admission::default();
    let first = admission.take(&swarm, ONE).await.unwrap();
    let mut large = Box::pin(admission.take(&swarm, FOUR));
    assert!((&mut large).now_or_never().is_none());
    let mut small = Box::pin(admission.take(&swarm, ONE));
    assert!((&mut small).now_or_never().is_none(), "there is room, and it is not its turn");
    drop(first);
    let large = large.now_or_never().expect("it is first").unwrap();
    assert!((&mut small).now_or_never().is_none());
    drop(large);
    assert!(small.now_or_never().is_some_and(|taken| taken.is_ok()));
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_line() {
    let swarm = node(4096, reserved(2000, 2000));
    let admission = Admission::default();
    let first = admission.take(&swarm, ONE).await.unwrap();
    let mut gives_up = Box::pin(admission.take(&swarm, FOUR));
    assert!((&mut gives_up).now_or_never().is_none());
    let mut next = Box::pin(admission.take(&swarm, ONE));
    assert!((&mut next).now_or_never().is_none());
    drop(gives_up);
    let next = next.now_or_never().expect("it is first").unwrap();
    drop((first, next));
    let book = *admission.0.book.borrow();
    assert_eq!(book.taken, Needs::default(), "all was given back");
}

/// Of many sizes, with a little of both: whoever holds nothing cannot block anybody.
#[tokio::test]
async fn all_are_let_in_some_time() {
    let swarm = node(2048, reserved(2000, 1500));
    let admission = Admission::default();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..200_u64 {
        let admission = admission.clone();
        all.spawn(async move {
            let needs = needs(64 + n * 37 % 1900, 100 + n * 53 % 1900);
            let admitted = admission.take(&swarm, needs).await.unwrap();
            let book = *admission.0.book.borrow();
            assert!(book.taken.mib <= 2048 && book.taken.milli_cpus <= 2000, "{book:?}");
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            drop(admitted);
        });
    }
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), all.join_all()).await;
    assert_eq!(ended.map(|all| all.len()), Ok(200));
}

#[test]
fn a_node_that_is_too_small_is_told_apart_from_one_that_is_full() {
    let fault = Refused::Node.fault(FOUR);
    assert_eq!(fault.code, PlatformCode::NodeTooSmall);
    assert_eq!(
        fault.message,
        "the machine never has the 1024 MiB of memory and 2.00 processors that its containers may \
         use together"
    );
    assert_eq!(Refused::Part.fault(ONE).code, PlatformCode::NoCapacity);
}
