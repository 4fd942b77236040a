//! The rehearsal itself: images are pushed, both halves are sent and waited for, the walls are looked
//! at, and all of it is cleared away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcall_shared::{
    domain::{event::Event, ids::EventSlug, image::RegistryHost, submission::Submission},
    store::Store,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    derive::SPOILT,
    figures::{Crowd, Rate},
    fleet::Fleet,
    has_hostile,
    images::{Shelf, repository},
    lure::Lure,
    people::{Own, Prepared, Programs},
    plan::{ATTACKS, Half, Kind, Truth},
    post::{self, Api, Draft, Sent},
    progress::Progress,
    report::{Facts, Report, is_over},
    shadow,
};
use crate::failure::Failure;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How long cleaning may still take when all have their verdict: its limit is 30 s.
const CLEANED: Duration = Duration::from_secs(40);

/// Why there is no report.
pub(super) enum Over {
    /// Somebody said stop.
    Stopped,
    /// It could not be done.
    Failed(Failure),
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is played.
pub(super) struct Script<'a> {
    pub(super) event: &'a Event,
    pub(super) planned: Vec<(Half, Kind)>,
    pub(super) own: Option<Own>,
    pub(super) programs: Programs,
    pub(super) rate: Rate,
    pub(super) hostile: f64,
    pub(super) drain: Duration,
    pub(super) fleet: Fleet,
    pub(super) crowd: Crowd,
}

