//! K40: a pair of files is replaced every two seconds under load, and then by a broken one.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcall_tests::{
    Event,
    faults::{Ctx, Evidence, Gate},
    parts::{
        apis::Apis,
        client::Client,
        mongo,
        tls::{Made, Trust},
    },
    wait,
};

const PATIENCE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(2);
const NAME: &str = "portcall.test";
/// A registry that refuses: what names it is taken in, and its image is looked for later.
const NOBODY: &str = "127.0.0.1:1";
const IMAGE: &str = "127.0.0.1:1/app:1";
const REFUSED: &str = "a new certificate is not used; the one before it stays";
const DAY: i64 = 86_400;

pub(super) async fn renewed(ctx: Ctx) -> Result<Evidence> {
    let times = ctx.of(8, 30);
    let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[NOBODY]).await?;
    let ip = apis.ip(0)?.to_string();
    let made: Vec<Made> =
        (0..=times).map(|_| Made::new(&[NAME, &ip], -60, 30 * DAY)).collect::<Result<_>>()?;
    put(apis.dir(), 0, &made[0].chain, &made[0].key)?;
    let file = |name: &str| apis.dir().join("pair").join(name).display().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    apis.set("PORTCALL_TLS", "files");
    apis.set("PORTCALL_TLS_CERT_FILE", certificate);
    apis.set("PORTCALL_TLS_KEY_FILE", key);
    apis.set("PORTCALL_API_DRAIN_MS", 0);
    apis.set("PORTCALL_PUBLIC_URL", format!("https://{NAME}"));
    apis.start().await?;
    let at = apis.all[0].address.context("an api's address")?;
    let roots: Vec<&str> = made.iter().map(|one| one.chain.as_str()).collect();
    let trust = Trust::in_roots(&roots)?;
    let client = Client::believing(&format!("https://{at}"), &Event::config().slug, &roots)?;
    let mut gate = Gate::of(&ctx, apis)?;
    gate.aim_at(vec![client.quietly()]);

    let shakes = Shakes::begin(trust.clone(), at);
    let planned = gate.planned(times * 20, IMAGE);
    let posted = planned.len();
    gate.load_of.post(planned, 10.0);
    let fault = gate.fault(format!("the certificate is replaced {times} times"));
    let mut slowest = Duration::ZERO;
    for (n, new) in made.iter().enumerate().skip(1) {
        let since = Instant::now();
        put(gate.apis.dir(), n, &new.chain, &new.key)?;
        wait::until("the new certificate is shown", PATIENCE, || async {
            Ok((trust.shown(at, NAME).await? == new.der).then_some(()))
        })
        .await?;
        slowest = slowest.max(since.elapsed());
        wait::until("two seconds", PATIENCE, || async {
            Ok((since.elapsed() >= EVERY).then_some(()))
        })
        .await?;
    }
    gate.over(fault);
    gate.figure(format!(
        "a new certificate was shown after {:.1} s at the latest",
        slowest.as_secs_f64()
    ));

    let last = made.last().context("certificates")?;
    let fault = gate.fault("a pair comes whose key is another's");
    put(gate.apis.dir(), times + 1, &made[0].chain, &made[1].key)?;
    gate.apis.all[0].wait_log(&[REFUSED], PATIENCE).await?;
    gate.expect(trust.shown(at, NAME).await? == last.der, "the one before it stays");
    let refused = gate.apis.all[0].outcome("portcall_tls_reloads_total", "refused").await?;
    gate.expect(refused > 0.0, "it is counted, so that an alert can tell");
    gate.until_answered().await?;
    gate.over(fault);

    let (done, failed) = shakes.end().await?;
    gate.expect(failed == 0, format!("{failed} of {done} handshakes failed"));
    gate.expect(done > times, format!("only {done} handshakes were made"));
    gate.figure(format!("{done} handshakes, {failed} failed, {posted} posts"));
    let taken = gate.history().accepted().len();
    gate.expect(taken == posted, format!("{taken} of {posted} posts were taken"));
    gate.end().await
}

/// Both files at once: `pair` leads to a folder, and is replaced as a whole.
fn put(dir: &Path, n: usize, chain: &str, key: &str) -> Result<()> {
    let folder = dir.join(format!("pair-{n}"));
    fs::create_dir(&folder)?;
    fs::write(folder.join("cert.pem"), chain)?;
    fs::write(folder.join("key.pem"), key)?;
    symlink(&folder, dir.join("next"))?;
    fs::rename(dir.join("next"), dir.join("pair"))?;
    Ok(())
}

/// Somebody who shakes hands all the time, each time anew.
struct Shakes {
    ends: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<usize>,
}

impl Shakes {
    fn begin(trust: Trust, at: std::net::SocketAddr) -> Self {
        let (ends, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stop, count) = (Arc::clone(&ends), Arc::clone(&done));
        let task = tokio::spawn(async move {
            let mut failed = 0;
            while !stop.load(Ordering::Relaxed) {
                failed += usize::from(trust.shown(at, NAME).await.is_err());
                count.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Self { ends, done, task }
    }

    /// How many it made, and how many failed.
    async fn end(self) -> Result<(usize, usize)> {
        self.ends.store(true, Ordering::Relaxed);
        let failed = self.task.await?;
        Ok((self.done.load(Ordering::Relaxed), failed))
    }
}
