//! Taking submissions in, and reading them.
//!
//! The pending cap is a unique index: each pending submission of a participant holds one of
//! [`MAX_PENDING`] lanes, and its lane is given up in the very update that makes it final. Two
//! POSTs at once cannot both get the last lane.

use std::collections::BTreeMap;

use bson::{DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::Duration;

use super::{
    Store, StoreError, decode,
    documents::{IdempotencyDoc, PlaceDoc, SubmissionDoc, place_doc, submission_id, uuid},
    encode,
    entries::{Entries, Find, Inserted, persist},
};
use crate::{
    domain::{
        ids::{EventSlug, SubmissionId},
        state::State,
        submission::{Submission, SubmittedImage},
    },
    retry,
};

/// Most submissions of one participant that are not final, in one event.
pub const MAX_PENDING: u32 = 5;
/// How much later than its first a participant's next pending submission is deemed to be sent.
pub const FAIR_STEP: Duration = Duration::minutes(1);
/// How many of what a participant sent before are compared with what comes.
pub const LOOKED_BACK: i64 = 50;

/// A submission with what is kept beside it.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// The submission; its `order` is when its turn would be if its participant had nothing else that
    /// is pending, and is moved here if they have.
    pub submission: Submission,
    /// What the participant keeps to prove that it is theirs; only its hash is stored.
    pub secret: String,
    /// The `Idempotency-Key` with the hash of the body that came with it.
    pub idempotency: Option<Idempotency>,
    /// The lowest version of documents that its event's rules can be read with
    /// ([`super::events::EventVersion::schema`]): older workers leave it in the queue.
    pub schema: i32,
}

/// An `Idempotency-Key` and the body it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, as sent.
    pub key: String,
    /// SHA-256 of the body, in hex.
    pub body: String,
}

/// What became of a new submission.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is stored.
    Stored(Box<Submission>),
    /// The same key and body came before: this is what was stored then.
    Replayed(Box<Submission>),
    /// The same key came before, with another body.
    KeyReused,
    /// The participant has [`MAX_PENDING`] that are not final.
    TooManyPending,
}

/// What makes two submissions of one participant the same.
#[derive(PartialEq)]
struct Sent {
    event_version: i32,
    name: String,
    place: PlaceDoc,
    answers: BTreeMap<String, String>,
    digests: Vec<String>,
}

impl Sent {
    /// None where it is not known yet what would be run.
    fn of(submission: &Submission) -> Option<Self> {
        let digest = |image: &SubmittedImage| Some(image.pinned.as_ref()?.digest.to_string());
        Some(Self {
            event_version: submission.event_version,
            name: submission.participant.name.to_string(),
            place: place_doc(&submission.place),
            answers: submission.answers.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            digests: submission.images.iter().map(digest).collect::<Option<_>>()?,
        })
    }
}

/// What came before, as far as it matters here.
#[derive(Deserialize)]
struct Earlier {
    #[serde(rename = "_id")]
    id: Uuid,
    event_version: i32,
    participant: EarlierBy,
    place: PlaceDoc,
    answers: BTreeMap<String, String>,
    images: Vec<EarlierImage>,
    state: String,
    erased_at: Option<DateTime>,
    trial_of: Option<Uuid>,
}

#[derive(Deserialize)]
struct EarlierBy {
    name: String,
}

#[derive(Deserialize)]
struct EarlierImage {
    digest: Option<String>,
}

impl Earlier {
    fn sent(self) -> Option<Sent> {
        Some(Sent {
            event_version: self.event_version,
            name: self.participant.name,
            place: self.place,
            answers: self.answers,
            digests: self.images.into_iter().map(|image| image.digest).collect::<Option<_>>()?,
        })
    }

    /// Whether it is a participant's, still theirs, and has an outcome or may get one.
    fn counts(&self) -> bool {
        let without = [State::Cancelled, State::Undetermined].map(|state| state.as_str());
        self.erased_at.is_none() && self.trial_of.is_none() && !without.contains(&&*self.state)
    }
}

