//! The benchmarks themselves, at their smallest: that they can be measured, that what they count is
//! there, and that what they print can be read. How fast anything is, is no test's affair.

use anyhow::{Result, ensure};
use portcall_bench::{
    Bench, Size,
    report::{Report, Row, table},
};

/// Measures one: it has so many rows, and each figure is a number.
#[expect(clippy::print_stdout, reason = "what a failed test has measured")]
async fn measured(bench: Bench, rows: usize) -> Result<Report> {
    portcall_shared::tls::install_provider();
    let report = bench.run(Size::Tiny).await?;
    println!("{}", report.table());
    ensure!(report.name == bench.name() && report.rows.len() == rows, "{report:#?}");
    ensure!(table([&report]).lines().count() == rows + 2, "a row is one line");
    for row in &report.rows {
        sound(row)?;
    }
    Ok(report)
}

fn sound(row: &Row) -> Result<()> {
    ensure!(row.measured.0.is_finite(), "{row:?}");
    ensure!(row.floor.is_some() == row.ratio.is_some(), "{row:?}");
    if let (Some(floor), Some(ratio)) = (row.floor, row.ratio) {
        ensure!(floor.0.is_finite() && floor.0 > 0.0 && floor.1 == row.measured.1, "{row:?}");
        let all = [ratio.low, ratio.median, ratio.high];
        ensure!(all.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0), "{row:?}");
        ensure!(all.is_sorted(), "{row:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn grading_is_measured() -> Result<()> {
    let report = measured(Bench::Grading, 2).await?;
    ensure!(report.notes.iter().any(|note| note.contains("starting ")), "{report:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_is_measured() -> Result<()> {
    measured(Bench::Accepting, 3).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_measured() -> Result<()> {
    measured(Bench::Claims, 6).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_is_measured() -> Result<()> {
    measured(Bench::Map, 9).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_measured() -> Result<()> {
    measured(Bench::Verdict, 6).await.map(drop)
}
