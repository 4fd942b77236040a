//! Who may do what in the database: a replica set of members that know each other by a key, roles,
//! and users who have them.
//!
//! Whoever has the members' key may do everything, before there is any user and from any machine: the
//! server lets it in as `__system`, as it does its fellow members. So a set can be made and kept in
//! order by a job that is given that key, on whatever image of the server.
//!
//! Everything here may be done again: what is as it should be stays so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use bson::{Bson, Document, doc};
use mongodb::{
    Client,
    error::{Error as DriverError, ErrorKind},
    options::{
        AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions, WriteConcern,
    },
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Store, StoreError};

/// The name that a replica set of ours has.
const SET: &str = "rs";
/// How often a set is asked whether it has come to what is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// How long a member, or a primary, is looked for.
const SELECTION: Duration = Duration::from_secs(5);

/// A replica set, as whoever has its members' key sees it.
#[derive(Debug)]
pub struct Members {
    hosts: Vec<String>,
    key: String,
    ca: Option<PathBuf>,
}

/// What a user of some name may do.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Role {
    /// The server's actions by collection. There is no word for every collection: a right that is for
    /// all of them, as to make indexes is, would be one to have documents removed.
    pub collections: Actions,
    /// What versions before the one of this number need besides. It is granted until the database is
    /// no longer for them.
    pub before: BTreeMap<i32, Actions>,
    /// Roles of the server's own, in the database.
    pub roles: Vec<String>,
    /// Roles of the server's own, for the whole set.
    pub cluster_roles: Vec<String>,
}

/// The server's actions by collection.
type Actions = BTreeMap<String, Vec<String>>;

impl Role {
    /// What it may do in a database that is for this version and later, by collection.
    #[must_use]
    pub fn actions(&self, floor: i32) -> BTreeMap<&str, BTreeSet<&str>> {
        let older = self.before.iter().filter(|(version, _)| **version > floor);
        let all = older.map(|(_, actions)| actions).chain([&self.collections]).flatten();
        let mut sum: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (collection, actions) in all {
            sum.entry(collection).or_default().extend(actions.iter().map(String::as_str));
        }
        sum
    }
}

/// Somebody who comes with a password. The role is the one of the same name; a user whose name goes on
/// after that with `-` and something has it too. So each making of secrets has users of its own, and
/// those before them are let in until they are taken away: whatever is taken back with its old password
/// still serves.
#[derive(Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    password: String,
}

/// What becomes of users of our roles who are not among those that are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They are let in as before.
    Kept,
    /// They are taken away.
    Removed,
}

impl User {
    /// The one whom an address of the database names.
    ///
    /// # Errors
    /// When it is not an address.
    pub async fn of_address(uri: &str) -> Result<Option<Self>, StoreError> {
        let options = ClientOptions::parse(uri).await.map_err(StoreError::Address)?;
        let credential = options.credential;
        Ok(credential.and_then(|c| Some(Self { name: c.username?, password: c.password? })))
    }

    /// The one of these roles that is its own.
    #[must_use]
    pub fn role<'a>(&self, roles: &'a BTreeMap<String, Role>) -> Option<&'a str> {
        role_of(&self.name, roles)
    }
}

fn role_of<'a>(user: &str, roles: &'a BTreeMap<String, Role>) -> Option<&'a str> {
    let own = |role: &&str| {
        user.strip_prefix(*role).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    roles.keys().map(String::as_str).filter(own).max_by_key(|role| role.len())
}

impl Members {
    /// Members by host:port, the first of which makes the set; the content of their key file; who
    /// vouches for their certificates, if they speak TLS. Nothing is connected yet.
    #[must_use]
    pub fn new(hosts: Vec<String>, key_file: &str, ca: Option<&Path>) -> Self {
        // The server leaves blanks in the file out.
        let key = key_file.split_whitespace().collect();
        Self { hosts, key, ca: ca.map(Path::to_path_buf) }
    }

