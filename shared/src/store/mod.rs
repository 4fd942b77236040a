//! The store: MongoDB, and nothing else holds state.
//!
//! # Two versions side by side
//!
//! During a deploy, and after one that was taken back, processes of two versions use one database.
//! Expand first, contract a deploy later:
//!
//! - A reader ignores fields that it does not know. A word that it does not know costs it that word
//!   and not the document. `shared/tests/store_queue/versions.rs` tries it with every collection.
//! - A writer sets its own fields by name and keeps all others: nothing that another process wrote is
//!   replaced whole. (A worker's notes of its node are its own and nobody else's.)
//! - A document is stamped with `schema`, the lowest version that can *grade* it, which is not the one
//!   that wrote it. A version that writes something that older ones would get wrong raises the stamp of
//!   those documents only, and does so one deploy after it learned to read it. Workers claim what they
//!   can grade and leave the rest in the queue ([`SCHEMA`]); an older api shows what it can.
//! - A migration adds and never takes away ([`migrations`]), so an older process beside a migrated
//!   database goes on, and after a roll-back nothing is undone. What only older versions need is taken
//!   away by [`Store::contract`], which refuses while one is listed ([`processes`]); from then on older
//!   ones do not start.
//! - What a process may do is its user's rights (`infra/mongo/roles.json`, [`access`]). Those that only
//!   older versions need are granted until these are contracted away.
//!
//! # Calls
//!
//! - Single-document conditional updates only; write concern majority with journal, reads from the
//!   primary with read concern majority.
//! - A driver future is never dropped half-way (RUST-937: it can leave the driver's pool broken).
//!   Every call runs in a task of its own and the time limit is on the task's handle: [`Store::call`].
//! - The driver retries a write once; that does not cover an election. Every operation here is
//!   idempotent and is tried again by the policies of [`crate::retry`].
//! - What an earlier try may have done is looked for with read concern linearizable: a majority may not
//!   have it yet, and who reads what a majority has would take it for not done.

pub mod access;
pub mod ages;
pub mod audit;
pub mod backup;
pub mod certificates;
pub mod contract;
pub mod deliveries;
mod documents;
pub mod doors;
pub mod entries;
pub mod erasure;
mod error;
pub mod events;
pub mod feed;
pub mod fleet;
pub mod glances;
pub mod history;
mod label_key;
mod life;
pub mod line;
pub mod memory;
pub mod migrations;
pub mod moderation;
mod mongo_queue;
pub mod nodes;
pub mod observer;
pub mod orders;
pub mod pins;
mod pool;
pub mod processes;
pub mod quarantine;
pub mod queue;
pub mod regrades;
pub mod rehearsals;
pub mod replica_set;
pub mod search;
pub mod stats;
pub mod submissions;
pub mod suspects;
pub mod tally;
pub mod tokens;
pub mod webhooks;
mod withheld;
pub mod workers;

use std::{future::Future, sync::Arc, time::Duration};