/// What a participant sent before, as far as it decides about what comes.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Of which of it this is a repetition.
    same: Option<SubmissionId>,
    /// The lanes that are held; none if not all that they sent was looked at.
    lanes: Option<Vec<u32>>,
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn lane(document: &Document) -> Option<u32> {
    document.get_i32("lane").ok().and_then(|lane| u32::try_from(lane).ok())
}

/// Stores a submission once, in its place of the fair order, wherever the entries lie. The indexes decide
/// about lanes and keys: what was seen before says which lane to try first.
///
/// # Errors
/// When the store cannot.
pub async fn take(
    entries: &impl Entries,
    new: NewSubmission,
    before: Before,
) -> Result<Taken, StoreError> {
    let mut submission = new.submission;
    let (key, turn) = (submission.participant.key(), submission.order);
    let event = submission.event.clone();
    let replayed = async || match &new.idempotency {
        Some(idempotency) => replay(entries, &event, &key, idempotency).await,
        None => Ok(None),
    };
    let mut seen = before.lanes;
    loop {
        let lanes = match seen.take() {
            Some(lanes) => lanes,
            None => lanes(entries, &event, &key).await?,
        };
        let free = (1..=MAX_PENDING).find(|lane| !lanes.contains(lane));
        let Some(lane) = free else {
            return Ok(replayed().await?.unwrap_or(Taken::TooManyPending));
        };
        let ahead = i32::try_from(lanes.len()).unwrap_or(i32::MAX);
        submission.order = turn + FAIR_STEP * ahead;
        let secret = sha256_hex(new.secret.as_bytes());
        let mut document = SubmissionDoc::from_domain(&submission, new.schema, secret);
        document.lane = i32::try_from(lane).ok();
        document.idempotency = new
            .idempotency
            .as_ref()
            .map(|i| IdempotencyDoc { key: i.key.clone(), body: i.body.clone() });
        let (doing, encoded) = ("store a submission", encode(&document)?);
        let insert = || entries.insert(doing, encoded.clone());
        if persist(retry::INTERACTIVE, doing, insert).await? == Inserted::New {
            return Ok(Taken::Stored(Box::new(document.into_domain()?)));
        }
        // An earlier try of this very insert, whose answer was lost; or what came before under the
        // same key; or somebody was faster with that lane: then that is looked at again.
        if let Some(stored) = find(entries, doc! { "_id": uuid(submission.id) }).await? {
            return Ok(Taken::Stored(Box::new(stored.into_domain()?)));
        }
        if let Some(taken) = replayed().await? {
            return Ok(taken);
        }
    }
}

async fn replay(
    entries: &impl Entries,
    event: &EventSlug,
    participant: &str,
    idempotency: &Idempotency,
) -> Result<Option<Taken>, StoreError> {
    let filter = doc! {
        "event": event.as_str(),
        "participant.key": participant,
        "idempotency.key": &idempotency.key,
    };
    let Some(document) = find(entries, filter).await? else { return Ok(None) };
    let same = document.idempotency.as_ref().is_some_and(|i| i.body == idempotency.body);
    match same {
        true => Ok(Some(Taken::Replayed(Box::new(document.into_domain()?)))),
        false => Ok(Some(Taken::KeyReused)),
    }
}

/// The lanes that a participant holds.
async fn lanes(
    entries: &impl Entries,
    event: &EventSlug,
    participant: &str,
) -> Result<Vec<u32>, StoreError> {
    let filter = doc! {
        "event": event.as_str(),
        "participant.key": participant,
        "lane": { "$exists": true },
    };
    let find = Find { filter, fields: Some(doc! { "lane": 1 }), limit: None };
    let doing = "count pending submissions";
    let held = || entries.read(doing, find.clone());
    let found = persist(retry::INTERACTIVE, doing, held).await?;
    Ok(found.iter().filter_map(lane).collect())
}

