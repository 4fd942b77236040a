//! The map: what a viewport takes in the process against a static index of a well-known library, what a
//! pin takes of the memory, how long loading takes against a bare read of the same documents, and how
//! soon a pin is on a map that is open.

mod boxes;
mod crowd;
mod opened;

use std::{fs, time::Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bson::doc;
use futures::TryStreamExt as _;
use portcall_api::map::index::{Change, MapIndex};
use portcall_shared::domain::{ids::EventSlug, place::LatLng};
use portcall_tests::parts::mongo;

use self::boxes::{CROWDED, Trees, VIEWPORTS, timed};
use crate::{
    Size,
    report::{Figure, Report, Row, Unit, Wanted},
    rounds::{Pairs, Spread, median, quantile},
    stock::{EVENT, Stock},
};

pub use self::opened::OpenMap;

/// What a page of memory has, in bytes.
const PAGE: f64 = 4096.0;
/// Most that a viewport may take, and that a pin may, and that it may be late.
const VIEWPORT: Figure = Figure(2.0, Unit::Millis);
const PIN: Figure = Figure(64.0, Unit::Bytes);
const LATE: Figure = Figure(300.0, Unit::Millis);

/// How many pins there are, how often each viewport is looked at in a round, how many rounds there are,
/// how often all is loaded, and how many pins come on an open map.
struct Plan {
    pins: &'static [usize],
    looks: u32,
    rounds: usize,
    loads: usize,
    opened: usize,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self { pins: &[500, 2_000], looks: 5, rounds: 2, loads: 1, opened: 2 },
            Size::Usual => Self {
                pins: &[10_000, 100_000, 1_000_000],
                looks: 100,
                rounds: 9,
                loads: 3,
                opened: 40,
            },
        }
    }
}

impl Plan {
    /// What is wanted is wanted of the most pins: with few, what is there without any counts for each.
    fn wanted(&self, count: usize, most: Figure) -> Wanted {
        if self.pins.last() == Some(&count) { Wanted::AtMost(most) } else { Wanted::Nothing }
    }
}

fn event() -> Result<EventSlug> {
    EVENT.parse().map_err(|_| anyhow!("no slug"))
}

