//! Whose loss it is when a machine goes down: of the images whose containers it had started.

use std::collections::BTreeSet;

use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{attempt, document::Suspect};
use crate::{
    domain::{
        image::Digest,
        state::Step,
        submission::AttemptOutcome,
        suspicion::{self, Event, Loss, Machine, Standing, Treatment},
        verdict::Reason,
    },
    retry,
    store::{
        Store, StoreError, decode,
        documents::{restored, uuid},
        queue::Lease,
    },
};

/// What went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down<'a> {
    /// The worker: its lease expired.
    Worker,
    /// The node of that name: its worker says so.
    Node(&'a str),
}

/// What of a submission tells whose loss it is.
#[derive(Deserialize)]
struct GradingDoc {
    generation: i64,
    step: Option<String>,
    #[serde(default)]
    images: Vec<PinnedDoc>,
    #[serde(default)]
    attempts: Vec<PlaceDoc>,
}

#[derive(Deserialize)]
struct PinnedDoc {
    digest: Option<String>,
}

#[derive(Deserialize)]
struct PlaceDoc {
    worker_name: String,
    node: Option<String>,
    generation: i64,
    outcome: Option<String>,
}

/// When another image was lost on the same machine.
#[derive(Deserialize)]
struct OtherDoc {
    at: DateTime,
}

impl Store {
    /// Notes where an attempt is graded, for when nobody can ask its worker any more.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn note_place(&self, lease: Lease, node: &str) -> Result<(), StoreError> {
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "attempts": { "$elemMatch": {
                "generation": lease.generation.0, "worker": uuid(lease.worker),
            } },
        };
        let update = doc! { "$set": { "attempts.$.node": node } };
        let submissions = self.submissions.clone();
        let write = async move { submissions.update_one(filter, update).await };
        self.call("note where it is graded", write).await.map(drop)
    }

    /// Notes that the node went away under a grading; why nobody is to try it again, if so.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn lost_with_node(
        &self,
        lease: Lease,
        node: &str,
    ) -> Result<Option<Reason>, StoreError> {
        self.lost(lease, Down::Node(node)).await
    }

    /// Notes that the worker fell silent under a grading; why nobody is to try it again, if so.
    pub(in crate::store) async fn lost_with_worker(
        &self,
        lease: Lease,
    ) -> Result<Option<Reason>, StoreError> {
        self.lost(lease, Down::Worker).await
    }

    /// Takes that back, unless somebody else has ended the lease.
    pub(in crate::store) async fn not_lost(&self, lease: Lease) -> Result<(), StoreError> {
        let Some(grading) = self.grading(lease).await? else { return Ok(()) };
        let lost = |a: &PlaceDoc| {
            a.generation == lease.generation.0
                && a.outcome.as_deref() == Some(AttemptOutcome::Lost.as_str())
        };
        if grading.attempts.iter().any(lost) {
            return Ok(());
        }
        self.happens_to_all(&digests(&grading), &Event::Retracted(attempt(lease))).await
    }

    async fn lost(&self, lease: Lease, down: Down<'_>) -> Result<Option<Reason>, StoreError> {
        let found = self.grading(lease).await?;
        let Some(grading) = found.filter(|it| it.generation == lease.generation.0) else {
            return Ok(None);
        };
        let all = digests(&grading);
        let step = grading.step.as_deref().and_then(Step::from_word);
        if step.is_none_or(|step| step < Step::Starting) {
            // The turn is over all the same, when this is known of some.
            for known in self.suspects_among(&all).await? {
                self.happens(&known.digest, &Event::Ended(attempt(lease)), None).await?;
            }
            return Ok(None);
        }
        let Some(place) = grading.attempts.into_iter().find(|a| a.generation == lease.generation.0)
        else {
            return Ok(None);
        };
        let mut refused = None;
        for digest in &all {
            let machine = match down {
                Down::Worker => format!("worker {}", place.worker_name),
                Down::Node(name) => format!("node {name}"),
            };
            let node = match down {
                Down::Worker => place.node.clone(),
                Down::Node(name) => Some(name.to_owned()),
            };
            let loss = Loss {
                attempt: attempt(lease),
                at: OffsetDateTime::now_utc(),
                machine,
                worker: place.worker_name.clone(),
                node,
                with: all.iter().filter(|other| *other != digest).cloned().collect(),
                alone: false,
            };
            let suspect = self.note_loss(digest, loss).await?;
            if suspect.suspicion.treatment(&all) == Treatment::Never {
                refused = Some(suspicion::refused(digest).reason());
            }
        }
        Ok(refused)
    }

    async fn note_loss(&self, digest: &Digest, loss: Loss) -> Result<Suspect, StoreError> {
        let others = self.lost_there(digest, &loss.machine).await?;
        let known = self.suspects_among(std::slice::from_ref(digest)).await?;
        let machine =
            known.first().map_or(Machine::Sound, |known| known.suspicion.machine(&loss, &others));
        let (submission, machine_name) = (loss.attempt.submission, loss.machine.clone());
        let suspect = self.happens(digest, &Event::Lost(loss, machine), None).await?;
        metrics::counter!("portcall_image_losses_total").increment(1);
        tracing::warn!(
            image.digest = %digest,
            submission.id = %submission,
            machine = machine_name,
            standing = suspect.suspicion.standing.as_str(),
            "a machine went down under an image"
        );
        Ok(suspect)
    }

    /// When other images were lost on a machine, as far as that is not their own fault.
    async fn lost_there(
        &self,
        digest: &Digest,
        machine: &str,
    ) -> Result<Vec<OffsetDateTime>, StoreError> {
        let pipeline = vec![
            doc! { "$match": {
                "_id": { "$ne": digest.as_str() },
                "losses.machine": machine,
                "standing": { "$ne": Standing::Poison.as_str() },
            } },
            doc! { "$unwind": "$losses" },
            doc! { "$match": { "losses.machine": machine } },
            // Only what counts: what was cleared since stood by.
            doc! { "$match": { "$expr": { "$in": [
                { "submission": "$losses.submission", "generation": "$losses.generation" },
                { "$ifNull": ["$counting", []] },
            ] } } },
            doc! { "$project": { "_id": 0, "at": "$losses.at" } },
        ];
        let suspects = self.suspects.clone();
        let found: Vec<Document> = self
            .persist(retry::LEASED, "ask what else a machine lost", move || {
                let (suspects, pipeline) = (suspects.clone(), pipeline.clone());
                async move { suspects.aggregate(pipeline).await?.try_collect().await }
            })
            .await?;
        found
            .into_iter()
            .map(|other| decode::<OtherDoc>(other).map(|other| restored(other.at)))
            .collect()
    }

    async fn grading(&self, lease: Lease) -> Result<Option<GradingDoc>, StoreError> {
        let submissions = self.submissions.clone();
        let filter = doc! { "_id": uuid(lease.submission) };
        let fields = doc! {
            "_id": 0, "generation": 1, "step": 1, "images.digest": 1, "attempts.worker_name": 1,
            "attempts.node": 1, "attempts.generation": 1, "attempts.outcome": 1,
        };
        let found = self
            .persist(retry::LEASED, "read what was graded", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                let fields = fields.clone();
                async move { submissions.find_one(filter).projection(fields).await }
            })
            .await?;
        found.map(decode).transpose()
    }
}

fn digests(grading: &GradingDoc) -> Vec<Digest> {
    let pinned = grading.images.iter().filter_map(|image| image.digest.as_deref()?.parse().ok());
    pinned.collect::<BTreeSet<Digest>>().into_iter().collect()
}
