//! What operators do for the database, by the commands that the runbook names: a backup and its
//! restore, a lost member and its replacement, a lost quorum.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use portcall_tests::{
    Event, Submission, World,
    parts::{
        given,
        mongo::{ReplicaSet, ask, dump},
        process::{self, Ended},
    },
    wait,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// What a database holds, by collection and id, without what says who is there at the moment.
async fn held(uri: &str, name: &str) -> Result<BTreeMap<(String, String), Document>> {
    let present = ["workers", "nodes", "processes"];
    let all = dump(uri, name).await?.into_iter();
    let kept = all.filter(|(collection, _)| !present.contains(&collection.as_str()));
    Ok(kept
        .map(|(collection, document)| {
            let id = document.get("_id").map(ToString::to_string).unwrap_or_default();
            ((collection, id), document)
        })
        .collect())
}

/// Runs `portcall` with the set at an address.
async fn portcall(uri: &str, database: &str, arguments: &[&str]) -> Result<(Ended, String)> {
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    process::run(&given::program("portcall")?, arguments, &settings, PATIENCE).await
}

async fn done(uri: &str, database: &str, arguments: &[&str]) -> Result<String> {
    let (ended, output) = portcall(uri, database, arguments).await?;
    ensure!(ended == Ended::Code(0), "portcall {arguments:?}: {ended:?}\n{output}");
    Ok(output)
}

/// A machine is lost with its database; a backup is restored on an empty one, and everything goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_before_the_backup_is_graded_after_the_restore() -> Result<()> {
    let mut set = ReplicaSet::start(1).await?;
    let mut world = World::of(Event::config()).database(&set.uri()).start().await?;
    let passed = world.app("ok", "Gordon").await?;
    let passed = world.client.submit(&Submission::of("Gordon").image(&passed)).await?;
    world.client.wait_passed(&passed.id, PATIENCE).await?;
    world.client.wait_pin(&passed.id, PATIENCE).await?;

    world.workers[0].process.terminate()?;
    world.workers[0].process.wait(PATIENCE).await?;
    let waits = world.app("ok", "Ann").await?;
    let waits = Submission::of("Ann").image(&waits).key("once");
    let waiting = world.client.submit(&waits).await?;
    let folder = world.dir().join("backup");
    let folder = folder.to_str().context("a path that is not UTF-8")?.to_owned();
    done(&set.uri(), &world.name, &["backup", &folder]).await?;
    let before = world.client.document(&passed.id).await?;
    let was = held(&set.uri(), &world.name).await?;
    let has_key = was.keys().any(|(of, id)| of == "keys" && id.contains("label-key"));
    ensure!(has_key, "{:?}", was.keys());

    // The api goes, the machine goes, another one comes with nothing on it.
    world.apis[0].process.terminate()?;
    world.apis[0].process.wait(PATIENCE).await?;
    set.kill(0)?;
    set.wipe(0)?;
    set.restart(0)?;
    set.begin_anew().await?;
    ensure!(held(&set.uri(), &world.name).await?.is_empty(), "nothing of it is there");
    done(&set.uri(), &world.name, &["restore", &folder]).await?;
    assert_eq!(held(&set.uri(), &world.name).await?, was);
    let (again, output) = portcall(&set.uri(), &world.name, &["restore", &folder]).await?;
    assert_eq!(again, Ended::Code(1), "not into what holds something: {output}");
    assert!(output.contains("not empty"), "{output}");
    // To do it again, what is there is dropped: by its name, and while nobody uses it.
    let (wrong, output) =
        portcall(&set.uri(), &world.name, &["store", "drop", "--database", "x"]).await?;
    assert_eq!(wrong, Ended::Code(64), "{output}");
    done(&set.uri(), &world.name, &["store", "drop", "--database", &world.name]).await?;
    done(&set.uri(), &world.name, &["restore", &folder]).await?;
    assert_eq!(held(&set.uri(), &world.name).await?, was);

    let api = world.start_api().await?;
    world.client = world.apis[api].client(&world.event.slug)?;
    let after = world.client.document(&passed.id).await?;
    assert_eq!(after, links(&before, &after), "what people see of it is the same");
    world.client.wait_pin(&passed.id, PATIENCE).await?;
    let replayed = world.client.submit(&waits).await?;
    assert_eq!(replayed.id, waiting.id, "its key is known");
    world.start_worker(&[]).await?;
    world.client.wait_passed(&waiting.id, PATIENCE).await?;
    let drop = ["store", "drop", "--database", &world.name];
    let (refused, output) = portcall(&set.uri(), &world.name, &drop).await?;
    assert_eq!(refused, Ended::Code(1), "{output}");
    assert!(output.contains("api ") && output.contains("worker "), "{output}");
    world.finish().await
}

