//! Keeping a certificate good that we get ourselves (RFC 8555): looking at the store, taking what is new
//! there into use, and ordering when it is time and this process's turn.
//!
//! Everything is in the store, so that any process answers the authority and any may order: whoever takes
//! the turn first ([`portcall_shared::store::certificates`]). The others see within [`CALM`] that
//! somebody orders, and look every [`BUSY`] from then on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use portcall_shared::{
    seal::SealError,
    store::{
        Store, StoreError,
        certificates::{CertificateSet, CertificateState, Issued, Turn, TurnEnd},
    },
};
use rand::Rng as _;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    challenge::{Proofs, is_token},
    pair::{Pair, Refused},
    resolver::Resolver,
    settings::{AcmeSettings, Proof},
};
use crate::problem::chain;

/// Between looks at the store while there is a certificate and nobody orders.
pub(super) const CALM: Duration = Duration::from_secs(5);
/// Between looks while there is none, or somebody orders.
const BUSY: Duration = Duration::from_secs(1);
/// Between two looks at the store on behalf of requests for a challenge, however many there are.
const ASKED: Duration = Duration::from_millis(250);
/// How long a request for a challenge waits for the store.
const ANSWER: Duration = Duration::from_secs(5);
/// How often whoever orders says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// Without a beat for so long, it no longer is.
const LEASE: Duration = Duration::from_secs(20);
/// How long an order may take.
const ORDER: Duration = Duration::from_secs(300);
/// The longest pause after an order that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was sealed by somebody with another key.
    #[error(
        "the {what} in the database was sealed with another key than PORTCALL_SEAL_KEY_FILE has"
    )]
    Sealed {
        /// What does not open.
        what: &'static str,
        /// As the seal says it.
        #[source]
        source: SealError,
    },
    /// The authority does not answer, or refuses.
    #[error("the certificate authority: {0}")]
    Authority(instant_acme::Error),
    /// The authority does not look for proofs in that way.
    #[error("the certificate authority offers no {kind} for {name}")]
    NoChallenge {
        /// The way.
        kind: &'static str,
        /// The name to be proven.
        name: String,
    },
    /// The authority did not find the proof.
    #[error("the certificate authority did not find the proof: {0}")]
    Unproven(String),
    /// What it issued is not what was ordered.
    #[error("the new certificate is not used")]
    Refused(#[from] Refused),
    /// A key or a request cannot be made.
    #[error("cannot make a key or a request")]
    Made(#[from] rcgen::Error),
    /// What was kept of an account cannot be read.
    #[error("the account cannot be read or written")]
    Account(#[from] serde_json::Error),
    /// It took too long.
    #[error("the order took longer than {} s", ORDER.as_secs())]
    Late,
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        Self::Authority(error)
    }
}

/// Keeps the certificate of some names.
#[derive(Debug)]
pub(super) struct Acme {
    pub(super) settings: AcmeSettings,
    pub(super) store: Store,
    pub(super) set: CertificateSet,
    resolver: Arc<Resolver>,
    me: uuid::Uuid,
    proofs: ArcSwap<Proofs>,
    /// When the store was last looked at; whoever looks has this, so that nothing old follows on
    /// something new.
    looked: Mutex<Option<Instant>>,
    /// Whether the certificate that there is cannot be opened.
    sealed: AtomicBool,
}

/// What the keeper remembers between looks.
#[derive(Debug, Default)]
struct View {
    /// The certificate that was judged.
    judged: Option<Issued>,
    /// When it is to be renewed; none while there is none.
    renew_at: Option<OffsetDateTime>,
    /// Who orders, and since when its beat stands still.
    held: Option<(Turn, Instant)>,
}

/// How an order ended.
enum Ended {
    Issued,
    Failed(AcmeError),
    Lost,
    GivenBack,
}

impl Acme {
    pub(super) fn new(settings: AcmeSettings, store: Store, resolver: Arc<Resolver>) -> Self {
        Self {
            set: CertificateSet::of(&settings.directory, &settings.domains),
            settings,
            store,
            resolver,
            me: uuid::Uuid::now_v7(),
            proofs: ArcSwap::default(),
            looked: Mutex::default(),
            sealed: AtomicBool::new(false),
        }
    }

    /// Why nobody should be sent here, if nobody should.
    pub(super) fn obstacle(&self) -> Option<String> {
        let sealed = || "the certificate in the database was sealed with another key".to_owned();
        self.sealed.load(Ordering::Relaxed).then(sealed)
    }

    /// What HTTP-01 answers to a token. What is not known yet is looked up; however many ask for what is
    /// nowhere, the store is asked a few times a second.
    pub(super) async fn http_challenge(&self, token: &str) -> Option<String> {
        if self.settings.proof != Proof::Http || !is_token(token) {
            return None;
        }
        if let Some(text) = self.proofs.load().text(token) {
            return Some(text);
        }
        let asked = Instant::now();
        let look = async {
            let mut looked = self.looked.lock().await;
            if let Some(at) = looked.filter(|at| *at < asked) {
                tokio::time::sleep_until((at + ASKED).into()).await;
            }
            // Whoever waited before us may have looked meanwhile.
            if looked.is_none_or(|at| at < asked) {
                *looked = Some(Instant::now());
                self.read().await.map(drop)?;
            }
            Ok::<_, StoreError>(())
        };
        match tokio::time::timeout(ANSWER, look).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "cannot look for a challenge"),
            Err(_) => tracing::warn!("cannot look for a challenge: the database does not answer"),
        }
        self.proofs.load().text(token)
    }

    /// Keeps the certificate good until the process is told to stop.
    pub(super) async fn keep(&self, stop: &CancellationToken) {
        let mut view = View::default();
        loop {
            let looked = stop.run_until_cancelled(self.look()).await;
            let pause = match looked {
                None => return,
                Some(Ok(state)) => {
                    self.judge(state.issued, &mut view);
                    view.watch(state.turn, Instant::now());
                    let now = OffsetDateTime::now_utc();
                    if view.is_due(now) && view.is_free(Instant::now()) {
                        self.take_turn(state.turn, stop).await;
                    }
                    if view.is_due(now) || view.held.is_some() { BUSY } else { CALM }
                }
                Some(Err(error)) => {
                    tracing::warn!(error = chain(&error), "cannot look for a new certificate");
                    CALM
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Looks at the store, and shows what there is to prove from now on.
    pub(super) async fn look(&self) -> Result<CertificateState, StoreError> {
        let mut looked = self.looked.lock().await;
        *looked = Some(Instant::now());
        self.read().await
    }

    async fn read(&self) -> Result<CertificateState, StoreError> {
        let mut state = self.store.certificate_state(&self.set).await?;
        let challenges = std::mem::take(&mut state.challenges);
        let proofs = Proofs::of(challenges, &self.proofs.load());
        self.resolver.prove(proofs.certificates());
        self.proofs.store(Arc::new(proofs));
        Ok(state)
    }

    /// Takes a certificate into use that is new, or says once why not.
    fn judge(&self, issued: Option<Issued>, view: &mut View) {
        if view.judged == issued {
            return;
        }
        view.judged.clone_from(&issued);
        let Some(issued) = issued else {
            // Whoever took it out wants a new one; the one before stays in use until then.
            view.renew_at = None;
            return;
        };
        let opened = self.open(&issued);
        let sealed = matches!(opened, Err(AcmeError::Sealed { .. }));
        self.sealed.store(sealed, Ordering::Relaxed);
        match opened {
            Ok(pair) => {
                let chance = rand::rng().random_range(0.0..1.0);
                view.renew_at = Some(renewal(pair.not_before, pair.not_after, chance));
                self.resolver.take(pair);
            }
            Err(error) => {
                metrics::counter!("portcall_tls_reloads_total", "outcome" => "refused")
                    .increment(1);
                tracing::error!(
                    error = chain(&error),
                    "a new certificate is not used; the one before it stays"
                );
                // Others may use it: it is not ordered again while it is good.
                view.renew_at = Some(issued.not_after);
            }
        }
    }

    fn open(&self, issued: &Issued) -> Result<Pair, AcmeError> {
        let key = self.settings.sealer.open(&self.set.id(), &issued.key);
        let key = key.map_err(|source| AcmeError::Sealed { what: "certificate", source })?;
        Ok(Pair::with_pkcs8(issued.chain.as_bytes(), key)?)
    }

    /// Takes the turn, if nobody else is first, and orders.
    async fn take_turn(&self, seen: Option<Turn>, stop: &CancellationToken) {
        let tries = seen.map_or(0, |turn| turn.tries);
        let chance = rand::rng().random_range(0.0..1.0);
        let pause = pause_after(self.settings.retry, tries, chance);
        let taking = self.store.take_turn(&self.set, self.me, seen, pause);
        let generation = match stop.run_until_cancelled(taking).await {
            Some(Ok(Some(generation))) => generation,
            Some(Ok(None)) | None => return,
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "cannot take the turn to order");
                return;
            }
        };
        let names = self.settings.domains.join(",");
        tracing::info!(
            certificate.names = names,
            order.generation = generation,
            "ordering a certificate"
        );
        let ended = tokio::select! {
            ended = tokio::time::timeout(ORDER, self.order(generation)) => match ended {
                Ok(Ok(())) => Ended::Issued,
                Ok(Err(error)) => Ended::Failed(error),
                Err(_) => Ended::Failed(AcmeError::Late),
            },
            () = self.hold_turn(generation) => Ended::Lost,
            () = stop.cancelled() => Ended::GivenBack,
        };
        self.end(generation, ended).await;
    }

    /// Says that this process is there, until the turn is no longer its own.
    async fn hold_turn(&self, generation: i64) {
        let mut told = Instant::now();
        while told.elapsed() < LEASE {
            tokio::time::sleep(BEAT).await;
            match self.store.beat_turn(&self.set, self.me, generation).await {
                Ok(true) => told = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot keep the turn to order")
                }
            }
        }
    }

    async fn end(&self, generation: i64, ended: Ended) {
        let (outcome, end) = match ended {
            Ended::Issued => ("issued", Some(TurnEnd::Issued)),
            Ended::Failed(error) => {
                tracing::error!(error = chain(&error), "no new certificate; will be tried again");
                ("failed", Some(TurnEnd::Failed))
            }
            Ended::Lost => {
                tracing::warn!("somebody else orders the certificate");
                ("lost", None)
            }
            Ended::GivenBack => ("given_back", Some(TurnEnd::GivenBack)),
        };
        metrics::counter!("portcall_acme_orders_total", "outcome" => outcome).increment(1);
        let Some(end) = end else { return };
        let over = async {
            self.store.end_challenges(&self.set, generation).await?;
            self.store.end_turn(&self.set, self.me, generation, end).await
        };
        if let Err(error) = over.await {
            tracing::warn!(error = chain(&error), "cannot end the turn to order; it will run out");
        }
    }
}