/// The one that matches.
async fn find(
    entries: &impl Entries,
    filter: Document,
) -> Result<Option<SubmissionDoc>, StoreError> {
    let (doing, find) = ("read a submission", Find { filter, fields: None, limit: Some(1) });
    let read = || entries.read(doing, find.clone());
    let found = persist(retry::INTERACTIVE, doing, read).await?;
    found.into_iter().next().map(decode).transpose()
}

impl Store {
    /// Stores a submission once, in its place of the fair order.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn take(&self, new: NewSubmission) -> Result<Taken, StoreError> {
        self.take_after(new, Before::default()).await
    }

    /// The same for whoever has just looked at what its participant sent before.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn take_after(
        &self,
        new: NewSubmission,
        before: Before,
    ) -> Result<Taken, StoreError> {
        take(self, new, before).await
    }

    /// What was stored under an idempotency key before, if anything was.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn replay(
        &self,
        event: &EventSlug,
        participant: &str,
        idempotency: &Idempotency,
    ) -> Result<Option<Taken>, StoreError> {
        replay(self, event, participant, idempotency).await
    }

    /// What this participant sent before: one look, for [`Store::same_as`] and [`Store::take_after`].
    /// Their last [`LOOKED_BACK`] are looked at. Nothing is where it is not known yet what would be run.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn before(&self, new: &Submission) -> Result<Before, StoreError> {
        let Some(wanted) = Sent::of(new) else { return Ok(Before::default()) };
        let filter = doc! { "event": new.event.as_str(), "participant.key": new.participant.key() };
        let shown = doc! {
            "event_version": 1, "participant.name": 1, "place": 1, "answers": 1, "lane": 1,
            "images.digest": 1, "state": 1, "erased_at": 1, "trial_of": 1,
        };
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for the same submission", move || {
                let (submissions, filter, shown) =
                    (submissions.clone(), filter.clone(), shown.clone());
                async move {
                    let latest = submissions.find(filter).projection(shown);
                    let latest = latest.sort(doc! { "created_at": -1 }).limit(LOOKED_BACK);
                    latest.await?.try_collect().await
                }
            })
            .await?;
        let all = i64::try_from(found.len()).is_ok_and(|found| found < LOOKED_BACK);
        let lanes = all.then(|| found.iter().filter_map(lane).collect());
        let same = found.into_iter().find_map(|document| {
            // What a newer version wrote in another shape is not the same.
            let earlier = decode::<Earlier>(document).ok()?;
            let id = submission_id(earlier.id);
            (earlier.counts() && earlier.sent().as_ref() == Some(&wanted)).then_some(id)
        });
        Ok(Before { same, lanes })
    }

    /// What was sent before of which this is a repetition, if there is such a thing: with the same
    /// name, place and answers, the same images in the same order, all of them pinned, under the
    /// same rules; and with an outcome, or one to come, that is worth showing. Two at once may each
    /// find nothing.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn same_as(&self, before: &Before) -> Result<Option<Submission>, StoreError> {
        match before.same {
            Some(id) => self.submission(id).await,
            None => Ok(None),
        }
    }

    /// A submission by its id.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn submission(&self, id: SubmissionId) -> Result<Option<Submission>, StoreError> {
        let found = find(self, doc! { "_id": uuid(id) }).await?;
        found.map(SubmissionDoc::into_domain).transpose()
    }

    /// Whether a secret is the one that a submission was stored with. Compares hashes, and these in
    /// constant time.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn knows_secret(&self, id: SubmissionId, secret: &str) -> Result<bool, StoreError> {
        let found = find(self, doc! { "_id": uuid(id) }).await?;
        let given = sha256_hex(secret.as_bytes());
        Ok(found.is_some_and(|d| d.secret.as_bytes().ct_eq(given.as_bytes()).into()))
    }
}
