//! A MongoDB of a test's own with access control, and the users of a deployment.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, time::Duration};

use mongodb::Database;
use portcall_shared::store::{
    Store,
    access::{Members, Others, Role, User},
};

use crate::server::Server;

pub(crate) const API: &str = "portcall-api";
pub(crate) const WORKER: &str = "portcall-worker";
pub(crate) const OPERATOR: &str = "portcall-operator";

const DATABASE: &str = "portcall";
const KEY: &str = "QUJDREVGR0hJSktMTU5PUA==";
/// What the server says to whom it refuses something.
const REFUSAL: &str = "not authorized on portcall";

pub(crate) struct Guarded {
    server: Server,
}

impl Guarded {
    /// As `portcall store prepare` makes it.
    pub(crate) async fn prepared() -> Self {
        let guarded = Self::start().await;
        guarded.prepare().await;
        guarded.grant().await;
        guarded
    }

    /// With users, and nothing in it.
    pub(crate) async fn granted() -> Self {
        let guarded = Self::start().await;
        guarded.prepare().await;
        guarded.grant().await;
        guarded.store(OPERATOR).await.drop_database().await.unwrap();
        guarded
    }

    async fn start() -> Self {
        let server = Server::start(|dir| {
            let key = dir.join("key");
            fs::write(&key, KEY).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            vec![format!("--keyFile={}", key.display())]
        });
        let guarded = Self { server };
        guarded.members().initiate(Duration::from_secs(60)).await.unwrap();
        guarded
    }

    fn members(&self) -> Members {
        Members::new(vec![self.server.address.to_string()], KEY, None)
    }

    /// Brings the database to this version; for which version it is then, and later ones.
    pub(crate) async fn prepare(&self) -> i32 {
        self.members().prepare(DATABASE).await.unwrap()
    }

    /// Gives the users the rights that they have in a deployment.
    pub(crate) async fn grant(&self) {
        let roles = include_str!("../../../infra/mongo/roles.json");
        let roles: BTreeMap<String, Role> = serde_json::from_str(roles).unwrap();
        let mut users = Vec::new();
        for name in roles.keys() {
            users.push(User::of_address(&self.uri(name)).await.unwrap().unwrap());
        }
        self.members().grant(DATABASE, &roles, &users, Others::Kept).await.unwrap();
    }

    fn uri(&self, user: &str) -> String {
        format!("mongodb://{user}:secret@{}/?replicaSet=rs&authSource=admin", self.server.address)
    }

    /// The store as a user has it.
    pub(crate) async fn store(&self, user: &str) -> Store {
        Store::open(&self.uri(user), DATABASE, "store tests").await.unwrap()
    }

    /// The same, past the store.
    pub(crate) async fn database(&self, user: &str) -> Database {
        mongodb::Client::with_uri_str(self.uri(user)).await.unwrap().database(DATABASE)
    }

    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// How often the server has refused something.
    pub(crate) fn refusals(&self) -> usize {
        self.log().lines().filter(|line| line.contains(REFUSAL)).count()
    }

    #[track_caller]
    pub(crate) fn nobody_was_refused(&self) {
        let log = self.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains(REFUSAL)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}