/// A document as the other api would show it: only the addresses of its links differ.
fn links(document: &serde_json::Value, like: &serde_json::Value) -> serde_json::Value {
    let mut document = document.clone();
    if let (Some(own), Some(other)) = (document.as_object_mut(), like.as_object()) {
        for name in ["links", "self", "live", "events"] {
            if let Some(value) = other.get(name) {
                own.insert(name.to_owned(), value.clone());
            }
        }
    }
    document
}

/// What a member holds of a database, asked of it alone.
async fn of_member(address: SocketAddr, name: &str) -> Result<usize> {
    let uri =
        format!("mongodb://{address}/?directConnection=true&readPreference=secondaryPreferred");
    Ok(dump(&uri, name).await?.len())
}

/// A member is lost with its disk: another takes its place, and then the set can lose one more.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_lost_member_is_replaced_and_then_one_more_may_be_lost() -> Result<()> {
    let mut set = ReplicaSet::start(3).await?;
    let uri = set.uri();
    let world = World::of(Event::config()).database(&uri).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let first = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    world.client.wait_passed(&first.id, PATIENCE).await?;
    let members = done(&uri, &world.name, &["store", "members"]).await?;
    assert_eq!(members.matches("PRIMARY").count(), 1, "{members}");
    assert_eq!(members.matches("SECONDARY").count(), 2, "{members}");

    let lost = (set.primary().await? + 1) % 3;
    set.kill(lost)?;
    set.wipe(lost)?;
    let told = wait::until("the lost one is told", PATIENCE, || async {
        let (ended, output) = portcall(&uri, &world.name, &["store", "members"]).await?;
        Ok((ended == Ended::Code(1)).then_some(output))
    })
    .await?;
    assert!(told.contains(&set.address(lost).to_string()), "{told}");

    let new = set.add_empty().await?;
    let (old_address, new_address) = (set.address(lost), set.address(new));
    let replace = ["store", "replace-member", &old_address.to_string(), &new_address.to_string()];
    let members = done(&uri, &world.name, &replace).await?;
    assert!(!members.contains(&old_address.to_string()), "{members}");
    assert!(members.contains(&format!("{new_address}\tSECONDARY")), "{members}");
    done(&uri, &world.name, &replace).await?;
    let (here, there) = (
        of_member(set.address(set.primary().await?), &world.name).await?,
        of_member(new_address, &world.name).await?,
    );
    assert!(here > 0 && there + 2 >= here, "it has the data: {there} of {here}");

    // One more of the first three goes: with the new one there is a majority, without it there is none.
    let second = (0..3).find(|n| *n != lost && *n != new).context("a member")?;
    set.kill(second)?;
    let image = world.app("ok", "Ann").await?;
    let after = wait::until("a submission is taken", PATIENCE, || async {
        let submission = Submission::of("Ann").image(&image).key("after");
        Ok(world.client.submit(&submission).await.ok())
    })
    .await?;
    world.client.wait_passed(&after.id, PATIENCE).await?;
    world.client.wait_passed(&first.id, PATIENCE).await?;
    world.finish().await
}

/// Two of three are lost for good: the one that is left is made a set of its own.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_lost_quorum_is_recovered_from_the_member_that_is_left() -> Result<()> {
    let mut set = ReplicaSet::start(3).await?;
    let uri = set.uri();
    let world = World::of(Event::config()).database(&uri).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let submitted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    world.client.wait_passed(&submitted.id, PATIENCE).await?;

    let left = set.primary().await?;
    for member in (0..3).filter(|n| *n != left) {
        set.kill(member)?;
        set.wipe(member)?;
    }
    let address = set.address(left);
    let is_primary = || async {
        let hello = ask(address, doc! { "hello": 1 }).await?;
        anyhow::Ok(hello.get_bool("isWritablePrimary").unwrap_or(false))
    };
    wait::until("it notices that it is alone", PATIENCE, || async {
        Ok((!is_primary().await?).then_some(()))
    })
    .await?;
    // The control: alone it stays what it is, and nothing is taken.
    let (ended, output) = portcall(&uri, &world.name, &["store", "members"]).await?;
    assert_eq!(ended, Ended::Code(69), "{output}");

    let direct = format!("mongodb://{address}/?directConnection=true");
    let force = ["store", "force-members", "--uri", &direct, &address.to_string()];
    done(&uri, &world.name, &force).await?;
    wait::until("it is primary", PATIENCE, || async { Ok(is_primary().await?.then_some(())) })
        .await?;
    wait::until("what was there is there", PATIENCE, || async {
        let document = world.client.document(&submitted.id).await.ok();
        Ok(document.filter(|document| document["state"] == "passed"))
    })
    .await?;
    let image = world.app("ok", "Ann").await?;
    let after = wait::until("a submission is taken", PATIENCE, || async {
        let submission = Submission::of("Ann").image(&image).key("after");
        Ok(world.client.submit(&submission).await.ok())
    })
    .await?;
    world.client.wait_passed(&after.id, PATIENCE).await?;
    world.finish().await
}