/// Where it is played, and what has to be cleared away.
pub(super) struct Stage<'a> {
    store: &'a Store,
    shadow: &'a EventSlug,
    shelf: Option<Shelf>,
    stop: CancellationToken,
    progress: Progress,
    busiest: u64,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        store: &'a Store,
        shadow: &'a EventSlug,
        registry: Option<&RegistryHost>,
        plain_http: &[RegistryHost],
        stop: CancellationToken,
    ) -> Self {
        let shelf = registry.map(|host| Shelf::at(host, &repository(shadow), plain_http));
        Self { store, shadow, shelf, stop, progress: Progress::new(), busiest: 0 }
    }

    /// Plays it; what came of it.
    pub(super) async fn play(&mut self, script: Script<'_>, api: Api) -> Result<Report, Over> {
        let played = self.story(script, api).await;
        self.progress.end();
        played
    }

    async fn story(&mut self, script: Script<'_>, api: Api) -> Result<Report, Over> {
        api.knows_the_event().await?;
        let lure = Lure::lay().await.map_err(|e| Failure::Internal(format!("no lure: {e}")))?;
        let drafts = self.push(&script, &lure.told()).await?;
        let (calm, hostile): (Vec<Draft>, Vec<Draft>) =
            drafts.into_iter().partition(|draft| draft.half == Half::Calm);
        let mut sent = self.half("calm", calm, &script, &api).await?;
        sent.extend(self.half("with hostile ones", hostile, &script, &api).await?);
        let submissions = self.cleaned().await?;
        let mut escaped = Vec::new();
        if has_hostile(&script.planned) {
            self.progress.part("the canary examines every node");
            escaped = unless(&self.stop, script.fleet.examine(self.store)).await?;
        }
        if lure.touched() > 0 {
            escaped.push(format!(
                "somebody dialled the lure on this machine {} times",
                lure.touched()
            ));
        }
        let own = script.own.is_some();
        let truth = |kind| truth(kind, own, script.event);
        Ok(Report::of(Facts {
            event: script.event.slug.as_str(),
            shadow: self.shadow.as_str(),
            rate: script.rate,
            hostile: script.hostile,
            sent: &sent,
            submissions: &submissions,
            truth: &truth,
            escaped,
            lures: lure.targets.len(),
            fleet: &script.fleet,
            busiest: self.busiest,
            crowd: script.crowd,
        }))
    }

    async fn push(&mut self, script: &Script<'_>, targets: &str) -> Result<Vec<Draft>, Over> {
        let Script { event, planned, own, programs, .. } = script;
        let mut prepared = Prepared::of(event, planned, own.as_ref(), programs, targets)?;
        let recipes = std::mem::take(&mut prepared.recipes);
        let mut references = Vec::new();
        if let Some(shelf) = &mut self.shelf {
            self.progress.part(&format!("pushing {} images", recipes.len()));
            references = unless(&self.stop, shelf.push(recipes)).await?;
        }
        Ok(prepared.drafts(&references, event.images.min))
    }

    /// Sends one half, and waits until all of it has its verdict.
    async fn half(
        &mut self,
        name: &str,
        drafts: Vec<Draft>,
        script: &Script<'_>,
        api: &Api,
    ) -> Result<Vec<Sent>, Over> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let (all, between) = (drafts.len(), script.rate.between());
        self.progress.part(&format!("{name}: {all} submissions"));
        let done = Arc::new(AtomicUsize::new(0));
        let (sending, stop) = (api.clone(), self.stop.clone());
        let (run, counter) = (self.shadow.to_string(), Arc::clone(&done));
        // In a task of its own, so that no look at the database holds up a POST.
        let posts = tokio::spawn(async move {
            post::send(&sending, drafts, between, &run, &stop, &counter).await
        });
        let mut until = None;
        loop {
            let left = self.look(name, all, done.load(Ordering::Relaxed)).await;
            let is_sent = posts.is_finished();
            if self.stop.is_cancelled() && is_sent {
                return Err(Over::Stopped);
            }
            // A database that is away for a moment is part of what is rehearsed.
            if is_sent && matches!(left, Ok(0)) {
                break;
            }
            let now = Instant::now();
            if is_sent && now >= *until.get_or_insert(now + script.drain) {
                left?;
                break;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
            }
        }
        posts.await.map_err(|e| Over::Failed(Failure::Internal(e.to_string())))
    }

    /// How many have no verdict yet.
    async fn look(&mut self, name: &str, all: usize, sent: usize) -> Result<u64, Failure> {
        let states = self.store.stats(self.shadow).await?.states;
        let of = |state| states.get(state).copied().unwrap_or(0);
        let (waiting, grading) = (of("queued"), of("grading"));
        let done: u64 = states.values().sum::<u64>() - waiting - grading;
        self.busiest = self.busiest.max(grading);
        self.progress.far(format!(
            "{name}: {sent} of {all} sent; {waiting} wait, {grading} are graded, {done} have a verdict"
        ));
        Ok(waiting + grading)
    }

    /// Every submission, once what was left of each is removed.
    async fn cleaned(&self) -> Result<Vec<Submission>, Over> {
        let until = Instant::now() + CLEANED;
        loop {
            let all = unless(&self.stop, shadow::submissions(self.store, self.shadow)).await?;
            let is_waited_for = all.iter().any(|one| one.life.state.is_final() && !is_over(one));
            if !is_waited_for || Instant::now() >= until {
                return Ok(all);
            }
            unless(&self.stop, async {
                sleep(LOOK).await;
                Ok(())
            })
            .await?;
        }
    }

    /// Clears everything away; what is left, in sentences.
    pub(super) async fn clear(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        if let Err(failure) = shadow::remove(self.store, self.shadow).await {
            failure.tell();
            let shadow = self.shadow;
            left.push(format!("{shadow} is left; `portcall rehearse --clean` takes it away"));
        }
        if let Some(shelf) = &mut self.shelf {
            left.extend(shelf.clear().await.err());
        }
        left
    }
}

/// What must come of a submission.
fn truth(kind: Kind, own: bool, event: &Event) -> Truth {
    match kind {
        Kind::Good => Truth::Passes,
        Kind::Bad if own => Truth::Fails(&[]),
        Kind::Bad => Truth::Fails(SPOILT),
        Kind::Hostile(number) => {
            ATTACKS.get(number).map_or(Truth::Either, |attack| attack.truth(event.profile))
        }
    }
}

/// Does something, unless somebody says stop.
async fn unless<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Over> {
    tokio::select! {
        done = work => Ok(done?),
        () = stop.cancelled() => Err(Over::Stopped),
    }
}