impl View {
    fn watch(&mut self, turn: Option<Turn>, now: Instant) {
        let held = turn.filter(|turn| turn.holder.is_some());
        self.held = match (held, self.held) {
            (Some(turn), Some((seen, since))) if turn == seen => Some((turn, since)),
            (held, _) => held.map(|turn| (turn, now)),
        };
    }

    /// Whether nobody orders who is alive.
    fn is_free(&self, now: Instant) -> bool {
        self.held.is_none_or(|(_, since)| now.duration_since(since) >= LEASE)
    }

    fn is_due(&self, now: OffsetDateTime) -> bool {
        self.renew_at.is_none_or(|at| now >= at)
    }
}

/// When a certificate is renewed: with a third of its time left, and up to a twentieth of that later, so
/// that not every process, and not everybody's, asks at once.
fn renewal(from: OffsetDateTime, until: OffsetDateTime, chance: f64) -> OffsetDateTime {
    let third = (until - from) / 3;
    until - third + third * chance / 20
}

/// The pause that follows on a try after so many others: twice as long each time, and up to a quarter
/// more.
fn pause_after(first: Duration, tries: i32, chance: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(u32::try_from(tries).unwrap_or_default());
    let pause = first.saturating_mul(doubled).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 + chance / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_left() {
        let from = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let day = time::Duration::DAY;
        assert_eq!(renewal(from, from + 90 * day, 0.0), from + 60 * day);
        assert_eq!(renewal(from, from + 90 * day, 1.0), from + 61.5 * day);
    }

    #[test]
    fn tries_become_rare() {
        let minute = Duration::from_secs(60);
        let pauses: Vec<u64> =
            (0..5).map(|tries| pause_after(minute, tries, 0.0).as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960]);
        assert_eq!(pause_after(minute, 8, 0.0).as_secs(), 15360);
        for many in [9, 40, i32::MAX] {
            assert_eq!(pause_after(minute, many, 0.0), LONGEST_PAUSE);
        }
        assert_eq!(pause_after(minute, 0, 1.0).as_secs(), 75);
    }

    #[test]
    fn a_turn_is_free_once_its_beat_stood_still() {
        let turn = |generation, beat| {
            Some(Turn { holder: Some(uuid::Uuid::nil()), generation, beat, tries: 1 })
        };
        let (mut view, start) = (View::default(), Instant::now());
        assert!(view.is_free(start), "nobody's");
        view.watch(turn(1, 1), start);
        view.watch(turn(1, 1), start + LEASE / 2);
        let just_before = start + LEASE - Duration::from_millis(1);
        assert!(!view.is_free(just_before) && view.is_free(start + LEASE));
        view.watch(turn(1, 2), start + LEASE);
        assert!(!view.is_free(start + LEASE), "a beat");
        view.watch(turn(2, 2), start + LEASE * 2);
        assert!(!view.is_free(start + LEASE * 2), "another holder");
        view.watch(
            Some(Turn { holder: None, generation: 2, beat: 2, tries: 1 }),
            start + LEASE * 2,
        );
        assert!(view.is_free(start + LEASE * 2), "given back");
    }
}
