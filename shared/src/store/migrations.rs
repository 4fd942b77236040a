//! Migrations: numbered, applied once whichever process starts first.
//!
//! The process that inserts `{_id: "migration-N"}` first runs N; the others wait until it is
//! marked as done. If that process dies half-way, whoever has watched the entry stand still for
//! [`TAKE_OVER`] on its own monotonic clock runs it again: every migration is idempotent.
//!
//! To make indexes is more than an api or a worker may do where there is access control: whoever has
//! that right can also have documents removed (by an index that lets them expire). There `portcall store
//! prepare` does all of this ([`Store::prepare`]), and they wait for it ([`StoreError::Unprepared`]). Who
//! may do it is asked of the server, so that nothing is begun that cannot be ended.
//!
//! A migration only ever adds, so that processes of the version before go on beside it; they know
//! nothing of it and undo nothing. Taking away is [`super::contract`].

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::{Database, IndexModel, error::Error as DriverError, options::IndexOptions};

use super::{Store, StoreError, contract::CONTRACTIONS};
use crate::retry;

/// How long a started migration may stand still before another process runs it.
pub const TAKE_OVER: Duration = Duration::from_secs(60);

/// The version that this build needs: the number of the last migration.
pub const VERSION: i32 = 5;

/// What whoever prepares may do in every collection.
const RIGHTS: [&str; 3] = ["createIndex", "insert", "update"];

impl Store {
    /// Does all that apis and workers of this version cannot do for themselves; the lowest version
    /// that may use the database. One that is new is for this version and later from the beginning.
    ///
    /// # Errors
    /// When the store cannot, or the database is no longer for this version.
    pub async fn prepare(&self) -> Result<i32, StoreError> {
        if self.migration(&id(1)).await?.is_none() {
            self.contract(CONTRACTIONS).await?;
        }
        self.migrate().await?;
        self.label_key().await?;
        self.floor().await
    }

