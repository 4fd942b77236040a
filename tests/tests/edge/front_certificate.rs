//! Until when the certificate is good that the balancer shows: it says so to Prometheus, by the name
//! that the alert `CertificateEnds` asks for.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    balancer::{Balancer, Behind, Retries, Speaks},
    names::Names,
    tls::Made,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::front_stage::{NAME, PUBLIC_URL};

const METRIC: &str = "portcall_tls_cert_not_after_seconds ";

async fn told(balancer: &Balancer) -> Result<i64> {
    let answer = balancer.numbers("/certificate").await?;
    ensure!(answer.contains(" 200 ") && answer.contains("content-type: text/plain"), "{answer}");
    let value = answer.lines().find_map(|line| line.strip_prefix(METRIC));
    Ok(value.with_context(|| answer.clone())?.parse()?)
}

/// Exactly, whatever day it is: its arithmetic knows leap years and the ends of months.
#[tokio::test(flavor = "multi_thread")]
async fn its_end_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let names = Names::start().await?;
    // Nobody is behind it.
    let behind =
        Behind { name: "tasks.api".to_owned(), names: names.address(), port: 9, ops_port: 9 };
    let now = || OffsetDateTime::now_utc().unix_timestamp();
    for (n, end) in [
        "2027-01-01T00:00:00Z",
        "2027-02-28T23:59:59Z",
        "2027-03-01T00:00:00Z",
        "2027-08-31T09:08:07Z",
        "2027-12-31T23:59:59Z",
        "2028-02-29T12:34:56Z",
        "2028-03-01T00:00:01Z",
        "2031-10-09T08:07:06Z",
        "2049-12-31T23:59:59Z",
        "2064-02-29T01:00:00Z",
    ]
    .iter()
    .enumerate()
    {
        let wanted = OffsetDateTime::parse(end, &Rfc3339)?.unix_timestamp();
        // Whoever runs this later than that has an expired one, which is told as well.
        let asked = now();
        let made = Made::new(&[NAME], wanted - asked - 86_400, wanted - asked)?;
        // Time may pass between the two looks at the clock.
        let late = now() - asked;
        let speaks = Speaks::Tls { made: &made, public_url: Some(PUBLIC_URL) };
        let balancer =
            Balancer::speaking(&format!("b{n}"), dir.path(), &behind, Retries::AsDeployed, speaks)
                .await?;
        let told = told(&balancer).await?;
        ensure!((wanted..=wanted + late).contains(&told), "{end}: {told}, not {wanted}");
    }
    Ok(())
}

/// Where the balancer has none it says 0, as an api does that speaks no TLS.
#[tokio::test(flavor = "multi_thread")]
async fn without_one_there_is_no_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let names = Names::start().await?;
    let behind =
        Behind { name: "tasks.api".to_owned(), names: names.address(), port: 9, ops_port: 9 };
    for (name, speaks) in [("plain", Speaks::Plain), ("tcp", Speaks::Tcp { plain: 9 })] {
        let balancer =
            Balancer::speaking(name, dir.path(), &behind, Retries::AsDeployed, speaks).await?;
        ensure!(told(&balancer).await? == 0, "{name}");
        // What it always told is there, too, and nothing else.
        ensure!(balancer.numbers("/metrics").await?.contains("haproxy_process_"), "{name}");
        ensure!(balancer.numbers("/").await?.contains(" 404 "), "{name}");
    }
    Ok(())
}