    /// Makes them a replica set, unless they are one, and waits until it has a primary.
    ///
    /// # Errors
    /// When one of them cannot be reached in time, or the server refuses.
    pub async fn initiate(&self, within: Duration) -> Result<(), StoreError> {
        const DOING: &str = "make the members a replica set";
        let deadline = Instant::now() + within;
        let ids = 0..i32::try_from(self.hosts.len()).unwrap_or(i32::MAX);
        let members = ids.zip(&self.hosts).map(|(id, host)| doc! { "_id": id, "host": host });
        let config = doc! { "_id": SET, "members": members.collect::<Vec<Document>>() };
        self.asking(&self.hosts[..1], async |first| {
            loop {
                let hello = command(first, DOING, doc! { "hello": 1 }).await;
                let looked = match &hello {
                    Ok(hello) if hello.get_str("primary").is_ok() => return Ok(()),
                    // It has a configuration, and needs no other.
                    Ok(hello) if hello.get_str("setName").is_ok() => Ok(()),
                    // Another call for this may be under way, and come to nothing.
                    Ok(_) => {
                        let initiate = doc! { "replSetInitiate": config.clone() };
                        match command(first, DOING, initiate).await {
                            Err(error) if !is(&error, "AlreadyInitialized") => Err(error),
                            _ => Ok(()),
                        }
                    }
                    Err(_) => hello.map(drop),
                };
                match looked {
                    Err(error) if !may_come(&error) => return Err(error),
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Err(error) => tracing::info!(%error, "a member is not there yet"),
                    Ok(()) if Instant::now() > deadline => {
                        return Err(StoreError::Timeout { doing: DOING });
                    }
                    Ok(()) => {}
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
    }

    /// Brings a database to this version, as [`Store::prepare`] does.
    ///
    /// # Errors
    /// When no primary is there, or the store cannot.
    pub async fn prepare(&self, database: &str) -> Result<i32, StoreError> {
        self.asking(&self.hosts, async |set| set.beside(database).prepare().await).await
    }

    /// Gives a database these roles, and these users, who are the set's; those that are there are
    /// brought in line, also with their passwords. The answer is who was taken away.
    ///
    /// # Errors
    /// When no primary is there, or the server refuses, as it does a user without a role.
    pub async fn grant(
        &self,
        database: &str,
        roles: &BTreeMap<String, Role>,
        users: &[User],
        others: Others,
    ) -> Result<Vec<String>, StoreError> {
        let mut removed = Vec::new();
        self.asking(&self.hosts, async |set| {
            let (here, admin) = (set.beside(database), set.beside("admin"));
            let floor = here.floor().await?;
            for (name, role) in roles {
                let privileges: Vec<Document> = role
                    .actions(floor)
                    .into_iter()
                    .map(|(collection, actions)| {
                        let resource = doc! { "db": database, "collection": collection };
                        doc! { "resource": resource, "actions": Vec::from_iter(actions) }
                    })
                    .collect();
                let body = doc! { "privileges": privileges, "roles": &role.roles };
                either(
                    &here,
                    "give the database its roles",
                    ("createRole", "updateRole"),
                    name,
                    body,
                )
                .await?;
            }
            for user in users {
                let name = user.role(roles).unwrap_or(&user.name);
                let cluster = roles.get(name).map(|role| role.cluster_roles.as_slice());
                let mut all = vec![Bson::from(doc! { "role": name, "db": database })];
                all.extend(cluster.into_iter().flatten().map(|role| Bson::from(role.as_str())));
                let body = doc! { "pwd": &user.password, "roles": all };
                let names = ("createUser", "updateUser");
                either(&admin, "give the database its users", names, &user.name, body).await?;
            }
            if others == Others::Removed {
                removed = remove_others(&admin, database, roles, users).await?;
            }
            Ok(())
        })
        .await?;
        Ok(removed)
    }

    /// Asks these members what is to be asked, and closes the client, however that ends.
    async fn asking<T>(
        &self,
        hosts: &[String],
        work: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connect(hosts)?.closing(work).await
    }

    fn connect(&self, hosts: &[String]) -> Result<Store, StoreError> {
        let hosts: Result<Vec<ServerAddress>, DriverError> =
            hosts.iter().map(ServerAddress::parse).collect();
        let hosts = hosts.map_err(StoreError::Address)?;
        let mut options = ClientOptions::default();
        match hosts.len() {
            1 => options.direct_connection = Some(true),
            _ => options.repl_set_name = Some(SET.to_owned()),
        }
        options.hosts = hosts;
        options.server_selection_timeout = Some(SELECTION);
        options.connect_timeout = Some(Duration::from_secs(2));
        options.app_name = Some("portcall-prepare".to_owned());
        options.write_concern = Some(WriteConcern::majority());
        options.credential = Some(
            Credential::builder()
                .username("__system".to_owned())
                .password(self.key.clone())
                .source("local".to_owned())
                .mechanism(AuthMechanism::ScramSha256)
                .build(),
        );
        options.tls =
            self.ca.clone().map(|ca| Tls::Enabled(TlsOptions::builder().ca_file_path(ca).build()));
        let client = Client::with_options(options).map_err(StoreError::Address)?;
        Ok(Store::of(client.database("admin")))
    }
}

impl Store {
    /// Another database of the same set, closed with this one.
    fn beside(&self, database: &str) -> Self {
        let other = Self::of(self.database.client().database(database));
        Self { calls: self.calls.clone(), ..other }
    }
}

/// Takes away who has one of these roles by its name and is not among these users.
async fn remove_others(
    admin: &Store,
    database: &str,
    roles: &BTreeMap<String, Role>,
    users: &[User],
) -> Result<Vec<String>, StoreError> {
    const DOING: &str = "take away users that are no longer needed";
    let told = command(admin, DOING, doc! { "usersInfo": 1 }).await?;
    let mut removed = Vec::new();
    for there in told.get_array("users").into_iter().flatten().filter_map(Bson::as_document) {
        let name = there.get_str("user").unwrap_or_default();
        let Some(role) = role_of(name, roles) else { continue };
        let has = there.get_array("roles").into_iter().flatten().filter_map(Bson::as_document);
        let of_ours = |had: &Document| {
            had.get_str("role").is_ok_and(|r| r == role)
                && had.get_str("db").is_ok_and(|db| db == database)
        };
        let mut has = has.filter(|had| of_ours(had));
        if has.next().is_some() && !users.iter().any(|user| user.name == name) {
            command(admin, DOING, doc! { "dropUser": name }).await?;
            removed.push(name.to_owned());
        }
    }
    Ok(removed)
}

/// Makes it, or where it is, changes it.
async fn either(
    store: &Store,
    doing: &'static str,
    (create, update): (&str, &str),
    name: &str,
    body: Document,
) -> Result<(), StoreError> {
    let named = |verb: &str| {
        let mut all = doc! { verb: name };
        all.extend(body.clone());
        all
    };
    match command(store, doing, named(create)).await {
        Err(error) if is_code(&error, ALREADY_THERE) => {
            command(store, doing, named(update)).await.map(drop)
        }
        made => made.map(drop),
    }
}

/// What the server says when a role or a user of that name is there (`Location51002`, `Location51003`).
const ALREADY_THERE: &[i32] = &[51002, 51003];

async fn command(
    store: &Store,
    doing: &'static str,
    command: Document,
) -> Result<Document, StoreError> {
    let database = store.database.clone();
    store.call(doing, async move { database.run_command(command).await }).await
}

fn is(error: &StoreError, name: &str) -> bool {
    matches!(error, StoreError::Driver { source, .. }
        if matches!(source.kind.as_ref(), ErrorKind::Command(e) if e.code_name == name))
}

fn is_code(error: &StoreError, codes: &[i32]) -> bool {
    matches!(error, StoreError::Driver { source, .. }
        if matches!(source.kind.as_ref(), ErrorKind::Command(e) if codes.contains(&e.code)))
}

/// Whether the other members may only not be up yet.
fn may_come(error: &StoreError) -> bool {
    error.again() == crate::retry::Again::Yes
        || is(error, "NodeNotFound")
        || is(error, "NewReplicaSetConfigurationIncompatible")
}
