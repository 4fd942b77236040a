//! A MongoDB of a test's own with access control, and the users of a deployment.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mongodb::Database;
use portcall_shared::store::{
    Store,
    access::{Members, Others, Role, User},
};
use tempfile::TempDir;

pub(crate) const API: &str = "portcall-api";
pub(crate) const WORKER: &str = "portcall-worker";
pub(crate) const OPERATOR: &str = "portcall-operator";

const DATABASE: &str = "portcall";
const KEY: &str = "QUJDREVGR0hJSktMTU5PUA==";
/// What the server says to whom it refuses something.
const REFUSAL: &str = "not authorized on portcall";

pub(crate) struct Guarded {
    mongod: Child,
    address: SocketAddr,
    dir: TempDir,
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
        portcall_shared::tls::install_provider();
        #[expect(clippy::disallowed_methods, reason = "a test is told so where its server is")]
        let program = std::env::var("PORTCALL_TEST_MONGOD");
        let program = program.expect("PORTCALL_TEST_MONGOD names the program mongod");
        let dir = tempfile::Builder::new().prefix("portcall-guarded-").tempdir().unwrap();
        let key = dir.path().join("key");
        fs::write(&key, KEY).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mongod = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", &program])
            .args(["--replSet=rs", "--bind_ip=127.0.0.1", "--nounixsocket"])
            .args(["--wiredTigerCacheSizeGB=0.25", "--oplogSize=64"])
            .arg("--setParameter=diagnosticDataCollectionEnabled=false")
            .arg(format!("--port={}", address.port()))
            .arg(format!("--keyFile={}", key.display()))
            .arg(format!("--dbpath={}", dir.path().join("data").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let guarded = Self { mongod, address, dir };
        guarded.members().initiate(Duration::from_secs(60)).await.unwrap();
        guarded
    }

    fn members(&self) -> Members {
        Members::new(vec![self.address.to_string()], KEY, None)
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
        format!("mongodb://{user}:secret@{}/?replicaSet=rs&authSource=admin", self.address)
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
        let log: PathBuf = self.dir.path().join("log");
        String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
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

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself, and then that is why the test failed.
        let _ = self.mongod.kill();
        let _ = self.mongod.wait();
    }
}
