//! The api's process.

use std::{net::SocketAddr, process::ExitCode};

use portcall_api::{
    certificates::Certificates,
    problem::chain,
    serve::{self, Doors, Reached},
    settings::Settings,
    state::AppState,
};
use portcall_shared::{
    health,
    ops::{self, Ready},
    settings::{EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE, Reader},
    shutdown::{Drained, Stop},
    store::Store,
    telemetry, tls, usage,
};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

const HELP: &str = "portcall-api: the public side of Portcall

It takes no arguments. Settings are PORTCALL_ variables; infra/env.sample lists them all.
With --health it asks the one that runs with the same settings: 0 once that was ready, else 1.
Exit codes: 0 stopped, 64 wrong usage or setting, 69 an address or service is not there, 70 internal
";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = health::asked("PORTCALL_API_OPS_ADDR").or_else(|| usage::asked(HELP)) {
        return code;
    }
    tls::install_provider();
    let (settings, shown) = match Settings::read(Reader::from_environment()) {
        Ok(read) => read,
        Err(mistakes) => return usage::told(&mistakes.to_string(), EXIT_USAGE),
    };
    let common = &settings.common;
    let traces = telemetry::start("portcall-api", &common.log, &common.traces);
    tracing::info!(settings = ?shown, "starting");
    let ended = run(settings).await;
    traces.close().await;
    ended.unwrap_or_else(|(error, code)| {
        tracing::error!(error = chain(&*error), "stopped");
        ExitCode::from(code)
    })
}

type Failure = (Box<dyn std::error::Error + Send + Sync>, u8);

fn take(addr: SocketAddr) -> Result<TcpSocket, Failure> {
    serve::take(addr).map_err(|e| (format!("{addr}: {e}").into(), EXIT_UNAVAILABLE))
}

async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let stop = Stop::on_signals().map_err(|e| (e.into(), EXIT_SOFTWARE))?;
    let ready = Ready::default();
    let metrics = telemetry::metrics();
    let public = take(settings.addr)?;
    let plain = settings.plain_addr.map(take).transpose()?;
    // Operators, and balancers with them, are answered to the very end.
    let never = CancellationToken::new();
    let ops = ops::serve(settings.ops_addr, metrics, ready.clone(), never).await;
    let ops = ops.map_err(|e| (format!("{}: {e}", settings.ops_addr).into(), EXIT_UNAVAILABLE))?;
    tracing::info!(addr = %ops, "listening for operators");
    let common = &settings.common;
    let store = Store::open(&common.mongodb_uri, &common.database, "portcall-api").await;
    let store = store.map_err(|e| (e.into(), EXIT_USAGE))?;
    let certificates = Certificates::open(&settings, store.clone());
    let certificates = certificates.map_err(|e| (e.into(), EXIT_USAGE))?;
    let doors = Doors { public, plain, certificates };
    let reached = serve::migrate(&store, &ready, &stop.told).await;
    if reached.map_err(|e| (e.into(), EXIT_SOFTWARE))? == Reached::Stopped {
        return Ok(ExitCode::SUCCESS);
    }
    let app = AppState::new(settings, store, stop);
    match serve::serve(doors, app, ready).await.map_err(|e| (e.into(), EXIT_SOFTWARE))? {
        Drained::InTime => tracing::info!("stopped"),
        Drained::CutShort => tracing::warn!("stopped with requests unanswered"),
    }
    Ok(ExitCode::SUCCESS)
}
