//! Claims in a second, with a few and with many who claim, of a short line and of a long one, against a
//! bare `findOneAndUpdate` of the first in the very same line.
//!
//! What was claimed is put back after each round, so that the line is as long for everybody.

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document, doc};
use mongodb::Collection;
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        Store,
        queue::{Claimant, Queue as _},
    },
};
use portcall_tests::parts::mongo;

use crate::{
    Size,
    load::{Act, Much, closed_loop},
    report::{Figure, Report, Row, Unit, Wanted},
    rounds::{Pairs, Spread, median},
    stock::Stock,
};

/// How long the lines are, how many claim at once, how many claims a round has, and how many rounds
/// there are.
struct Plan {
    lines: [usize; 2],
    claimers: &'static [usize],
    claims: usize,
    rounds: usize,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self { lines: [100, 400], claimers: &[1, 4], claims: 40, rounds: 2 },
            Size::Usual => {
                Self { lines: [1_000, 1_000_000], claimers: &[1, 8, 64], claims: 400, rounds: 5 }
            }
        }
    }
}

/// By the store.
struct Ours {
    store: Store,
    claimant: Claimant,
}

impl Act for Ours {
    async fn act(&mut self, _: usize) -> Result<()> {
        let claimed = self.store.claim(&self.claimant).await?;
        claimed.context("nothing is left to claim").map(drop)
    }
}

/// By the driver: the first in the line is taken, and that is all.
struct Bare(Collection<Document>);

impl Act for Bare {
    async fn act(&mut self, _: usize) -> Result<()> {
        let update = doc! { "$set": { "state": "grading" }, "$unset": { "ready": "" } };
        let first = self.0.find_one_and_update(doc! { "ready": true }, update);
        let claimed = first.sort(doc! { "order": 1, "_id": 1 }).await?;
        claimed.context("nothing is left to claim").map(drop)
    }
}

/// Puts back what a round claimed; how many that were.
async fn put_back(stock: &Stock) -> Result<u64> {
    let update = doc! {
        "$set": {
            "state": "queued", "ready": true, "step": Bson::Null, "worker": Bson::Null,
            "attempts": [],
        },
        "$unset": { "claim": "", "beat": "" },
    };
    Ok(stock.bare.update_many(doc! { "state": "grading" }, update).await?.matched_count)
}

/// One round: how many claims there were in a second.
async fn round<A: Act>(stock: &Stock, actors: Vec<A>, claims: usize) -> Result<f64> {
    let (done, _) = closed_loop(actors, Much::Times(claims)).await?;
    let back = put_back(stock).await?;
    ensure!(back == done.each_ms.len() as u64, "{} claims took {back}", done.each_ms.len());
    Ok(done.rate())
}

async fn both(stock: &Stock, claimers: usize, claims: usize, pairs: &mut Pairs) -> Result<()> {
    let claimant = |n| Claimant { id: WorkerId::new(), name: format!("w{n}") };
    let ours = |n| Ours { store: stock.store.clone(), claimant: claimant(n) };
    pairs.ours.push(round(stock, (0..claimers).map(ours).collect(), claims).await?);
    let bare = |_| Bare(stock.bare.clone());
    pairs.floor.push(round(stock, (0..claimers).map(bare).collect(), claims).await?);
    Ok(())
}

/// Measures it.
///
/// # Errors
/// When the database does not do its part.
pub async fn run(size: Size) -> Result<Report> {
    let plan = Plan::of(size);
    let uri = mongo::shared().await?;
    let mut report = Report::new("claims");
    let mut stocks = Vec::new();
    for line in plan.lines {
        let stock = Stock::open(&uri, "claims").await?;
        stock.fill(line, |n| stock.document(n)).await?;
        stocks.push(stock);
    }
    for &claimers in plan.claimers {
        let mut pairs = [Pairs::default(), Pairs::default()];
        for round in 0..=plan.rounds {
            // The first warms both, and does not count.
            let mut cold = [Pairs::default(), Pairs::default()];
            let counted = if round == 0 { &mut cold } else { &mut pairs };
            for (stock, pairs) in stocks.iter().zip(counted) {
                both(stock, claimers, plan.claims, pairs).await?;
            }
        }
        let who =
            if claimers == 1 { "1 claimer".to_owned() } else { format!("{claimers} claimers") };
        for (pairs, line) in pairs.iter().zip(plan.lines) {
            let what = format!("claims, {who}, {line} queued");
            report.rows.push(Row::of(what, pairs, Unit::PerSecond, Wanted::Nothing));
        }
        report.rows.push(flatness(&who, plan.lines, &pairs));
    }
    for (stock, line) in stocks.into_iter().zip(plan.lines) {
        let left = stock.count(doc! { "ready": true }).await?;
        ensure!(left == line as u64, "{left} of {line} are in the line");
        stock.drop().await?;
    }
    Ok(report)
}

/// How much slower the long line is than the short one, each round by itself.
fn flatness(who: &str, lines: [usize; 2], [short, long]: &[Pairs; 2]) -> Row {
    let ratios = short.ours.iter().zip(&long.ours).map(|(short, long)| short / long);
    Row {
        what: format!("claims, {who}, {} against {} queued", lines[0], lines[1]),
        measured: Figure(median(&long.ours), Unit::PerSecond),
        floor: Some(Figure(median(&short.ours), Unit::PerSecond)),
        ratio: Some(Spread::of(&ratios.collect::<Vec<_>>())),
        wanted: Wanted::RatioAtMost(1.5),
    }
}