/// How much of the machine's memory this process has, in bytes.
fn resident() -> Result<f64> {
    let told = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = told.split(' ').nth(1).context("no second number")?.parse()?;
    Ok(pages * PAGE)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

/// An index of so many pins, with the memory that each of them takes of the process, and how long it took.
fn filled(count: usize) -> Result<(MapIndex, f64, f64)> {
    let before = resident()?;
    let (map, event) = (MapIndex::default(), event()?);
    let mut seconds = 0.0;
    // Nothing of a pin is kept but by the index: each is made, told of, and gone before the next.
    for pin in crowd::pins(count)? {
        let pin = pin?;
        let began = Instant::now();
        let change = map.settle(pin.submission, &event, Some(pin));
        seconds += began.elapsed().as_secs_f64();
        ensure!(matches!(change, Change::Added(_)), "a pin of the crowd is no news");
    }
    ensure!(map.total() == count, "{} of {count} pins are on the map", map.total());
    Ok((map, (resident()? - before) / number(count), seconds))
}

/// What viewports take: a row for the slowest, a sentence for all of them.
fn viewports(map: &MapIndex, count: usize, plan: &Plan, report: &mut Report) -> Result<()> {
    let event = event()?;
    let points: Vec<LatLng> = (0..count).map(crowd::point).collect::<Result<_>>()?;
    let trees = Trees::of(&points);
    boxes::agree(map, &trees, &event)?;
    let mut all = VIEWPORTS.map(|_| Pairs::default());
    for round in 0..=plan.rounds {
        for (view, pairs) in VIEWPORTS.iter().zip(&mut all) {
            let ours = timed(plan.looks, || map.view(&event, &view.bbox, view.zoom));
            let floor = timed(plan.looks, || trees.view(view));
            // The first warms both, and does not count.
            if round > 0 {
                pairs.ours.push(ours);
                pairs.floor.push(floor);
            }
        }
    }
    let slowest = VIEWPORTS
        .iter()
        .zip(&all)
        .max_by(|(_, a), (_, b)| median(&a.ours).total_cmp(&median(&b.ours)));
    let (view, pairs) = slowest.context("there are viewports")?;
    let what = format!("viewport, {count} pins, the slowest of six ({})", view.name);
    report.rows.push(Row::of(what, pairs, Unit::Millis, plan.wanted(count, VIEWPORT)));
    let each = VIEWPORTS.iter().zip(&all).map(|(view, pairs)| {
        format!("{} {:.3} ms ({})", view.name, median(&pairs.ours), pairs.ratio())
    });
    report.note(format!("viewports at {count} pins: {}", each.collect::<Vec<_>>().join(", ")));
    let crowded = CROWDED.iter().map(|view| {
        let looks = (plan.looks / 20).max(1);
        let took = timed(looks, || map.view(&event, &view.bbox, view.zoom));
        format!("{} {took:.2} ms", view.name)
    });
    let crowded: Vec<String> = crowded.collect();
    report.note(format!("boxes that no page asks for, at {count} pins: {}", crowded.join(", ")));
    Ok(())
}

/// Reads all that pins are made of with the bare driver; how many there were.
async fn read_bare(stock: &Stock) -> Result<usize> {
    let shown = doc! { "schema": 1, "event": 1, "participant": 1, "place": 1, "verdict.at": 1 };
    let mut found = stock.bare.find(doc! { "state": "passed" }).projection(shown).await?;
    let mut count = 0;
    while found.try_next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// How long it takes to have all pins from the store, beside reading them bare.
async fn loading(plan: &Plan, report: &mut Report) -> Result<()> {
    let stock = Stock::open(&mongo::shared().await?, "map").await?;
    let mut there = 0;
    for &count in plan.pins {
        let more = |n: usize| {
            let point = crowd::point(there + n);
            point.map_or_else(|_| stock.document(n), |point| stock.passed(there + n, point))
        };
        stock.fill(count - there, more).await?;
        there = count;
        let ours = async || {
            let began = Instant::now();
            let map = MapIndex::default();
            map.replace(stock.store.pins().await?);
            let took = began.elapsed().as_secs_f64();
            ensure!(map.total() == count, "{} of {count} pins were loaded", map.total());
            Ok(took)
        };
        let floor = async || {
            let began = Instant::now();
            let read = read_bare(&stock).await?;
            ensure!(read == count, "{read} of {count} documents were read");
            Ok(began.elapsed().as_secs_f64())
        };
        let pairs = Pairs::in_turns(plan.loads, ours, floor).await?;
        let what = format!("loading {count} pins from the store, against reading them bare");
        report.rows.push(Row::of(what, &pairs, Unit::Seconds, Wanted::Nothing));
    }
    stock.drop().await
}

/// Measures it.
///
/// # Errors
/// When a part does not do what it should.
pub async fn run(size: Size) -> Result<Report> {
    let plan = Plan::of(size);
    let mut report = Report::new("map");
    // All of them are kept until the last is measured: memory that was given back would be used again.
    let mut maps = Vec::new();
    for &count in plan.pins {
        let (map, each, seconds) = filled(count)?;
        let memory = map.memory();
        let what =
            format!("memory of a pin, of {count}: its row, and the lists that it is found by");
        let index = Figure(number(memory.index) / number(count), Unit::Bytes);
        report.rows.push(Row::alone(what, index, plan.wanted(count, PIN)));
        let what = format!("the same as the process grew by it, with names and places, of {count}");
        report.rows.push(Row::alone(what, Figure(each, Unit::Bytes), Wanted::Nothing));
        report.note(format!(
            "the names, handles and places of {count} pins take {:.1} B each",
            number(memory.texts) / number(count)
        ));
        report.note(format!("{count} pins are put in their places in {seconds:.2} s"));
        maps.push((map, count));
    }
    for (map, count) in &maps {
        viewports(map, *count, &plan, &mut report)?;
    }
    drop(maps);
    loading(&plan, &mut report).await?;
    let pairs = opened::pins_on_an_open_map(plan.opened).await?;
    let what = "from a verdict to the pin on an open map, against a bare change stream";
    report.rows.push(Row::of(what, &pairs, Unit::Millis, Wanted::AtMost(LATE)));
    let Spread { median, high, .. } = Spread::of(&pairs.ours);
    let p99 = quantile(&pairs.ours, 0.99);
    report
        .note(format!("to an open map: median {median:.1} ms, p99 {p99:.1} ms, most {high:.1} ms"));
    Ok(report)
}
