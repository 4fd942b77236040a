//! A replica set with a key, certificates and users, made as a deployment makes it: by
//! `infra/mongo/secrets` and `portcall store prepare`. Each user may do its part and no more.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::{
    Client, Database,
    error::{Error, ErrorKind, WriteFailure},
    options::ClientOptions,
};
use portcall_tests::{
    parts::{
        given, net,
        process::{self, Ended, Process},
    },
    wait,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);
const DATABASE: &str = "portcall";

/// Three members, and the folder with their secrets.
struct Set {
    members: Vec<(SocketAddr, Process)>,
    secrets: PathBuf,
    _dir: TempDir,
}

impl Set {
    async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("portcall-access-").tempdir()?;
        let secrets = dir.path().join("secrets");
        let addresses = (0..3).map(|_| net::free_address()).collect::<Result<Vec<SocketAddr>>>()?;
        let hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        make_secrets(&secrets, &hosts.join(",")).await?;
        let mut members = Vec::new();
        for (n, address) in addresses.into_iter().enumerate() {
            members.push((address, launch(n, address, &secrets, dir.path())?));
        }
        Ok(Self { members, secrets, _dir: dir })
    }

    fn hosts(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(|(a, _)| a.to_string()).collect();
        hosts.join(",")
    }

    /// Runs the deployment's job.
    async fn prepare(&self, key: &str) -> Result<(Ended, String)> {
        self.prepare_and(key, "keep").await
    }

    /// The same, and says what becomes of the users of other secrets.
    async fn prepare_and(&self, key: &str, others: &str) -> Result<(Ended, String)> {
        let file = |name: &str| text(&self.secrets.join(name)).map(str::to_owned);
        let members = format!("--members={}", self.hosts());
        let key = format!("--key-file={}", file(key)?);
        let ca = format!("--ca-file={}", file("mongo-ca")?);
        let others = format!("--others={others}");
        let mut words = vec!["store", "prepare", &members, &key, &ca, &others, "--within=60"];
        let users = ["api", "worker", "operator"].map(|user| file(user).unwrap_or_default());
        words.extend(users.iter().flat_map(|user| ["--user", user.as_str()]));
        process::run(&given::program("portcall")?, &words, &[], PATIENCE).await
    }

    /// Runs a command as one of the users.
    async fn portcall(&self, user: &str, words: &[&str]) -> Result<String> {
        let settings = [
            ("PORTCALL_CONFIG_FILE", text(&self.secrets.join(user))?),
            ("PORTCALL_MONGODB_DATABASE", DATABASE),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let program = given::program("portcall")?;
        let (ended, said) = process::run(&program, words, &settings, PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "portcall {words:?}: {ended:?}\n{said}");
        Ok(said)
    }

    fn uri(&self, user: &str) -> Result<String> {
        let settings = fs::read_to_string(self.secrets.join(user))?;
        let uri = settings.trim().strip_prefix("mongodb_uri = \"").context("no address")?;
        Ok(uri.trim_end_matches('"').to_owned())
    }

    async fn database(&self, user: &str) -> Result<Database> {
        connect(&self.uri(user)?, DATABASE).await
    }
}

/// Makes what is missing of the secrets.
async fn make_secrets(folder: &Path, hosts: &str) -> Result<()> {
    let script = given::checkout().join("infra/mongo/secrets");
    let words = ["--hosts", hosts, text(folder)?];
    let (ended, said) = process::run(&script, &words, &[], PATIENCE).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    // Containers find it elsewhere.
    for user in ["api", "worker", "operator"] {
        let file = folder.join(user);
        let settings = fs::read_to_string(&file)?;
        let ca = text(&folder.join("mongo-ca"))?.to_owned();
        fs::write(&file, settings.replace("/run/secrets/mongo-ca.pem", &ca))?;
    }
    Ok(())
}

fn launch(n: usize, address: SocketAddr, secrets: &Path, dir: &Path) -> Result<Process> {
    let data = dir.join(n.to_string());
    fs::create_dir_all(&data)?;
    let file = |name: &str| text(&secrets.join(name)).map(str::to_owned);
    let (key, cert, ca) = (file("mongo-key")?, file("mongo-cert")?, file("mongo-ca")?);
    let port = address.port().to_string();
    // As infra/stack.yaml starts them, but for what a machine of their own would spare them.
    let arguments = [
        "--replSet=rs",
        "--bind_ip=127.0.0.1",
        "--nounixsocket",
        &format!("--keyFile={key}"),
        "--tlsMode=requireTLS",
        &format!("--tlsCertificateKeyFile={cert}"),
        &format!("--tlsCAFile={ca}"),
        "--tlsAllowConnectionsWithoutCertificates",
        "--wiredTigerCacheSizeGB=0.25",
        &format!("--dbpath={}", text(&data)?),
        &format!("--port={port}"),
        "--setParameter=diagnosticDataCollectionEnabled=false",
    ];
    Process::start(&format!("mongod-{n}"), &given::mongod()?, &arguments, &[], dir)
}

