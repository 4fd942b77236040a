//! What is tested: a queue that submissions can be put into and read from.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        place::{LatLng, Place},
        state::Lifecycle,
        submission::{Marks, Participant, Submission, SubmittedImage},
    },
    store::{
        Store,
        memory::MemoryQueue,
        queue::Queue,
        submissions::{NewSubmission, Taken},
    },
};
use time::OffsetDateTime;

/// A queue under test.
pub(crate) trait Subject {
    /// Its type.
    type Queue: Queue;

    fn queue(&self) -> &Self::Queue;
    async fn put(&self, submission: Submission) -> Submission;
    async fn get(&self, id: SubmissionId) -> Submission;
    async fn close(self);
}

/// A submission by somebody of that name, sent at that time.
pub(crate) fn submission(name: &str, at: OffsetDateTime) -> Submission {
    let place = Place {
        label: "San Francisco".parse().unwrap(),
        point: Some(LatLng::new(37.77, -122.42).unwrap()),
        country: Some("US".into()),
    };
    Submission {
        id: SubmissionId::new(),
        event: "birthday-3".parse::<EventSlug>().unwrap(),
        event_version: 1,
        participant: Participant { name: name.parse().unwrap(), handle: None, contact: None },
        place,
        images: vec![SubmittedImage { image: "u/app:1".parse().unwrap(), pinned: None }],
        answers: BTreeMap::from([("vote".to_owned(), "Cats".parse().unwrap())]),
        life: Lifecycle::submitted(at),
        created_at: at,
        updated_at: at,
        revision: 1,
        order: at,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    }
}

/// Now, in the store's precision.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap()
}

pub(crate) struct InMemory(MemoryQueue);

impl InMemory {
    pub(crate) async fn open() -> Self {
        Self(MemoryQueue::default())
    }
}

impl Subject for InMemory {
    type Queue = MemoryQueue;

    fn queue(&self) -> &MemoryQueue {
        &self.0
    }

    async fn put(&self, submission: Submission) -> Submission {
        self.0.put(submission.clone());
        submission
    }

    async fn get(&self, id: SubmissionId) -> Submission {
        self.0.get(id).expect("it was put")
    }

    async fn close(self) {}
}

pub(crate) struct InMongo(pub(crate) Store, String);

impl InMongo {
    pub(crate) async fn open() -> Self {
        let bare = Self::open_bare().await;
        bare.0.migrate().await.unwrap();
        bare
    }

    /// As a database is before the first process came.
    pub(crate) async fn open_bare() -> Self {
        portcall_shared::tls::install_provider();
        let name = format!("store-{}", uuid::Uuid::new_v4().simple());
        let name = name[..30].to_owned();
        let store = Store::open(&Self::uri(), &name, "store tests").await.unwrap();
        Self(store, name)
    }

    /// The store of another process, with connections of its own.
    pub(crate) async fn another(&self) -> Store {
        Store::open(&Self::uri(), &self.1, "another").await.unwrap()
    }

    fn uri() -> String {
        #[expect(clippy::disallowed_methods, reason = "a test is told so where its server is")]
        let uri = std::env::var("PORTCALL_TEST_MONGODB_URI");
        uri.expect("PORTCALL_TEST_MONGODB_URI names a MongoDB replica set")
    }

    /// The same database, past the store.
    pub(crate) async fn database(&self) -> mongodb::Database {
        mongodb::Client::with_uri_str(Self::uri()).await.unwrap().database(&self.1)
    }
}

impl Subject for InMongo {
    type Queue = Store;

    fn queue(&self) -> &Store {
        &self.0
    }

    async fn put(&self, submission: Submission) -> Submission {
        let secret = "secret".into();
        let new = NewSubmission { submission, secret, idempotency: None, schema: 1 };
        match self.0.take(new).await.unwrap() {
            Taken::Stored(stored) => *stored,
            other => panic!("{other:?}"),
        }
    }

    async fn get(&self, id: SubmissionId) -> Submission {
        self.0.submission(id).await.unwrap().expect("it was put")
    }

    async fn close(self) {
        self.0.drop_database().await.unwrap();
    }
}
