//! Benchmarks: what Portcall does, against the floor underneath it: the bare engine, the bare driver,
//! an empty route, a static index. Both are measured in turns in one run on one machine, so what counts
//! is their ratio.
//!
//! `./infra/bench` starts what they need and runs them; it gives the same variables as `./infra/test`
//! ([`portcall_tests::parts::given`]).

pub mod accepting;
pub mod bare;
pub mod claims;
pub mod empty;
pub mod grading;
pub mod load;
pub mod machine;
pub mod map;
pub mod report;
pub mod rounds;
pub mod stock;
pub mod swarm;
pub mod verdict;
pub mod wire;

use anyhow::Result;

use self::report::Report;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As little as shows that it can be measured.
    Tiny,
    /// What is told.
    Usual,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    /// Grading against the bare engine.
    Grading,
    /// The same on a swarm.
    Swarm,
    /// Accepting against the bare driver, reading against an empty route.
    Accepting,
    /// Claiming against a bare `findOneAndUpdate`.
    Claims,
    /// The map against a static index.
    Map,
    /// From POST to verdict, by step.
    Verdict,
}

impl Bench {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Grading, Self::Swarm, Self::Accepting, Self::Claims, Self::Map, Self::Verdict];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grading => "grading",
            Self::Swarm => "swarm",
            Self::Accepting => "accepting",
            Self::Claims => "claims",
            Self::Map => "map",
            Self::Verdict => "verdict",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bench| bench.name() == name)
    }

    /// Measures it.
    ///
    /// # Errors
    /// When a part does not do what it should.
    pub async fn run(self, size: Size) -> Result<Report> {
        match self {
            Self::Grading => grading::run(size).await,
            Self::Swarm => swarm::run(size).await,
            Self::Accepting => accepting::run(size).await,
            Self::Claims => claims::run(size).await,
            Self::Map => map::run(size).await,
            Self::Verdict => verdict::run(size).await,
        }
    }
}