async fn connect(uri: &str, database: &str) -> Result<Database> {
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(20));
    Ok(Client::with_options(options)?.database(database))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// What a user was told it may not do, if it was.
fn refused<T>(result: Result<T, Error>) -> bool {
    let Err(error) = result else { return false };
    match error.kind.as_ref() {
        ErrorKind::Command(e) => e.code == 13,
        ErrorKind::Write(WriteFailure::WriteError(e)) => e.code == 13,
        _ => false,
    }
}

/// Which of these writes a user may do in a collection.
async fn may(database: &Database, collection: &str) -> Result<String> {
    let collection = database.collection::<Document>(collection);
    let mine = doc! { "_id": "of-the-test" };
    let set = doc! { "$set": { "a": 1 } };
    let done = [
        ('r', refused(collection.find_one(mine.clone()).await)),
        ('i', refused(collection.insert_one(mine.clone()).await)),
        ('u', refused(collection.update_one(mine.clone(), set).await)),
        ('d', refused(collection.delete_one(mine).await)),
        ('x', refused(collection.drop().await)),
    ];
    Ok(done.into_iter().filter(|(_, refused)| !refused).map(|(letter, _)| letter).collect())
}

#[tokio::test]
async fn each_user_may_do_its_part_and_no_more() -> Result<()> {
    let set = Set::start().await?;
    // The members are not up yet, or no set: it waits for both.
    let (ended, said) = set.prepare("mongo-key").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let again = set.prepare("mongo-key").await?;
    ensure!(again.0 == Ended::Code(0), "a second time: {}", again.1);

    let (api, worker) = (set.database("api").await?, set.database("worker").await?);
    let operator = set.database("operator").await?;
    let rows = [
        // read, insert, update, delete, drop       api    worker
        ("submissions", "riu", "ru"),
        ("events", "ri", "r"),
        ("tokens", "r", ""),
        ("audit", "riu", ""),
        ("regrades", "riu", ""),
        ("doors", "riu", ""),
        ("webhooks", "riud", ""),
        ("deliveries", "riud", ""),
        ("certificates", "riud", ""),
        ("workers", "r", "riud"),
        ("nodes", "r", "riud"),
        ("orders", "", "r"),
        ("quarantine", "", "riud"),
        ("suspects", "riu", "riu"),
        ("processes", "riud", "riud"),
        ("withheld", "", "riu"),
        // The floor and what is migrated are there; `before` in roles.json is for a database that an
        // older version used.
        ("meta", "r", "r"),
        ("keys", "", "r"),
        ("others", "", ""),
    ];
    for (collection, of_api, of_worker) in rows {
        assert_eq!(may(&operator, collection).await?, "riudx", "operator, {collection}");
        assert_eq!(may(&api, collection).await?, of_api, "api, {collection}");
        assert_eq!(may(&worker, collection).await?, of_worker, "worker, {collection}");
    }
    let index = doc! { "key": { "at": 1 }, "name": "at", "expireAfterSeconds": 0 };
    let expiring = doc! { "createIndexes": "events", "indexes": [index] };
    for database in [&api, &worker] {
        let client = database.client();
        let elsewhere = client.database("other").collection::<Document>("a");
        assert!(refused(elsewhere.insert_one(doc! { "_id": 1 }).await));
        let user = doc! { "createUser": "x", "pwd": "y", "roles": [] };
        assert!(refused(client.database("admin").run_command(user).await));
        assert!(refused(database.drop().await));
        let feed = database.collection::<Document>("submissions").watch().await;
        assert!(feed.is_ok(), "{:?}", feed.err());
        assert!(refused(database.collection::<Document>("nodes").watch().await));
        // Whoever may make an index may have documents removed.
        assert!(refused(database.run_command(expiring.clone()).await));
    }
    operator.run_command(expiring).await?;
    let admin = operator.client().database("admin");
    let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await?;
    assert_eq!(status.get_array("members")?.len(), 3);
    Ok(())
}

/// What a user finds of the key that workers sign with, in a collection; none if it may not look.
async fn key_in(database: &Database, collection: &str) -> Result<Option<Document>> {
    let of = database.collection::<Document>(collection);
    match of.find_one(doc! { "_id": "label-key", "key": { "$exists": true } }).await {
        Err(error) if refused(Err::<(), Error>(error.clone())) => Ok(None),
        found => Ok(found?),
    }
}

