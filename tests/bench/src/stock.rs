//! A database of a benchmark's own with as many submissions in it as are wanted, and the bare driver
//! beside the store.
//!
//! The documents are Portcall's own: the store takes one submission in, and the others are that one
//! with another id, participant and place in the line.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::TryStreamExt as _;
use mongodb::{
    Client, Collection, IndexModel,
    options::{Acknowledgment, ClientOptions, WriteConcern},
};
use portcall_shared::{
    domain::{
        ids::SubmissionId,
        place::{LatLng, Place},
        state::Lifecycle,
        submission::{Marks, Participant, Pinned, Submission, SubmittedImage},
    },
    store::{
        Store,
        submissions::{NewSubmission, Taken},
    },
};
use time::OffsetDateTime;

/// The event that all of them are of.
pub const EVENT: &str = "birthday-3";
/// How many are written at once.
const BATCH: usize = 2_000;
/// How many connections either side may have: more than anybody measures with.
const CONNECTIONS: u32 = 160;

/// A database of its own.
#[derive(Clone, Debug)]
pub struct Stock {
    /// Portcall's way to it.
    pub store: Store,
    /// The bare driver's way to the same submissions.
    pub bare: Collection<Document>,
    template: Document,
}

/// With room for as many connections as are measured with.
fn roomy(uri: &str) -> String {
    let join = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{join}maxPoolSize={CONNECTIONS}")
}

/// The bare driver, writing as the store does.
///
/// # Errors
/// When the address is none.
pub async fn driver(uri: &str) -> Result<Client> {
    let mut options = ClientOptions::parse(roomy(uri)).await?;
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    options.write_concern = Some(majority);
    Ok(Client::with_options(options)?)
}

/// A name that no other database has.
#[must_use]
pub fn fresh_name(what: &str) -> String {
    let id = Uuid::new().to_string().replace('-', "");
    format!("bench-{what}-{}", &id[..12])
}

/// A submission as one comes in.
///
/// # Errors
/// When one of its texts is not valid.
pub fn submission(name: &str) -> Result<Submission> {
    let now = OffsetDateTime::now_utc();
    let invalid = |what: &'static str| anyhow::anyhow!("no {what}");
    let digest = format!("sha256:{}", "a1".repeat(32));
    let pinned = Pinned {
        digest: digest.parse().map_err(|_| invalid("digest"))?,
        platform: "linux/amd64".to_owned(),
        size: 1_234_567,
        layers: 1,
    };
    let image = "127.0.0.1:5000/sample:1".parse().map_err(|_| invalid("image"))?;
    let answer = "Cats".parse().map_err(|_| invalid("answer"))?;
    Ok(Submission {
        id: SubmissionId::new(),
        event: EVENT.parse()?,
        event_version: 1,
        participant: Participant {
            name: name.parse().map_err(|_| invalid("name"))?,
            handle: None,
            contact: None,
        },
        place: Place {
            label: "San Francisco, CA, USA".parse().map_err(|_| invalid("place"))?,
            point: Some(LatLng::new(37.77, -122.42)?),
            country: Some("US".to_owned()),
        },
        images: vec![SubmittedImage { image, pinned: Some(pinned) }],
        answers: BTreeMap::from([("vote".to_owned(), answer)]),
        life: Lifecycle::submitted(now),
        created_at: now,
        updated_at: now,
        revision: 1,
        order: now,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    })
}

impl Stock {
    /// An empty one, with all of Portcall's indexes.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn open(uri: &str, what: &str) -> Result<Self> {
        let name = fresh_name(what);
        let store = Store::open(&roomy(uri), &name, "portcall-bench").await?;
        store.migrate().await?;
        let bare = driver(uri).await?.database(&name).collection::<Document>("submissions");
        let new = NewSubmission {
            submission: submission("The first")?,
            secret: "secret".to_owned(),
            idempotency: None,
            schema: 1,
        };
        let Taken::Stored(first) = store.take(new).await? else { bail!("it was not taken") };
        let first = doc! { "_id": Uuid::from_bytes(*first.id.uuid().as_bytes()) };
        let template = bare.find_one_and_delete(first).await?.context("it is not there")?;
        Ok(Self { store, bare, template })
    }

    /// A submission's document, the n-th in the line.
    #[must_use]
    pub fn document(&self, n: usize) -> Document {
        let mut document = self.template.clone();
        let order = document.get_datetime("order").map_or(0, |order| order.timestamp_millis());
        let order = DateTime::from_millis(order + i64::try_from(n).unwrap_or_default());
        let id = Uuid::from_bytes(*SubmissionId::new().uuid().as_bytes());
        document.insert("_id", id);
        document.insert("order", order);
        if let Ok(participant) = document.get_document_mut("participant") {
            participant.insert("name", format!("Ann {n}"));
            participant.insert("key", format!("name:ann{n}"));
        }
        document
    }

    /// The same when it has passed, as a pin at this point.
    #[must_use]
    pub fn passed(&self, n: usize, point: LatLng) -> Document {
        let mut document = self.document(n);
        let now = DateTime::now();
        let verdict = doc! {
            "outcome": "passed", "reason": Bson::Null, "at": now, "attempt": 1_i64,
            "grading_ms": 5_i64,
        };
        document.insert("state", "passed");
        document.insert("deadline", Bson::Null);
        document.insert("verdict", verdict);
        document.remove("ready");
        document.remove("lane");
        if let Ok(place) = document.get_document_mut("place") {
            place.insert("lat", point.lat());
            place.insert("lng", point.lng());
        }
        document
    }

    /// Writes so many, as fast as goes.
    ///
    /// # Errors
    /// When the database does not take them.
    pub async fn fill(&self, count: usize, document: impl Fn(usize) -> Document) -> Result<()> {
        let fast = WriteConcern::builder().w(Acknowledgment::Nodes(1)).journal(false).build();
        for first in (0..count).step_by(BATCH) {
            let end = (first + BATCH).min(count);
            let written = self.bare.insert_many((first..end).map(&document)).ordered(false);
            // Once the last is with the majority, all are.
            if end == count {
                written.await?;
            } else {
                written.write_concern(fast.clone()).await?;
            }
        }
        Ok(())
    }

    /// How many match.
    ///
    /// # Errors
    /// When the database does not say.
    pub async fn count(&self, filter: Document) -> Result<u64> {
        Ok(self.bare.count_documents(filter).await?)
    }

    /// Takes it away.
    ///
    /// # Errors
    /// When the database does not.
    pub async fn drop(self) -> Result<()> {
        self.store.drop_database().await?;
        self.store.close(std::time::Duration::from_secs(5)).await;
        self.bare.client().clone().shutdown().await;
        Ok(())
    }
}

/// A collection beside the submissions with the same indexes, or none of them.
///
/// # Errors
/// When the database does not make it.
pub async fn beside(
    submissions: &Collection<Document>,
    name: &str,
    indexes: Indexes,
) -> Result<Collection<Document>> {
    let database = submissions.client().database(&submissions.namespace().db);
    database.create_collection(name).await?;
    let collection = database.collection::<Document>(name);
    if indexes == Indexes::Same {
        let all: Vec<IndexModel> = submissions.list_indexes().await?.try_collect().await?;
        let own = all.into_iter().filter(|index| index.keys != doc! { "_id": 1 });
        collection.create_indexes(own).await?;
    }
    Ok(collection)
}

/// Which indexes a collection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexes {
    /// Those of the submissions.
    Same,
    /// None but that of the ids.
    None,
}