use bson::Document;
use mongodb::{
    Client, Collection, Database,
    error::Error as DriverError,
    options::{
        Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference,
        SelectionCriteria, WriteConcern,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use self::{documents::SCHEMA, error::StoreError};
use crate::{
    domain::suspicion::QUARANTINE_AFTER,
    retry::{self, Again, Policy},
};

/// How long one call may take before it is given up (it goes on in its task; a repetition is
/// harmless).
const CALL: Duration = Duration::from_secs(10);
/// Connections for [`Store::ping`], whatever the others wait for.
const PULSE: u32 = 2;
/// Most calls that are under way at a time, waiting for a connection among them: whoever comes when there are so
/// many is told so at once.
const CALLS: usize = 1000;
/// How long a connection that nobody needs is kept: each process has a pool for each member, and what a
/// crowd opened on a member that led then is of no use.
const IDLE: Duration = Duration::from_secs(60);
/// How long calls may take to end when whoever made them has ended.
const CLOSE: Duration = Duration::from_secs(5);

/// Whether a text is an address of a database. Nothing is connected or looked up.
///
/// # Errors
/// When it is not one.
pub fn check_address(uri: &str) -> Result<(), StoreError> {
    ConnectionString::parse(uri).map(drop).map_err(StoreError::Address)
}

/// The database, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    /// The same, by connections of its own.
    pulse: Database,
    submissions: Collection<Document>,
    events: Collection<Document>,
    workers: Collection<Document>,
    nodes: Collection<Document>,
    orders: Collection<Document>,
    withheld: Collection<Document>,
    quarantine: Collection<Document>,
    meta: Collection<Document>,
    keys: Collection<Document>,
    processes: Collection<Document>,
    tokens: Collection<Document>,
    audit: Collection<Document>,
    regrades: Collection<Document>,
    doors: Collection<Document>,
    webhooks: Collection<Document>,
    deliveries: Collection<Document>,
    certificates: Collection<Document>,
    suspects: Collection<Document>,
    schema: i32,
    quarantine_after: u32,
    calls: TaskTracker,
    room: Arc<Semaphore>,
}

impl Store {
    /// Opens the database. No connection is made yet: that happens at the first call, and again
    /// whenever one was lost.
    ///
    /// # Errors
    /// When the address is not valid.
    pub async fn open(uri: &str, database: &str, app: &str) -> Result<Self, StoreError> {
        let mut options = ClientOptions::parse(uri).await.map_err(StoreError::Address)?;
        options.app_name.get_or_insert_with(|| app.to_owned());
        options.connect_timeout.get_or_insert(Duration::from_secs(2));
        options.server_selection_timeout.get_or_insert(Duration::from_secs(4));
        options.heartbeat_freq.get_or_insert(Duration::from_secs(2));
        options.max_pool_size.get_or_insert(50);
        options.max_idle_time.get_or_insert(IDLE);
        options.cmap_event_handler = Some(pool::handler());
        options.write_concern =
            Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria =
            Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let mut own = options.clone();
        (own.max_pool_size, own.cmap_event_handler) = (Some(PULSE), None);
        let client = Client::with_options(options).map_err(StoreError::Address)?;
        let pulse = Client::with_options(own).map_err(StoreError::Address)?.database(database);
        Ok(Self { pulse, ..Self::of(client.database(database)) })
    }

    fn of(database: Database) -> Self {
        Self {
            submissions: database.collection("submissions"),
            events: database.collection("events"),
            workers: database.collection("workers"),
            nodes: database.collection("nodes"),
            orders: database.collection("orders"),
            withheld: database.collection("withheld"),
            quarantine: database.collection("quarantine"),
            meta: database.collection("meta"),
            keys: database.collection("keys"),
            processes: database.collection("processes"),
            tokens: database.collection("tokens"),
            audit: database.collection("audit"),
            regrades: database.collection("regrades"),
            doors: database.collection("doors"),
            webhooks: database.collection("webhooks"),
            deliveries: database.collection("deliveries"),
            certificates: database.collection("certificates"),
            suspects: database.collection("suspects"),
            schema: SCHEMA,
            quarantine_after: QUARANTINE_AFTER,
            calls: TaskTracker::new(),
            pulse: database.clone(),
            room: Arc::new(Semaphore::new(CALLS)),
            database,
        }
    }

    /// Speaks as a process of another version does, so that two of them can be tried side by side.
    #[must_use]
    pub fn of_version(self, schema: i32) -> Self {
        Self { schema, ..self }
    }

    /// Whether a primary answers. It does not wait behind other calls.
    ///
    /// # Errors
    /// When none does.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let database = self.pulse.clone();
        self.carry_out("ping", async move {
            database.run_command(bson::doc! { "ping": 1 }).await.map(drop)
        })
        .await
    }

    /// Drops the whole database. For tests, and for `infra/up` on a database of its own.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn drop_database(&self) -> Result<(), StoreError> {
        let database = self.database.clone();
        self.call("drop the database", async move { database.drop().await }).await
    }

    /// Waits until no call is under way and every cursor is given back, at most so long. Before a
    /// process ends: a driver task that is caught by the end of the runtime panics.
    pub async fn close(&self, within: Duration) {
        self.calls.close();
        let (client, pulse) = (self.database.client().clone(), self.pulse.client().clone());
        let ended = async {
            self.calls.wait().await;
            client.shutdown().await;
            pulse.shutdown().await;
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!(calls = self.calls.len(), "calls of the store are still under way");
        }
    }

    /// Has something done with it, and closes it, however that ends.
    pub async fn closing<T>(self, work: impl AsyncFnOnce(&Self) -> T) -> T {
        let done = work(&self).await;
        self.close(CLOSE).await;
        done
    }

    /// One driver call, unless too many are under way.
    async fn call<T: Send + 'static>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            metrics::counter!("portcall_store_refused_calls_total").increment(1);
            return Err(StoreError::Busy { doing });
        };
        // The room is given back when the call has ended, which is later than who waits for it gives up.
        let call = async move {
            let done = call.await;
            drop(room);
            done
        };
        self.carry_out(doing, call).await
    }

    /// One driver call: in a task of its own, so that whoever waits may go away, with a time limit.
    async fn carry_out<T: Send + 'static>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(CALL, self.calls.spawn(call)).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(source))) => Err(StoreError::Driver { doing, source }),
            Ok(Err(_)) => Err(StoreError::Task { doing }),
            Err(_) => Err(StoreError::Timeout { doing }),
        }
    }

    /// A call that is repeated by a policy while it may go better.
    async fn persist<T, F, Fut>(
        &self,
        policy: Policy,
        doing: &'static str,
        mut call: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        entries::persist(policy, doing, || self.call(doing, call())).await
    }
}

