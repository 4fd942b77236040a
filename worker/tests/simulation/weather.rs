//! What is the matter in one run: how its parts misbehave all the time, and what befalls them when.
//! Everything follows from the seed.

use std::{ops::Range, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// How long the run is kept from working. After that nothing more happens to it.
pub(crate) const STORMY: Duration = Duration::from_secs(100);

/// What is wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A verdict is written whatever generation is current.
    SettleWithoutGeneration,
    /// A lease ends though its holder has renewed it meanwhile.
    ExpireWithoutBeat,
    /// Leases end by comparing clocks.
    ExpireByWallClock,
    /// What was made without an answer is neither taken away nor found.
    LostCreateStays,
    /// A claim does not add to the generation.
    ClaimWithoutGeneration,
    /// A failover takes back what was acknowledged.
    LostAcknowledged,
    /// Two submissions may have the same idempotency key.
    KeysAreNotUnique,
    /// A claim takes the last in the line.
    ClaimTheLast,
    /// A lease that ends costs the submission its place in the line.
    BackToTheEnd,
}

/// How often something goes wrong, each in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A call of the store fails before it is carried out.
    pub(crate) store_fails: u32,
    /// It is carried out, and the answer is lost.
    pub(crate) store_loses: u32,
    /// It takes seconds to get there.
    pub(crate) store_slow: u32,
    /// The members of the replica set are slow to follow.
    pub(crate) store_lags: u32,
    /// The endpoint makes a container and does not say so.
    pub(crate) fleet_loses: u32,
    /// It does not do what it is asked to.
    pub(crate) fleet_fails: u32,
    /// It takes seconds.
    pub(crate) fleet_slow: u32,
    /// A registry is away.
    pub(crate) registry_fails: u32,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    /// A worker is killed, and another one comes in its place after so long.
    Crash(usize, Duration),
    /// It is told to stop, and another one comes in its place.
    Stop(usize, Duration),
    /// It does nothing for so long and goes on as if nothing were.
    Freeze(usize, Duration),
    /// It does not reach the store.
    NoStore(usize, Duration),
    /// It does not reach the endpoint.
    NoFleet(usize, Duration),
    /// Its clock is set to so many seconds before or after.
    Clock(usize, i64),
    /// Another member of the replica set takes over, which takes so long.
    Failover(Duration),
    /// A node is away for so long.
    NodeLost(usize, Duration),
}

/// Something that happens to whoever makes the store a call of that name for the nth time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) doing: &'static str,
    pub(crate) nth: u32,
    pub(crate) side: Side,
    pub(crate) hit: Hit,
}

/// On which side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// It stands still for so long.
    Freeze(Duration),
    /// It is killed, and another one comes in its place after so long.
    Crash(Duration),
}

/// The calls at which most can go wrong.
const AIMED: [&str; 8] = [
    "claim a submission",
    "note a step",
    "renew a lease",
    "write what became of a submission",
    "write what became of a submission",
    "note the cleaning",
    "end a lease",
    "wake what was delayed",
];

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where it comes from.
    pub(crate) seed: u64,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// How many nodes.
    pub(crate) nodes: usize,
    /// How many slots each worker has.
    pub(crate) seats: usize,
    /// When each submission comes, and what its image is.
    pub(crate) submissions: Vec<(Duration, Truth)>,
    /// When somebody takes back which.
    pub(crate) cancels: Vec<(Duration, usize)>,
    /// The clocks of the workers at the beginning, in seconds.
    pub(crate) clocks: Vec<i64>,
    /// How things are.
    pub(crate) weather: Weather,
    /// What happens when.
    pub(crate) blows: Vec<(Duration, Blow)>,
    /// What happens at which call.
    pub(crate) aims: Vec<Aim>,
    /// What is wrong on purpose.
    pub(crate) plant: Option<Plant>,
}

/// What an image would show a platform that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It answers as it should.
    Passes,
    /// It does not.
    Fails,
    /// Now and then.
    FlipFlop,
}

fn seconds(rng: &mut StdRng, range: Range<f64>) -> Duration {
    Duration::from_secs_f64(rng.random_range(range))
}

