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
        let script = given::checkout().join("infra/mongo/secrets");
        let folder = text(&secrets)?;
        let (ended, said) =
            process::run(&script, &["--hosts", &hosts.join(","), folder], &[], PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "{said}");
        // Containers find it elsewhere.
        for user in ["api", "worker", "operator"] {
            let file = secrets.join(user);
            let settings = fs::read_to_string(&file)?;
            let ca = text(&secrets.join("mongo-ca"))?.to_owned();
            fs::write(&file, settings.replace("/run/secrets/mongo-ca.pem", &ca))?;
        }
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
        let file = |name: &str| text(&self.secrets.join(name)).map(str::to_owned);
        let members = format!("--members={}", self.hosts());
        let key = format!("--key-file={}", file(key)?);
        let ca = format!("--ca-file={}", file("mongo-ca")?);
        let mut words = vec!["store", "prepare", &members, &key, &ca, "--within=60"];
        let users = ["api", "worker", "operator"].map(|user| file(user).unwrap_or_default());
        words.extend(users.iter().flat_map(|user| ["--user", user.as_str()]));
        process::run(&given::program("portcall")?, &words, &[], PATIENCE).await
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
        ("events", "r", "r"),
        ("workers", "r", "riud"),
        ("nodes", "", "riud"),
        ("orders", "", "r"),
        ("quarantine", "", "riud"),
        ("processes", "riud", "riud"),
        ("meta", "riu", "riu"),
        ("others", "", ""),
    ];
    for (collection, of_api, of_worker) in rows {
        assert_eq!(may(&operator, collection).await?, "riudx", "operator, {collection}");
        assert_eq!(may(&api, collection).await?, of_api, "api, {collection}");
        assert_eq!(may(&worker, collection).await?, of_worker, "worker, {collection}");
    }
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
    }
    let admin = operator.client().database("admin");
    let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await?;
    assert_eq!(status.get_array("members")?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn without_key_password_or_tls_nobody_comes_in() -> Result<()> {
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

    let nameless = uri.replace(&format!("portcall-api:{password}@"), "");
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