#[tokio::test]
async fn the_key_of_the_labels_is_not_for_the_api() -> Result<()> {
    let set = Set::start().await?;
    let (ended, said) = set.prepare("mongo-key").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let (api, worker) = (set.database("api").await?, set.database("worker").await?);
    // As it lies while an older version may be there.
    let operator = set.database("operator").await?;
    let key = doc! { "_id": "label-key", "key": "of the test" };
    for collection in ["meta", "keys"] {
        let collection = operator.collection::<Document>(collection);
        collection.replace_one(doc! { "_id": "label-key" }, &key).upsert(true).await?;
    }
    assert_eq!(key_in(&worker, "keys").await?, Some(key.clone()));
    assert_eq!(key_in(&api, "keys").await?, None);
    // The control: there it could be read.
    assert_eq!(key_in(&api, "meta").await?, Some(key.clone()));

    let said = set.portcall("operator", &["store", "contract"]).await?;
    assert!(said.contains("for version 2 and later"), "{said}");
    for collection in ["meta", "keys"] {
        assert_eq!(key_in(&api, collection).await?, None, "{collection}");
    }
    assert_eq!(key_in(&worker, "keys").await?, Some(key));
    Ok(())
}

#[tokio::test]
async fn full_without_key_password_or_tls_nobody_comes_in() -> Result<()> {
    let set = Set::start().await?;
    let (ended, said) = set.prepare("mongo-key").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let first = set.members[0].0;

    fs::write(set.secrets.join("other-key"), "QUJDREVGR0hJSktMTU5PUA==\n")?;
    let (ended, said) = set.prepare("other-key").await?;
    ensure!(ended != Ended::Code(0), "another key is a key: {said}");

    let uri = set.uri("api")?;
    let password = uri.split(':').nth(2).and_then(|rest| rest.split('@').next());
    let password = password.context("no password")?;
    let wrong = connect(&uri.replace(password, "wrong"), DATABASE).await?;
    let asked = wrong.collection::<Document>("submissions").find_one(doc! {}).await;
    assert!(matches!(*asked.expect_err("a wrong password").kind, ErrorKind::Authentication { .. }));

    let who = uri.split('@').next().and_then(|start| start.rsplit('/').next());
    let nameless = uri.replace(&format!("{}@", who.context("no user")?), "");
    let nameless = connect(&nameless.replace("&authSource=admin", ""), DATABASE).await?;
    assert!(refused(nameless.collection::<Document>("submissions").find_one(doc! {}).await));

    let plain = format!("mongodb://{first}/?directConnection=true&serverSelectionTimeoutMS=3000");
    let plain = connect(&plain, DATABASE).await?;
    assert!(plain.run_command(doc! { "ping": 1 }).await.is_err(), "it answers without TLS");
    // With it, it does.
    let api = set.database("api").await?;
    wait::until("an answer over TLS", PATIENCE, || async {
        Ok(api.run_command(doc! { "ping": 1 }).await.ok())
    })
    .await?;
    Ok(())
}

/// Whether the database lets somebody in with this address.
async fn is_let_in(uri: &str) -> Result<bool> {
    let asked = connect(uri, DATABASE).await?.collection::<Document>("submissions");
    match asked.find_one(doc! {}).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(*error.kind, ErrorKind::Authentication { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A rotation of passwords that is taken back: processes with the old ones are still let in, until
/// somebody says that they are needed no more.
#[tokio::test]
async fn old_passwords_serve_beside_new_ones_until_they_are_removed() -> Result<()> {
    let set = Set::start().await?;
    let (ended, said) = set.prepare("mongo-key").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let operator = set.database("operator").await?;
    let old = set.uri("api")?;
    fs::remove_file(set.secrets.join("api"))?;
    make_secrets(&set.secrets, &set.hosts()).await?;
    let new = set.uri("api")?;
    assert!(old != new && is_let_in(&old).await? && !is_let_in(&new).await?);

    let (ended, said) = set.prepare("mongo-key").await?;
    ensure!(ended == Ended::Code(0), "{said}");
    assert!(is_let_in(&new).await?, "{said}");
    assert!(is_let_in(&old).await?, "what is taken back would not come in: {said}");

    let (ended, said) = set.prepare_and("mongo-key", "remove").await?;
    ensure!(ended == Ended::Code(0) && said.contains("is let in no more"), "{said}");
    assert!(!is_let_in(&old).await?, "{said}");
    assert!(is_let_in(&new).await? && is_let_in(&set.uri("worker")?).await?, "{said}");
    operator.run_command(doc! { "ping": 1 }).await?;
    let (_, again) = set.prepare_and("mongo-key", "remove").await?;
    assert!(!again.contains("is let in no more"), "{again}");
    Ok(())
}
