//! Making room, on a shelf in memory with a clock of its own.

use std::sync::Mutex;

use super::*;

const OURS: &str = "127.0.0.1:5000/strangers@";

/// A node on which every image takes one MiB.
struct Shelf {
    free: Mutex<u64>,
    images: Mutex<Vec<String>>,
    used: Vec<UsedImage>,
    in_use: Vec<String>,
    looks: Mutex<u32>,
    now: Mutex<Instant>,
}

impl Shelf {
    /// With images that were asked for so many seconds after its time began.
    fn with(images: &[&str], free: u64, used: &[(&str, u64, bool)]) -> Self {
        let start = Instant::now();
        let of = |(name, last, fetched): &(&str, u64, bool)| UsedImage {
            name: (*name).to_owned(),
            last: start + Duration::from_secs(*last),
            fetched: *fetched,
        };
        Self {
            now: Mutex::new(start),
            free: Mutex::new(free),
            images: Mutex::new(images.iter().map(ToString::to_string).collect()),
            used: used.iter().map(of).collect(),
            in_use: Vec::new(),
            looks: Mutex::new(0),
        }
    }

    fn left(&self) -> Vec<String> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn advance(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }

    fn keeper(&self, mib: u64) -> Housekeeper {
        Housekeeper::new(mib * MIB, Some(OURS.to_owned()), self.now())
    }

    fn looks(&self) -> u32 {
        *self.looks.lock().unwrap()
    }
}

impl Storage for Shelf {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    async fn space(&self) -> Result<DiskSpace, ProberError> {
        *self.looks.lock().unwrap() += 1;
        let free_bytes = *self.free.lock().unwrap() * MIB;
        Ok(DiskSpace { free_bytes, total_bytes: 100 * MIB, free_inodes: 90, total_inodes: 100 })
    }

    async fn names(&self) -> Result<Vec<String>, FleetError> {
        Ok(self.left())
    }

    fn used(&self) -> Vec<UsedImage> {
        self.used.clone()
    }

    async fn evict(&self, name: &str, idle_since: Instant) -> Result<Eviction, FleetError> {
        let recent = self.used.iter().any(|u| u.name == name && u.last >= idle_since);
        if recent || self.in_use.iter().any(|used| used == name) {
            return Ok(Eviction::InUse);
        }
        let mut images = self.images.lock().unwrap();
        let Some(at) = images.iter().position(|image| image == name) else {
            return Ok(Eviction::AlreadyGone);
        };
        images.remove(at);
        *self.free.lock().unwrap() += 1;
        Ok(Eviction::Removed)
    }
}

fn ours(name: &str) -> String {
    format!("{OURS}sha256:{name}")
}

fn gate() -> Gate {
    Gate::new(Duration::from_secs(3600))
}

#[tokio::test]
async fn the_oldest_go_until_there_is_room_and_no_further() {
    let (old, new, unknown) = (ours("old"), ours("new"), ours("unknown"));
    let used = [(new.as_str(), 9, false), (old.as_str(), 0, false)];
    let (shelf, gate) = (Shelf::with(&[&new, &old, &unknown], 8, &used), gate());
    let keeper = shelf.keeper(8);
    keeper.keep(&shelf, shelf.now(), &gate).await;
    shelf.advance(OTHERS);
    let keeper = Housekeeper { least: 10 * MIB, ..keeper };
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate).await, Room::Enough);
    assert_eq!(shelf.left(), [new], "one that nobody asked for counts as the oldest");
    assert_eq!(gate.standing().space().map(|s| s.free_bytes), Some(10 * MIB));
}

#[tokio::test]
async fn what_another_worker_may_have_pulled_stays_until_no_grading_can_need_it() {
    let (there, new) = (ours("there"), ours("new"));
    let (shelf, gate) = (Shelf::with(&[&there], 0, &[]), gate());
    let keeper = shelf.keeper(10);
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate).await, Room::Lacking);
    shelf.advance(OTHERS / 2);
    shelf.images.lock().unwrap().push(new.clone());
    let keep = async |left: &[&String]| {
        keeper.used();
        keeper.keep(&shelf, shelf.now(), &gate).await;
        assert_eq!(shelf.left().iter().collect::<Vec<_>>(), left);
    };
    keep(&[&there, &new]).await;
    shelf.advance(OTHERS / 2 - Duration::from_secs(1));
    keep(&[&there, &new]).await;
    shelf.advance(Duration::from_secs(1));
    keep(&[&new]).await;
    // It went meanwhile and was pulled again: its time begins anew.
    let pulled = std::mem::take(&mut *shelf.images.lock().unwrap());
    keep(&[]).await;
    *shelf.images.lock().unwrap() = pulled;
    shelf.advance(OTHERS / 2);
    keep(&[&new]).await;
    shelf.advance(OTHERS - Duration::from_secs(1));
    keep(&[&new]).await;
    shelf.advance(Duration::from_secs(1));
    keep(&[]).await;
}

#[tokio::test]
async fn images_are_noticed_while_there_is_room() {
    let image = ours("a");
    let (shelf, gate) = (Shelf::with(&[&image], 10, &[]), gate());
    let keeper = shelf.keeper(10);
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate).await, Room::Enough);
    shelf.advance(OTHERS);
    *shelf.free.lock().unwrap() = 9;
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate).await, Room::Enough);
    assert_eq!(shelf.left().len(), 0);
}

