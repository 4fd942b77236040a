//! The administration of a replica set, for the few things that its operators need of it.
//!
//! Each of these asks the server with a client of its own, which is closed when it ends: the set may be
//! in any state, and no other [`Store`] is open on it.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::{
    Client, Database,
    error::{Error as DriverError, ErrorKind},
    options::ClientOptions,
};
use tokio::time::Instant;

use super::{Store, StoreError};

/// How often a set is asked whether it has come to what is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// A member of a set, as the one that was asked sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its address, as the set knows it.
    pub host: String,
    /// `PRIMARY`, `SECONDARY`, `STARTUP2`, …, in the server's own words.
    pub state: String,
    /// Whether it answers.
    pub healthy: bool,
}

/// Makes a lone `mongod` a replica set of one member named as it sees itself, and waits until
/// it is its primary. Does nothing if it is one already.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn initiate(uri: &str, host: &str, within: Duration) -> Result<(), StoreError> {
    let doing = "initiate the replica set";
    let fail = |source: DriverError| StoreError::Driver { doing, source };
    asking(uri, Way::Direct, within, async |admin| {
        let config = doc! { "_id": "rs", "members": [{ "_id": 0, "host": host }] };
        let initiated = admin.run_command(doc! { "replSetInitiate": config }).await;
        if let Err(error) = initiated {
            let already = matches!(error.kind.as_ref(),
                ErrorKind::Command(e) if e.code_name == "AlreadyInitialized");
            if !already {
                return Err(fail(error));
            }
        }
        let deadline = Instant::now() + within;
        loop {
            let hello = admin.run_command(doc! { "hello": 1 }).await.map_err(fail)?;
            if hello.get_bool("isWritablePrimary").unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(StoreError::Timeout { doing });
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// The members of a set.
///
/// # Errors
/// When no primary can be reached.
pub async fn members(uri: &str, within: Duration) -> Result<Vec<Member>, StoreError> {
    let fail = |source: DriverError| failed("ask the set for its members", source);
    asking(uri, Way::Primary, within, async |admin| ask_members(admin).await.map_err(fail)).await
}

/// Puts a new, empty member in the place of one that is lost: takes the old one off the set, adds the
/// new one without a vote, waits until it has all the data, and then gives it one. It may be repeated,
/// and goes on where it was.
///
/// # Errors
/// When no primary can be reached, the server refuses, or the new member does not catch up in time: it
/// then goes on catching up, without a vote.
pub async fn replace(uri: &str, old: &str, new: &str, within: Duration) -> Result<(), StoreError> {
    let doing = "replace a member of the replica set";
    let fail = |source: DriverError| failed(doing, source);
    asking(uri, Way::Primary, within, async |admin| {
        reconfigure(admin, |members| members.retain(|m| host_of(m) != old)).await.map_err(fail)?;
        reconfigure(admin, |members| {
            if members.iter().all(|m| host_of(m) != new) {
                let highest =
                    members.iter().filter_map(|m| m.get_i32("_id").ok()).max().unwrap_or(0);
                members.push(doc! { "_id": highest + 1, "host": new, "priority": 0, "votes": 0 });
            }
        })
        .await
        .map_err(fail)?;
        let deadline = Instant::now() + within;
        loop {
            let all = ask_members(admin).await.map_err(fail)?;
            if all.iter().any(|m| m.host == new && (m.state == "SECONDARY" || m.state == "PRIMARY"))
            {
                break;
            }
            if Instant::now() > deadline {
                return Err(StoreError::Behind { member: new.to_owned() });
            }
            tokio::time::sleep(LOOK).await;
        }
        reconfigure(admin, |members| {
            for member in members.iter_mut().filter(|m| host_of(m) == new) {
                member.insert("priority", 1);
                member.insert("votes", 1);
            }
        })
        .await
        .map_err(fail)
    })
    .await
}

/// Makes the members that are left a set of their own, when the others are lost for good and they are
/// too few to elect a primary. What the lost ones had acknowledged alone is gone.
///
/// # Errors
/// When the one that is asked cannot be reached or refuses.
pub async fn force(uri: &str, keep: &[String], within: Duration) -> Result<(), StoreError> {
    let doing = "force the replica set to a smaller one";
    let fail = |source: DriverError| failed(doing, source);
    asking(uri, Way::Direct, within, async |admin| {
        let mut config = configuration(admin).await.map_err(fail)?;
        let mut members = members_of(&config);
        members.retain(|m| keep.iter().any(|host| host_of(m) == host));
        config.insert("members", members);
        bump(&mut config);
        let forced = admin.run_command(doc! { "replSetReconfig": config, "force": true }).await;
        forced.map(drop).map_err(fail)
    })
    .await
}

#[derive(Clone, Copy)]
enum Way {
    /// To the one member that the address names, whatever it is.
    Direct,
    /// To whichever member is primary.
    Primary,
}

fn failed(doing: &'static str, source: DriverError) -> StoreError {
    StoreError::Driver { doing, source }
}

/// Asks the set what is to be asked, and closes the client, however that ends.
async fn asking<T>(
    uri: &str,
    way: Way,
    within: Duration,
    work: impl AsyncFnOnce(&Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut options = ClientOptions::parse(uri).await.map_err(StoreError::Address)?;
    if matches!(way, Way::Direct) {
        options.direct_connection = Some(true);
    }
    options.server_selection_timeout = Some(within);
    let client = Client::with_options(options).map_err(StoreError::Address)?;
    Store::of(client.database("admin")).closing(async |store| work(&store.database).await).await
}

async fn ask_members(admin: &Database) -> Result<Vec<Member>, DriverError> {
    let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await?;
    let member = |member: &Document| {
        Some(Member {
            host: member.get_str("name").ok()?.to_owned(),
            state: member.get_str("stateStr").ok()?.to_owned(),
            healthy: member.get_f64("health").is_ok_and(|health| health > 0.0),
        })
    };
    Ok(members_of(&status).iter().filter_map(member).collect())
}

async fn configuration(admin: &Database) -> Result<Document, DriverError> {
    let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await?;
    Ok(answer.get_document("config").cloned().unwrap_or_default())
}

/// Changes the members of a set; a set that is as it should be is left alone.
async fn reconfigure(
    admin: &Database,
    change: impl FnOnce(&mut Vec<Document>),
) -> Result<(), DriverError> {
    let mut config = configuration(admin).await?;
    let mut members = members_of(&config);
    let before = members.clone();
    change(&mut members);
    if members == before {
        return Ok(());
    }
    config.insert("members", members);
    bump(&mut config);
    admin.run_command(doc! { "replSetReconfig": config }).await.map(drop)
}

fn bump(config: &mut Document) {
    let version = config.get_i32("version").unwrap_or(0);
    config.insert("version", version + 1);
    // The server sets it.
    config.remove("term");
}

fn members_of(document: &Document) -> Vec<Document> {
    let members = document.get_array("members").map(Vec::as_slice).unwrap_or_default();
    members.iter().filter_map(Bson::as_document).cloned().collect()
}

fn host_of(member: &Document) -> &str {
    member.get_str("host").unwrap_or_default()
}
