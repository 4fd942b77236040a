//! `portcall store prepare`: the replica set of a deployment, what its database needs before an api or a
//! worker can use it, its roles and its users. The stack's job of the same name runs it with every version.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use portcall_shared::{
    settings::Reader,
    store::access::{Members, Others, Role, User},
};

use crate::{
    deploy::say,
    failure::{Failure, chain},
};

/// What each user may do.
const ROLES: &str = include_str!("../../mongo/roles.json");

#[derive(Args)]
pub(crate) struct PrepareArgs {
    /// The members, host:port with commas between them.
    #[arg(long, value_delimiter = ',', required = true)]
    members: Vec<String>,
    /// The file with the key by which they know each other.
    #[arg(long)]
    key_file: PathBuf,
    /// The authority of their certificates; without it they are not spoken to over TLS.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// A settings file whose PORTCALL_MONGODB_URI names a user with a password: portcall-api,
    /// portcall-worker or portcall-operator, which infra/mongo/roles.json knows, or one of these with
    /// `-` and more after it. Once for each.
    #[arg(long = "user", value_name = "FILE")]
    users: Vec<PathBuf>,
    /// What becomes of such users who are not given: those of the secrets before these.
    #[arg(long, value_enum, default_value = "keep")]
    others: OtherUsers,
    /// How long to wait for members and a primary, in seconds.
    #[arg(long, default_value_t = 300)]
    within: u64,
}

/// What becomes of users who are not given.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OtherUsers {
    /// They are let in as before, so that what has their passwords still serves.
    Keep,
    /// They are taken away.
    Remove,
}

impl From<OtherUsers> for Others {
    fn from(others: OtherUsers) -> Self {
        match others {
            OtherUsers::Keep => Self::Kept,
            OtherUsers::Remove => Self::Removed,
        }
    }
}

pub(crate) async fn prepare(args: PrepareArgs, reader: Reader) -> Result<(), Failure> {
    let database = reader.text("PORTCALL_MONGODB_DATABASE");
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    let roles = roles()?;
    let mut users = Vec::new();
    for file in &args.users {
        users.push(user(file, &roles).await?);
    }
    let key = read(&args.key_file)?;
    let count = args.members.len();
    let members = Members::new(args.members, &key, args.ca_file.as_deref());
    say(&format!("a replica set of {count}, its database, roles and users: begun"));
    members.initiate(Duration::from_secs(args.within)).await?;
    say("the replica set has a primary");
    // Before users come in who cannot do it themselves.
    let floor = members.prepare(&database).await?;
    say(&format!("{database} is as this version needs it, and for version {floor} and later"));
    let removed = members.grant(&database, &roles, &users, args.others.into()).await?;
    for user in &users {
        say(&format!("{} may do what infra/mongo/roles.json says, in {database}", user.name));
    }
    for name in removed {
        say(&format!("{name} is let in no more"));
    }
    Ok(())
}

fn roles() -> Result<BTreeMap<String, Role>, Failure> {
    serde_json::from_str(ROLES).map_err(|e| Failure::Internal(format!("roles.json: {e}")))
}

/// The user whom a settings file names. Nothing of the file's content is told.
async fn user(file: &Path, roles: &BTreeMap<String, Role>) -> Result<User, Failure> {
    let name = file.display();
    let given = [("PORTCALL_CONFIG_FILE".to_owned(), name.to_string())].into();
    let reader = Reader::from_map(given);
    let uri = reader.text("PORTCALL_MONGODB_URI");
    reader.finish().map_err(|e| Failure::Usage(format!("{name}: {e}")))?;
    let user = User::of_address(&uri).await;
    let user = user.map_err(|_| Failure::Usage(format!("{name}: mongodb_uri is no address")))?;
    match user {
        Some(user) if user.role(roles).is_some() => Ok(user),
        Some(user) => {
            let known: Vec<&str> = roles.keys().map(String::as_str).collect();
            let known = known.join(", ");
            Err(Failure::Usage(format!("{name}: the user {} is none of {known}", user.name)))
        }
        None => Err(Failure::Usage(format!("{name}: mongodb_uri has no user with a password"))),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|e| Failure::Usage(format!("{}: {}", file.display(), chain(&e))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcall_shared::store::SCHEMA;

    use super::*;

    #[test]
    fn the_roles_can_be_read_and_divide_what_they_can() {
        let roles = roles().unwrap();
        let may = |role: &str, collection: &str, action: &str| {
            let all = &roles[role].collections;
            all.get(collection).is_some_and(|actions| actions.iter().any(|a| a == action))
        };
        // What is there for older versions goes with them.
        let meta = |floor| roles["portcall-worker"].actions(floor)["meta"].clone();
        assert_eq!((meta(0).len(), meta(1).len(), meta(SCHEMA)), (3, 3, ["find"].into()));
        assert!(may("portcall-api", "submissions", "insert"));
        assert!(!may("portcall-worker", "submissions", "insert"));
        for collection in ["workers", "nodes", "quarantine"] {
            for action in ["insert", "update", "remove"] {
                assert!(!may("portcall-api", collection, action), "{collection} {action}");
                assert!(may("portcall-worker", collection, action), "{collection} {action}");
            }
        }
        // The key of the workers' labels is theirs alone.
        assert!(may("portcall-worker", "keys", "find"));
        assert!(!roles["portcall-api"].collections.contains_key("keys"));
        for role in ["portcall-api", "portcall-worker"] {
            assert_eq!(roles[role].actions(SCHEMA)["meta"], ["find"].into(), "the floor is there");
            assert!(!may(role, "events", "update") && !may(role, "orders", "insert"));
            let all = &roles[role];
            assert!(all.roles.is_empty() && all.cluster_roles.is_empty());
            // To make an index is to be able to have documents removed.
            let known = ["find", "insert", "update", "remove", "changeStream"];
            let every: BTreeSet<&str> = all.actions(0).into_values().flatten().collect();
            assert!(every.iter().all(|action| known.contains(action)), "{every:?}");
        }
    }

    #[tokio::test]
    async fn a_user_without_a_role_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let roles = roles().unwrap();
        let mut told = Vec::new();
        for who in ["portcall-api:secret@", "portcall-api-3f:secret@", "portcall-apis:secret@", ""]
        {
            let file = dir.path().join("settings");
            fs::write(&file, format!("mongodb_uri = \"mongodb://{who}h:1/\"\n")).unwrap();
            told.push(match user(&file, &roles).await {
                Ok(user) => user.name,
                Err(Failure::Usage(message)) => message.split_once(": ").unwrap().1.to_owned(),
                Err(other) => panic!("{other:?}"),
            });
        }
        assert_eq!(
            told,
            [
                "portcall-api",
                "portcall-api-3f",
                "the user portcall-apis is none of portcall-api, portcall-operator, portcall-worker",
                "mongodb_uri has no user with a password",
            ]
        );
    }
}