#[tokio::test]
async fn only_copies_go_and_none_that_may_be_counted_on() {
    let (running, graded) = (ours("running"), ours("graded"));
    let names = [
        "portcall-prober:1234",
        "portcall-canary:1234",
        "redis@sha256:1",
        "127.0.0.1:5000/other@sha256:1",
        "u/app@sha256:1",
        "u/fetched@sha256:1",
        &running,
        &graded,
    ];
    let used =
        [("u/app@sha256:1", 0, false), ("u/fetched@sha256:1", 0, true), (&graded, 50, false)];
    let mut shelf = Shelf::with(&names, 0, &used);
    shelf.in_use.push(running.clone());
    // A grading has been going on for a minute.
    let since = shelf.now() + Duration::from_secs(40);
    let keeper = shelf.keeper(0);
    keeper.keep(&shelf, since, &gate()).await;
    shelf.advance(OTHERS);
    let keeper = Housekeeper { least: 100 * MIB, ..keeper };
    assert_eq!(keeper.keep(&shelf, since, &gate()).await, Room::Lacking);
    let mut left: Vec<&str> = names.to_vec();
    left.retain(|name| *name != "u/fetched@sha256:1");
    assert_eq!(shelf.left(), left);
}

#[tokio::test]
async fn without_a_registry_of_the_platforms_own_only_what_was_fetched_goes() {
    let (there, fetched) = (ours("there"), ours("fetched"));
    let used = [(there.as_str(), 0, false), (fetched.as_str(), 0, true)];
    let shelf = Shelf::with(&[&there, &fetched], 0, &used);
    shelf.advance(Duration::from_secs(100));
    let keeper = Housekeeper::new(100 * MIB, None, shelf.now());
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate()).await, Room::Lacking);
    assert_eq!(shelf.left(), [there]);
}

#[tokio::test]
async fn too_little_room_shuts_the_gate_and_says_so_on_both_sides_of_the_limit() {
    let (shelf, gate) = (Shelf::with(&[], 10, &[]), gate());
    assert_eq!(shelf.keeper(10).keep(&shelf, shelf.now(), &gate).await, Room::Enough);
    assert_eq!(shelf.keeper(11).keep(&shelf, shelf.now(), &gate).await, Room::Lacking);
    let standing = gate.standing();
    assert_eq!(standing.lacking(), Some("has 10 MiB of free disk, and 11 are needed"));
    // Nothing is asked for: nothing is missing.
    assert_eq!(shelf.keeper(0).keep(&shelf, shelf.now(), &gate).await, Room::Enough);
    assert_eq!(gate.standing().lacking(), None);
}

#[test]
fn files_are_counted_as_bytes_are() {
    let keeper = Housekeeper::new(MIB, None, Instant::now());
    let space = |free_inodes, total_inodes| DiskSpace {
        free_bytes: 100 * MIB,
        total_bytes: 100 * MIB,
        free_inodes,
        total_inodes,
    };
    assert_eq!(keeper.lacking(space(2, 100)), None);
    assert_eq!(keeper.lacking(space(1, 100)), Some("has room for 1 of 100 files".to_owned()));
    assert_eq!(keeper.lacking(space(0, 0)), None, "where they are not counted");
}

#[tokio::test]
async fn a_look_is_believed_for_a_while_and_not_after_a_grading() {
    let (shelf, gate) = (Shelf::with(&[], 10, &[]), gate());
    let keeper = shelf.keeper(10);
    keeper.keep(&shelf, shelf.now(), &gate).await;
    keeper.keep(&shelf, shelf.now(), &gate).await;
    keeper.look(&shelf).await;
    assert_eq!(shelf.looks(), 1);
    keeper.used();
    keeper.keep(&shelf, shelf.now(), &gate).await;
    assert_eq!(shelf.looks(), 2);
    shelf.advance(LOOK);
    keeper.keep(&shelf, shelf.now(), &gate).await;
    assert_eq!(shelf.looks(), 3);
}

#[test]
fn the_registry_is_for_one_slot_in_a_minute() {
    let start = Instant::now();
    let turn = RegistryTurn::default();
    let due = |seconds| turn.clone().is_due(start + Duration::from_secs(seconds));
    assert_eq!([0, 0, 59, 60, 61, 120].map(due), [true, false, false, true, false, true]);
}

#[tokio::test]
async fn a_slot_that_has_offered_itself_only_looks() {
    let image = ours("a");
    let shelf = Shelf::with(&[&image], 9, &[(image.as_str(), 0, false)]);
    let keeper = shelf.keeper(10);
    shelf.advance(LOOK);
    assert_eq!(keeper.look(&shelf).await, Room::Lacking);
    assert_eq!(shelf.left().len(), 1);
    // It is withdrawn, and then room is made at once.
    assert_eq!(keeper.keep(&shelf, shelf.now(), &gate()).await, Room::Enough);
    assert_eq!(shelf.left().len(), 0);
}

#[tokio::test]
async fn what_was_not_asked_for_in_a_day_goes() {
    let (stale, fresh, unknown) = (ours("stale"), ours("fresh"), ours("unknown"));
    let later = ROUND.as_secs() + 60;
    let used = [(stale.as_str(), 0, false), (fresh.as_str(), later, false)];
    let (shelf, gate) = (Shelf::with(&[&stale, &fresh, &unknown], 50, &used), gate());
    let keeper = shelf.keeper(1);
    keeper.keep(&shelf, shelf.now(), &gate).await;
    shelf.advance(IDLE - Duration::from_secs(1));
    keeper.keep(&shelf, shelf.now(), &gate).await;
    assert_eq!(shelf.left().len(), 3, "a day is not over");
    shelf.advance(ROUND);
    keeper.keep(&shelf, shelf.now(), &gate).await;
    assert_eq!(shelf.left(), [fresh], "one that nobody asked for is as old as it was seen");
}