    /// Brings the database to [`VERSION`]. One that a newer version brought further stays so.
    ///
    /// # Errors
    /// When the store cannot, may not ([`StoreError::Unprepared`]), or the database is no longer for
    /// this version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_taking_over_after(TAKE_OVER).await
    }

    /// The same with another patience for a process that died half-way.
    ///
    /// # Errors
    /// As those of the other.
    pub async fn migrate_taking_over_after(&self, patience: Duration) -> Result<(), StoreError> {
        self.check_floor().await?;
        self.apply_migrations(patience).await
    }

    /// The same for a database that is about to be filled.
    pub(super) async fn apply_migrations(&self, patience: Duration) -> Result<(), StoreError> {
        for number in 1..=VERSION {
            if self.migration(&id(number)).await?.is_some_and(|found| is_done(&found)) {
                continue;
            }
            self.check_rights(&format!("migration {number}")).await?;
            self.migrate_one(number, patience).await?;
        }
        Ok(())
    }

    /// That this process may do what is missing. Where everybody may do everything, that is nobody's
    /// privilege.
    pub(super) async fn check_rights(&self, lacks: &str) -> Result<(), StoreError> {
        let database = self.database.clone();
        let ask = doc! { "connectionStatus": 1, "showPrivileges": true };
        let asked = self.persist(retry::INTERACTIVE, "ask for this user's rights", move || {
            let (database, ask) = (database.clone(), ask.clone());
            async move { database.run_command(ask).await }
        });
        match may_prepare(&asked.await?, self.database.name()) {
            true => Ok(()),
            false => Err(StoreError::Unprepared { lacks: lacks.to_owned() }),
        }
    }

    async fn migrate_one(&self, number: i32, patience: Duration) -> Result<(), StoreError> {
        let id = id(number);
        let waiting = Instant::now();
        loop {
            let found = self.migration(&id).await?;
            let mine = match &found {
                Some(found) if is_done(found) => return Ok(()),
                Some(_) => waiting.elapsed() > patience,
                None => self.begin(&id).await?,
            };
            if mine {
                tracing::info!(migration.number = number, "applying a migration");
                let database = self.database.clone();
                self.persist(retry::INTERACTIVE, "apply a migration", move || {
                    apply(database.clone(), number)
                })
                .await?;
                return self.finish(&id).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn migration(&self, id: &str) -> Result<Option<Document>, StoreError> {
        let (meta, filter) = (self.meta.clone(), doc! { "_id": id });
        self.persist(retry::INTERACTIVE, "read a migration", move || {
            let (meta, filter) = (meta.clone(), filter.clone());
            async move { meta.find_one(filter).await }
        })
        .await
    }

    /// Whether this process is the one to run it.
    async fn begin(&self, id: &str) -> Result<bool, StoreError> {
        let (meta, entry) = (self.meta.clone(), doc! { "_id": id, "done": false });
        let inserted =
            self.call("begin a migration", async move { meta.insert_one(entry).await }).await;
        match inserted {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn finish(&self, id: &str) -> Result<(), StoreError> {
        let (meta, filter) = (self.meta.clone(), doc! { "_id": id });
        self.persist(retry::INTERACTIVE, "finish a migration", move || {
            let (meta, filter) = (meta.clone(), filter.clone());
            async move { meta.update_one(filter, doc! { "$set": { "done": true } }).await }
        })
        .await
        .map(drop)
    }
}

fn id(number: i32) -> String {
    format!("migration-{number}")
}

fn is_done(migration: &Document) -> bool {
    migration.get_bool("done").unwrap_or(false)
}

/// By the server's answer: whether it comes as nobody, or as one who has these rights in every
/// collection of the database.
fn may_prepare(status: &Document, database: &str) -> bool {
    let all = |name| status.get_document("authInfo").and_then(|info| info.get_array(name));
    if all("authenticatedUsers").is_ok_and(Vec::is_empty) {
        return true;
    }
    let privileges = all("authenticatedUserPrivileges").into_iter().flatten();
    privileges.filter_map(Bson::as_document).any(|privilege| {
        let in_every = privilege.get_document("resource").is_ok_and(|resource| {
            let every = resource.get_str("collection").is_ok_and(str::is_empty);
            let here = resource.get_str("db").is_ok_and(|db| db.is_empty() || db == database);
            resource.get_bool("anyResource").unwrap_or(false) || (every && here)
        });
        let actions = privilege.get_array("actions").map_or(&[][..], Vec::as_slice);
        let is = |action: &Bson, right| [Some(right), Some("anyAction")].contains(&action.as_str());
        let has = |right| actions.iter().any(|action| is(action, right));
        in_every && RIGHTS.into_iter().all(has)
    })
}

async fn apply(database: Database, number: i32) -> Result<(), DriverError> {
    match number {
        1 => indexes_of_submissions(database).await,
        2 => indexes_of_events(database).await,
        3 => indexes_of_quarantine(database).await,
        4 => indexes_of_edge(database).await,
        _ => indexes_of_suspects(database).await,
    }
}

fn index(name: &str, keys: Document) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn partial(name: &str, keys: Document, only: Document, unique: Unique) -> IndexModel {
    let options = IndexOptions::builder()
        .name(name.to_owned())
        .partial_filter_expression(only)
        .unique(matches!(unique, Unique::Yes))
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

#[derive(Clone, Copy)]
enum Unique {
    Yes,
    No,
}

/// One index for each question that is asked of submissions.
async fn indexes_of_submissions(database: Database) -> Result<(), DriverError> {
    let there = |field: &str| doc! { field: { "$exists": true } };
    let indexes = [
        // Claims, in fair order: it holds only what may be claimed.
        partial("claim", doc! { "ready": 1, "order": 1, "_id": 1 }, there("ready"), Unique::No),
        // A participant's pending submissions: the cap is this index.
        partial(
            "lane",
            doc! { "event": 1, "participant.key": 1, "lane": 1 },
            there("lane"),
            Unique::Yes,
        ),
        partial(
            "idempotency",
            doc! { "event": 1, "participant.key": 1, "idempotency.key": 1 },
            there("idempotency.key"),
            Unique::Yes,
        ),
        // The sweep and the reaper.
        index("state", doc! { "state": 1, "deadline": 1 }),
        partial("delayed", doc! { "delay.next_try": 1 }, there("delay.next_try"), Unique::No),
        // Pins, numbers and lists of an event.
        index("event", doc! { "event": 1, "state": 1, "created_at": 1 }),
    ];
    database.collection::<Document>("submissions").create_indexes(indexes).await.map(drop)
}

/// What was not used for the longest time goes first.
async fn indexes_of_quarantine(database: Database) -> Result<(), DriverError> {
    let indexes = [index("used", doc! { "kind": 1, "used_at": 1 })];
    database.collection::<Document>("quarantine").create_indexes(indexes).await.map(drop)
}

/// What is refused, and what else a machine lost.
async fn indexes_of_suspects(database: Database) -> Result<(), DriverError> {
    let indexes = [
        index("standing", doc! { "standing": 1, "changed_at": -1 }),
        index("machine", doc! { "losses.machine": 1 }),
    ];
    database.collection::<Document>("suspects").create_indexes(indexes).await.map(drop)
}

/// For what organisers ask, what is delivered to them, and what a participant sent before.
async fn indexes_of_edge(database: Database) -> Result<(), DriverError> {
    let there = |field: &str| doc! { field: { "$exists": true } };
    let all = [
        ("audit", index("event", doc! { "event": 1, "_id": -1 })),
        ("audit", index("submission", doc! { "event": 1, "submission": 1, "_id": -1 })),
        ("regrades", index("event", doc! { "event": 1, "_id": -1 })),
        // How many an event may have is this index.
        ("webhooks", partial("lane", doc! { "event": 1, "lane": 1 }, there("lane"), Unique::Yes)),
        ("deliveries", index("webhook", doc! { "webhook": 1, "created_at": -1, "_id": -1 })),
        ("deliveries", index("created", doc! { "created_at": 1 })),
        ("deliveries", index("submission", doc! { "submission": 1 })),
        // The webhook beside the time, so that one with much to deliver is passed over in the index.
        (
            "deliveries",
            partial("due", doc! { "due_at": 1, "webhook": 1 }, there("due_at"), Unique::No),
        ),
        (
            "submissions",
            index("participant", doc! { "event": 1, "participant.key": 1, "created_at": -1 }),
        ),
        // What organisers search and export, in the order of time.
        ("submissions", index("newest", doc! { "event": 1, "_id": -1 })),
        ("submissions", index("changed", doc! { "event": 1, "updated_at": 1 })),
        // What came and what was judged when: they hold all that [`super::history`] asks for, so that
        // no submission is read for it.
        ("submissions", index("arrived", doc! { "event": 1, "created_at": 1, "trial_of": 1 })),
        ("submissions", partial("judged", judged(), there("verdict.at"), Unique::No)),
        (
            "submissions",
            partial(
                "trial",
                doc! { "trial_of": 1 },
                doc! { "trial_of": { "$exists": true } },
                Unique::No,
            ),
        ),
    ];
    for (collection, index) in all {
        database.collection::<Document>(collection).create_index(index).await?;
    }
    Ok(())
}

/// When each was judged, and how.
fn judged() -> Document {
    doc! {
        "event": 1, "verdict.at": 1, "verdict.outcome": 1, "verdict.reason.code": 1, "trial_of": 1,
    }
}

async fn indexes_of_events(database: Database) -> Result<(), DriverError> {
    let keys = doc! { "slug": 1, "version": -1 };
    let options = IndexOptions::builder().name("version".to_owned()).unique(true).build();
    let version = IndexModel::builder().keys(keys).options(options).build();
    database.collection::<Document>("events").create_index(version).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_prepares_may_do_it_in_every_collection() {
        let here = |collection: &str| doc! { "db": "portcall", "collection": collection };
        let rows = [
            (here(""), RIGHTS.to_vec(), true),
            (doc! { "db": "", "collection": "" }, RIGHTS.to_vec(), true),
            (doc! { "anyResource": true }, vec!["anyAction"], true),
            // As workers of version 1 had it.
            (here(""), vec!["createIndex"], false),
            (here("meta"), RIGHTS.to_vec(), false),
            (doc! { "db": "other", "collection": "" }, RIGHTS.to_vec(), false),
            (doc! { "cluster": true }, RIGHTS.to_vec(), false),
        ];
        let status = |users: Vec<&str>, privileges: Vec<Document>| {
            let users: Vec<Document> =
                users.into_iter().map(|user| doc! { "user": user }).collect();
            let info =
                doc! { "authenticatedUsers": users, "authenticatedUserPrivileges": privileges };
            doc! { "authInfo": info }
        };
        for (resource, actions, may) in rows {
            let privilege = doc! { "resource": resource, "actions": actions };
            let asked = status(vec!["u"], vec![privilege.clone()]);
            assert_eq!(may_prepare(&asked, "portcall"), may, "{privilege}");
        }
        assert!(may_prepare(&status(vec![], vec![]), "portcall"), "where nobody has a name");
        assert!(!may_prepare(&status(vec!["u"], vec![]), "portcall"));
        assert!(!may_prepare(&doc! {}, "portcall"), "an answer that is none");
    }
}
