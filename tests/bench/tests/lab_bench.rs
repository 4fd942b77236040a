//! The benchmark on a swarm at its smallest: that it can be measured there, too.

use anyhow::{Result, ensure};
use portcall_bench::{Bench, Size};

#[tokio::test(flavor = "multi_thread")]
async fn full_grading_on_a_swarm_is_measured() -> Result<()> {
    portcall_shared::tls::install_provider();
    let report = Bench::Swarm.run(Size::Tiny).await?;
    println!("{}", report.table());
    ensure!(report.rows.len() == 2, "{report:#?}");
    for row in &report.rows {
        let ratio = row.ratio.map(|ratio| ratio.median);
        ensure!(ratio.is_some_and(|ratio| ratio.is_finite() && ratio > 0.0), "{row:?}");
    }
    Ok(())
}