/// Whether the same call may go better soon; if so, a try more has failed.
fn counted(policy: Policy, doing: &'static str, error: &StoreError) -> Again {
    let again = match error {
        // Who waits for an answer is told at once, so that they do not wait in a line of their own.
        StoreError::Busy { .. } if policy == retry::INTERACTIVE => Again::No,
        _ => error.again(),
    };
    if again == Again::Yes {
        metrics::counter!("portcall_store_failed_tries_total", "doing" => doing).increment(1);
    }
    again
}

fn decode<T: DeserializeOwned>(document: Document) -> Result<T, StoreError> {
    bson::deserialize_from_document(document).map_err(StoreError::Decode)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Document, StoreError> {
    bson::serialize_to_document(value).map_err(StoreError::Decode)
}

fn encode_value<T: serde::Serialize>(value: &T) -> Result<bson::Bson, StoreError> {
    bson::serialize_to_bson(value).map_err(StoreError::Decode)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    /// As many as there is room for wait, the next is refused at once, and where one ended there is room
    /// again, whether or not anybody still waited for it.
    #[tokio::test]
    async fn so_many_calls_and_no_more_are_under_way() {
        // Nothing listens there, and nothing here asks it.
        let uri = "mongodb://127.0.0.1:1/?replicaSet=rs";
        let mut store = Store::open(uri, "test", "test").await.unwrap();
        store.room = Arc::new(Semaphore::new(3));
        let end = Arc::new(Notify::new());
        let waits = || {
            let (store, end) = (store.clone(), Arc::clone(&end));
            async move {
                let call = async move {
                    end.notified().await;
                    Ok(())
                };
                store.call("wait", call).await
            }
        };
        let given_up = tokio::spawn(waits());
        let others = [tokio::spawn(waits()), tokio::spawn(waits())];
        while store.room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.is_err());
        let refused = waits().await;
        assert!(matches!(refused, Err(StoreError::Busy { doing: "wait" })), "{refused:?}");
        let mut tries = 0;
        let asked = store.persist(retry::INTERACTIVE, "ask", || {
            tries += 1;
            async { Ok(()) }
        });
        assert!(matches!(asked.await, Err(StoreError::Busy { .. })));
        assert_eq!(tries, 1, "nobody waits in a line of their own");
        // Whether the database answers is not a matter of who else asks: it waits for a server here.
        let ping = tokio::time::timeout(Duration::from_millis(100), store.ping());
        assert!(ping.await.is_err());

        end.notify_waiters();
        for other in others {
            other.await.unwrap().unwrap();
        }
        while store.room.available_permits() < 3 {
            tokio::task::yield_now().await;
        }
        store.call("go on", async { Ok(()) }).await.unwrap();
    }
}