impl Plan {
    /// The run of a seed.
    pub(crate) fn of(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        let (workers, nodes) = (rng.random_range(2..=3), rng.random_range(1..=2));
        let count = rng.random_range(3..=6);
        let submissions: Vec<_> = (0..count)
            .map(|_| {
                let truth = match rng.random_range(0..10) {
                    0..5 => Truth::Passes,
                    5..8 => Truth::Fails,
                    _ => Truth::FlipFlop,
                };
                (seconds(rng, 0.0..70.0), truth)
            })
            .collect();
        let cancels = (0..rng.random_range(0..2))
            .map(|_| (seconds(rng, 5.0..90.0), rng.random_range(0..count)))
            .collect();
        let clocks = (0..workers).map(|_| clock(rng)).collect();
        let weather = Weather::of(rng);
        let blows = (0..rng.random_range(0..=6)).map(|_| blow(rng, workers, nodes)).collect();
        let aims = (0..rng.random_range(0..=5)).map(|_| aim(rng)).collect();
        let seats = rng.random_range(1..=2);
        Self {
            seed,
            workers,
            nodes,
            seats,
            submissions,
            cancels,
            clocks,
            weather,
            blows,
            aims,
            plant,
        }
    }
}

impl Weather {
    fn of(rng: &mut StdRng) -> Self {
        let mut some = |most: u32| match rng.random_range(0..4) {
            0 | 1 => 0,
            2 => rng.random_range(0..=most / 5),
            _ => rng.random_range(0..=most),
        };
        Self {
            store_fails: some(150),
            store_loses: some(150),
            store_slow: some(80),
            store_lags: some(200),
            fleet_loses: some(300),
            fleet_fails: some(200),
            fleet_slow: some(200),
            registry_fails: some(200),
        }
    }
}

/// Some clocks are right, some nearly so, and some ten minutes off.
fn clock(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..4) {
        0 | 1 => 0,
        2 => rng.random_range(-40..=40),
        _ => rng.random_range(-600..=600),
    }
}

fn aim(rng: &mut StdRng) -> Aim {
    let doing = AIMED[rng.random_range(0..AIMED.len())];
    let side = if rng.random_bool(0.6) { Side::Before } else { Side::After };
    let hit = match (rng.random_range(0..4), doing) {
        (0, _) => Hit::Crash(seconds(rng, 1.0..40.0)),
        (1, _) => Hit::Freeze(seconds(rng, 5.0..60.0)),
        // Until just before somebody else takes over, or just after.
        (_, "renew a lease") => Hit::Freeze(seconds(rng, 28.0..40.0)),
        // Until the holder may have come back.
        (_, "end a lease") => Hit::Freeze(seconds(rng, 0.5..15.0)),
        // Until somebody else grades it.
        _ => Hit::Freeze(seconds(rng, 33.0..50.0)),
    };
    Aim { doing, nth: rng.random_range(1..=4), side, hit }
}

fn blow(rng: &mut StdRng, workers: usize, nodes: usize) -> (Duration, Blow) {
    let at = seconds(rng, 2.0..STORMY.as_secs_f64() - 5.0);
    let worker = rng.random_range(0..workers);
    // About as long as a lease, most of the time: that is where the edges are.
    let mut long = || match rng.random_range(0..4) {
        0 => seconds(rng, 1.0..15.0),
        1 => seconds(rng, 28.0..38.0),
        _ => seconds(rng, 15.0..60.0),
    };
    let (long, back) = (long(), long());
    let blow = match rng.random_range(0..16) {
        0..3 => Blow::Crash(worker, back),
        3 => Blow::Stop(worker, back),
        4..8 => Blow::Freeze(worker, long),
        8..10 => Blow::NoStore(worker, long),
        10 => Blow::NoFleet(worker, long),
        11 => Blow::Clock(worker, clock(rng)),
        12..15 => Blow::Failover(seconds(rng, 0.5..14.0)),
        _ => Blow::NodeLost(rng.random_range(0..nodes), long),
    };
    (at, blow)
}
