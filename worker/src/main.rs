//! The worker process: settings, telemetry, store, fleet, work, drain.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use portcall_shared::{
    domain::ids::WorkerId,
    health,
    ops::{self, Readiness, Ready},
    registry::Registry,
    retry,
    settings::{EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE, Reader},
    shutdown,
    store::{Store, StoreError, processes::Process, queue::Claimant},
    telemetry::{self, traces::Traces},
    tls, usage,
};
use portcall_worker::{
    fleet::LabelKey, quarantine::Quarantine, settings::Settings, worker::Worker,
};

/// How long calls of the store may take to end when everything else has.
const CLOSE: Duration = Duration::from_secs(5);
const HELP: &str = "portcall-worker: claims, grades and settles submissions

It takes no arguments. Settings are PORTCALL_ variables; infra/env.sample lists them all.
With --health it asks the one that runs with the same settings: 0 once that was ready, else 1.
Exit codes: 0 stopped, 64 wrong usage or setting, 69 an address is taken, 70 internal
";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = health::asked("PORTCALL_WORKER_OPS_ADDR").or_else(|| usage::asked(HELP)) {
        return code;
    }
    tls::install_provider();
    let (settings, shown) = match Settings::read(Reader::from_environment()) {
        Ok(read) => read,
        Err(mistakes) => return usage::told(&mistakes.to_string(), EXIT_USAGE),
    };
    let common = &settings.common;
    let traces = telemetry::start("portcall-worker", &common.log, &common.traces);
    tracing::info!(settings = ?shown, version = env!("CARGO_PKG_VERSION"), "worker starting");
    let ended = work(settings, traces.clone()).await;
    traces.close().await;
    match ended {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "worker ended");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

async fn work(settings: Settings, traces: Traces) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal().context("watching signals")?;
    let ready = Ready::default();
    let addr = ops::serve(settings.ops_addr, telemetry::metrics(), ready.clone(), stop.clone());
    let addr = match addr.await {
        Ok(addr) => addr,
        Err(error) => {
            tracing::error!(addr = %settings.ops_addr, %error, "cannot listen for operators");
            return Ok(ExitCode::from(EXIT_UNAVAILABLE));
        }
    };
    tracing::info!(%addr, "operators' listener");

    let common = &settings.common;
    let store = Store::open(&common.mongodb_uri, &common.database, "portcall-worker").await?;
    let store = store.quarantining_after(settings.suspect_losses);
    let claimant = Claimant { id: WorkerId::new(), name: settings.name.clone() };
    let process = Process::worker(claimant.id, &claimant.name, env!("CARGO_PKG_VERSION"));
    let again = |error: &StoreError| {
        let obstacle = error.obstacle();
        tracing::warn!(%error, "cannot begin: {obstacle}; will retry");
        ready.set(Readiness::NotReady(obstacle));
        error.again()
    };
    let prepare = retry::RECONNECT.run(again, || async {
        store.migrate().await?;
        let key = store.label_key().await?;
        Ok((key, store.list_process(process.clone()).await?))
    });
    let (key, listed) = tokio::select! {
        prepared = prepare => prepared.context("preparing the store")?,
        () = stop.cancelled() => {
            store.close(CLOSE).await;
            return Ok(ExitCode::SUCCESS);
        }
    };

    let nodes = settings.nodes(claimant.id, LabelKey(key))?;
    let ours = settings.quarantine.as_ref().map(|q| format!("{}/strangers@", q.host));
    let (plain, private) = (common.http_registries.clone(), common.private_registries.clone());
    let registry = Registry::with_private(plain, private);
    let quarantine = settings
        .quarantine
        .as_ref()
        .map(|own| Quarantine::new(own, &common.http_registries, registry.clone(), store.clone()));
    let worker = Worker {
        store,
        nodes,
        registry,
        quarantine,
        ours,
        claimant,
        slots: settings.slots,
        times: settings.times,
        canary_every: settings.canary_every,
        node_free: settings.node_free,
        ready,
        store_answers: Default::default(),
        company: Default::default(),
        posts: Default::default(),
        registry_turn: Default::default(),
        traces,
    };
    tracing::info!(worker.id = %worker.claimant.id, worker.name = worker.claimant.name, "working");
    worker.run(stop).await;
    listed.leave().await;
    worker.store.close(CLOSE).await;
    tracing::info!("worker stopped");
    Ok(ExitCode::SUCCESS)
}
