//! What is believed of a removal, against a manager that says what a swarm would: that a real one does
//! so is shown in the lab.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;
use crate::fleet::{
    ContainerSpec, ImageDeclares, Limits, Profile, Role, SlotName,
    endpoint::tests::fake::{Fake, Says, locked},
    labels::{Identity, Kind},
    start::Ground,
    workload::Member,
};

const KEY: LabelKey = LabelKey([5; 32]);

/// What the manager says from one look to the next; the last of each again and again.
struct Story {
    tasks: Mutex<VecDeque<Value>>,
    leaders: Mutex<VecDeque<&'static str>>,
    /// The services that are there: name, id and whose labels it wears.
    services: Mutex<Vec<(&'static str, &'static str, LabelKey)>>,
    /// From then on it is silent about tasks for so long.
    slow: Option<Duration>,
}

fn next<T: Clone>(list: &Mutex<VecDeque<T>>) -> T {
    let mut list = locked(list);
    let first = list.front().cloned().unwrap();
    if list.len() > 1 {
        list.pop_front();
    }
    first
}

impl Story {
    fn new<const N: usize>(tasks: [Value; N], leaders: &[&'static str]) -> Self {
        Self {
            tasks: Mutex::new(tasks.into()),
            leaders: Mutex::new(leaders.iter().copied().collect()),
            services: Mutex::default(),
            slow: None,
        }
    }

    fn answer(&self, request: &str) -> (u16, String) {
        let (method, path) = request.split_once(' ').unwrap();
        let missing = || (404, json!({ "message": "not found" }).to_string());
        if path.starts_with("/tasks") {
            let tasks = next(&self.tasks);
            if let Some(slow) = self.slow.filter(|_| locked(&self.tasks).len() == 1) {
                std::thread::sleep(slow);
            }
            return (200, tasks.to_string());
        }
        if path == "/nodes" {
            let leader = next(&self.leaders);
            let manager = |id| json!({ "ID": id, "ManagerStatus": { "Leader": id == leader } });
            let grader = json!({ "ID": "g1", "Status": { "State": "ready" } });
            return (200, json!([manager("m1"), manager("m2"), grader]).to_string());
        }
        let Some(which) = path.strip_prefix("/services/") else { return missing() };
        let mut services = locked(&self.services);
        let at = services.iter().position(|(name, id, _)| [*name, *id].contains(&which));
        match (method, at) {
            (_, None) => missing(),
            ("DELETE", Some(at)) => {
                services.remove(at);
                (200, "{}".to_owned())
            }
            (_, Some(at)) => {
                let (name, id, key) = &services[at];
                let labels = key.sign(&Identity::of_slot(Kind::Prober, WorkerId::new()));
                let spec = json!({ "Name": name, "Labels": labels });
                (200, json!({ "ID": id, "Version": { "Index": 1 }, "Spec": spec }).to_string())
            }
        }
    }
}

/// The way to a grader node of a swarm that goes on like this.
async fn node(story: Story) -> (Arc<SwarmFleet>, Arc<Story>, Fake) {
    portcall_shared::tls::install_provider();
    let story = Arc::new(story);
    let teller = Arc::clone(&story);
    let told = Says::Told(Arc::new(move |request: &str| teller.answer(request)));
    let fake = Fake::new("1.41", "1.12", told).await;
    let swarm = Swarm::new(SwarmSettings {
        hosts: vec![fake.address.clone()],
        certs: None,
        worker: WorkerId::new(),
        key: KEY,
        prober: PathBuf::new(),
        canary: PathBuf::new(),
        pool: SubnetPool::default(),
        root_quota: RootQuota::default(),
        quarantine: "quarantine.test:5000".parse().unwrap(),
        http_registries: Vec::new(),
    });
    (Arc::new(swarm.unwrap()).fleet("g1"), story, fake)
}

fn task(of: &str, state: &str) -> Value {
    json!({ "ID": format!("task-of-{of}"), "ServiceID": of, "Status": { "State": state } })
}

fn id(id: &str) -> GivenId {
    GivenId::of(id.to_owned())
}

fn left(removed: Result<(), FleetError>) -> String {
    match removed {
        Err(FleetError::LeftOver { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_removal_waits_until_the_tasks_are_over() {
    let running =
        || json!([task("s1", "running"), task("s2", "running"), task("other", "running")]);
    let half = json!([task("s1", "shutdown"), task("s2", "running"), task("other", "running")]);
    let over = json!([task("s2", "shutdown"), task("other", "running")]);
    let story = Story::new([running(), running(), half, over], &["m1"]);
    *locked(&story.services) = vec![("one", "s1", KEY), ("two", "s2", KEY)];
    let (node, story, fake) = node(story).await;
    node.remove_services(&[id("s1"), id("s2")]).await.unwrap();
    assert!(locked(&story.services).is_empty());
    let looks = fake.asked().iter().filter(|path| path.starts_with("/tasks")).count();
    assert_eq!(looks, 4);
    // A service without a task, and one that is gone.
    node.remove_services(&[id("s3")]).await.unwrap();
}

#[tokio::test]
async fn a_task_that_goes_on_is_left_over() {
    let (node, ..) = node(Story::new([json!([task("s1", "running")])], &["m1"])).await;
    let within = Duration::from_millis(250);
    let removed = node.swarm.end_services(&[id("s1")], Some("g1"), within).await;
    assert_eq!(left(removed.map(drop)), "tasks task-of-s1 are still there");
}

#[tokio::test]
async fn a_task_that_vanished_is_over_unless_another_manager_leads_or_it_was_long_unseen() {
    let looks = || [json!([task("s1", "running")]), json!([task("s1", "running")]), json!([])];
    let seen_over = || [json!([task("s1", "running")]), json!([task("s1", "shutdown")]), json!([])];
    for (looks, leaders, slow, trusted) in [
        (looks(), &["m1"][..], None, true),
        (looks(), &["m1", "m2"], None, false),
        (looks(), &["none"], None, false),
        // An election may have been in between.
        (looks(), &["m1"], Some(Duration::from_millis(2200)), false),
        (seen_over(), &["m1", "m2"], None, true),
    ] {
        let told = format!("{looks:?}, {leaders:?}, {slow:?}");
        let (node, ..) = node(Story { slow, ..Story::new(looks, leaders) }).await;
        let removed = node.remove_services(&[id("s1")]).await;
        if trusted {
            assert!(removed.is_ok(), "{told}: {removed:?}");
        } else {
            assert_eq!(left(removed), "tasks task-of-s1 vanished and may still run", "{told}");
        }
    }
}

fn member(name: &str, its: GivenId) -> Member {
    let spec = ContainerSpec {
        role: Role::Image,
        index: 0,
        alias: "app".to_owned(),
        image: String::new(),
        profile: Profile::Strict,
        limits: Limits::of(Profile::Strict),
        declared: ImageDeclares::default(),
    };
    Member::new(&spec, name.to_owned(), its)
}

/// Tasks know nothing of names: one that is still there must be found by the id of its service.
#[tokio::test]
async fn half_a_workload_is_gone_only_when_the_tasks_of_what_was_made_are_over() {
    let tasks = json!([task("s1", "running"), task("s2", "running")]);
    let one_left = json!([task("s1", "shutdown"), task("s2", "running")]);
    let both_over = json!([task("s1", "shutdown"), task("s2", "shutdown")]);
    let story = Story::new([tasks.clone(), tasks, one_left, both_over], &["m1"]);
    // The answer to the second was lost, the third is somebody else's, and a fourth was never made.
    *locked(&story.services) =
        vec![("one", "s1", KEY), ("two", "s2", KEY), ("three", "s3", LabelKey([6; 32]))];
    let (node, story, fake) = node(story).await;
    let names = ["one", "two", "three", "four"].map(str::to_owned);
    node.take_away(&names, &[member("one", id("s1"))]).await.unwrap();
    let still: Vec<&str> = locked(&story.services).iter().map(|(name, ..)| *name).collect();
    assert_eq!(still, ["three"]);
    let looks = fake.asked().iter().filter(|path| path.starts_with("/tasks")).count();
    assert_eq!(looks, 4, "until the last of them is over");
}

/// A node that never ends what it began gets no second slot, however often it is tried.
#[tokio::test]
async fn nothing_is_made_on_a_node_while_an_anchor_is_left_there() {
    let hangs = json!([task("s1", "preparing")]);
    let (node, story, fake) = node(Story::new([hangs], &["m1"])).await;
    locked(&node.left).insert(id("s1"));
    let began = Instant::now();
    let opened = node.open_slot(&SlotName::new(WorkerId::new(), 0)).await;
    assert_eq!(left(opened.map(drop)), "tasks task-of-s1 are still there");
    assert!(began.elapsed() < GONE);
    assert!(fake.asked().iter().all(|path| !path.contains("network")));
    assert_eq!(locked(&node.left).len(), 1);
    // It ends at last.
    *locked(&story.tasks) = [json!([task("s1", "shutdown")])].into();
    let opened = node.open_slot(&SlotName::new(WorkerId::new(), 0)).await;
    assert!(!matches!(opened, Err(FleetError::LeftOver { .. })), "{opened:?}");
    assert!(locked(&node.left).is_empty());
}
