//! The worker process: settings, telemetry, store, fleet, work, drain.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use portcall_shared::{
    domain::ids::WorkerId,
    ops::{self, Ready},
    registry::Registry,
    retry,
    settings::{EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE, Reader},
    shutdown,
    store::{Store, StoreError, queue::Claimant},
    telemetry, tls, usage,
};
use portcall_worker::{
    fleet::{EngineSettings, Fleet, Images, LabelKey},
    gate::{Gate, room::Housekeeper},
    grade::{DiskFloor, Grader, NodeMemory},
    quarantine::Quarantine,
    settings::Settings,
    worker::Worker,
};
use tokio::time::Instant;

/// How long calls of the store may take to end when everything else has.
const CLOSE: Duration = Duration::from_secs(5);
const HELP: &str = "portcall-worker: claims, grades and settles submissions

It takes no arguments. Settings are PORTCALL_ variables; infra/env.sample lists them all.
Exit codes: 0 stopped, 64 wrong usage or setting, 69 an address is taken, 70 internal
";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = usage::asked(HELP) {
        return code;
    }
    tls::install_provider();
    let (settings, shown) = match Settings::read(Reader::from_environment()) {
        Ok(read) => read,
        Err(mistakes) => return usage::told(&mistakes.to_string(), EXIT_USAGE),
    };
    telemetry::log(&settings.common.log);
    tracing::info!(settings = ?shown, version = env!("CARGO_PKG_VERSION"), "worker starting");
    match work(settings).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "worker ended");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

async fn work(settings: Settings) -> anyhow::Result<ExitCode> {
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
    let prepare = retry::RECONNECT.run(StoreError::again, || async {
        store.migrate().await?;
        store.label_key().await
    });
    let key = tokio::select! {
        key = prepare => key.context("preparing the store")?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };

    let claimant = Claimant { id: WorkerId::new(), name: settings.name.clone() };
    let fleet = Fleet::engine(EngineSettings {
        host: settings.docker_host,
        worker: claimant.id,
        key: LabelKey(key),
        prober: settings.prober,
        canary: settings.canary,
        pool: settings.pool,
        node: settings.node,
        images: Images::Pinned,
    })?;
    let ours = settings.quarantine.as_ref().map(|q| format!("{}/strangers@", q.host));
    let (plain, private) = (common.http_registries.clone(), common.private_registries.clone());
    let registry = Registry::with_private(plain, private);
    let quarantine = settings
        .quarantine
        .as_ref()
        .map(|own| Quarantine::new(own, &common.http_registries, registry.clone(), store.clone()));
    let worker = Worker {
        store,
        grader: Grader {
            fleet,
            registry,
            quarantine,
            floor: DiskFloor::under(settings.node_free),
            memory: NodeMemory::default(),
        },
        claimant,
        slots: settings.slots,
        times: settings.times,
        ready,
        busy: Default::default(),
        open_slots: Default::default(),
        store_answers: Default::default(),
        gate: Gate::new(settings.canary_every),
        canary_every: settings.canary_every,
        room: Arc::new(Housekeeper::new(settings.node_free, ours, Instant::now())),
    };
    tracing::info!(worker.id = %worker.claimant.id, worker.name = worker.claimant.name, "working");
    worker.run(stop).await;
    worker.store.close(CLOSE).await;
    tracing::info!("worker stopped");
    Ok(ExitCode::SUCCESS)
}
