//! Ways between members, or between a member and a worker, are cut; everybody else reaches everybody.

use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Document, doc};
use mongodb::{
    Client,
    options::{Acknowledgment, ClientOptions, WriteConcern},
};
use portcall_tests::{
    faults::{Ctx, Evidence, Stage, dump},
    parts::{
        cut::Cuts,
        mongo::{ReplicaSet, look},
    },
    wait,
};

use super::{address, apart, longest_post, refused};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where the row itself writes.
const OWN: &str = "cut";

/// K23: one of two workers does not reach the primary; for everybody else it stays what it is.
pub(super) async fn worker_from_primary(ctx: Ctx) -> Result<Evidence> {
    let (set, programs) = (ReplicaSet::start_apart(3).await?, apart::programs()?);
    let cuts = Cuts::among(&[set.parties()?, vec![apart::WORKER]].concat())?;
    let mut stage =
        Stage::begin(&ctx, |plan| plan.database(&address(&set)).programs(programs.path())).await?;
    stage.world.use_programs(None);
    let (cut_off, other) = (0, stage.world.start_worker(&[]).await?);
    let count = ctx.of(24, 80);
    stage.load(count, 3.0).await?;
    stage.until_accepted(6).await?;
    let claims = async |stage: &Stage, n: usize| {
        stage.world.workers[n].metric("portcall_claims_total").await
    };
    wait::until("both work", PATIENCE, || async {
        let (one, two) = (claims(&stage, cut_off).await?, claims(&stage, other).await?);
        Ok((one > 0.0 && two > 0.0).then_some(()))
    })
    .await?;
    let primary = set.primary().await?;
    let fault = stage.fault("one worker does not reach the primary");
    cuts.both_ways(apart::WORKER, set.party(primary)?)?;
    let name = stage.world.workers[cut_off].process.name().to_owned();
    stage.world.workers[cut_off].wait_log(&["cannot"], PATIENCE).await.context(name)?;
    let before = claims(&stage, cut_off).await?;
    // All that the other one alone can do.
    stage.until_accepted(count).await?;
    let ended = stage.history().ended();
    stage.until_ended((ended + 6).min(count)).await?;
    tokio::time::sleep(ctx.of(Duration::ZERO, Duration::from_secs(40))).await;
    let during = claims(&stage, cut_off).await?;
    stage.expect(during == before, format!("it claims nothing: {before}, then {during}"));
    stage.expect(set.primary().await? == primary, "for the others the primary stays what it is");
    stage.expect(refused(stage.history()) == 0, "clients notice nothing");
    cuts.heal()?;
    stage.over(fault);
    stage.load(6, 6.0).await?;
    wait::until("it works again", PATIENCE, || async {
        Ok((claims(&stage, cut_off).await? > during).then_some(()))
    })
    .await?;
    let lost = lost_attempts(&stage).await?;
    stage.figure(format!("{lost} attempts of the worker that was cut off were lost and repeated"));
    stage.end().await
}

/// K24: the old primary hears of no other member, and clients still reach it.
pub(super) async fn primary_from_members(ctx: Ctx) -> Result<Evidence> {
    apart_for_a_while(ctx, &[Cut::Both]).await
}

/// K25: the same in one direction only.
pub(super) async fn one_way(ctx: Ctx) -> Result<Evidence> {
    let both = [Cut::NothingOfIt, Cut::NothingToIt];
    let first = usize::from(ctx.seed % 2 == 1);
    let one = [both[first]];
    let cuts: &[Cut] = ctx.of(&one, &both);
    apart_for_a_while(ctx, cuts).await
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Neither hears of the other.
    Both,
    /// The others hear nothing of the primary.
    NothingOfIt,
    /// The primary hears nothing of the others.
    NothingToIt,
}

async fn apart_for_a_while(ctx: Ctx, kinds: &[Cut]) -> Result<Evidence> {
    let set = ReplicaSet::start_apart(3).await?;
    let cuts = Cuts::among(&set.parties()?)?;
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&address(&set))).await?;
    let count = ctx.of(24, 80);
    stage.load(count, ctx.of(2.0, 3.0)).await?;
    stage.until_accepted(4).await?;
    for kind in kinds {
        let old = set.primary().await?;
        let fault = stage.fault(format!("the primary and the others are apart: {kind:?}"));
        for other in set.others(old) {
            match kind {
                Cut::Both => cuts.both_ways(set.party(old)?, set.party(other)?)?,
                Cut::NothingOfIt => cuts.one_way(set.party(old)?, set.party(other)?)?,
                Cut::NothingToIt => cuts.one_way(set.party(other)?, set.party(old)?)?,
            }
        }
        // What the old one alone has seen must be gone in the end, or nothing was tried here.
        let alone = write_alone(&set, old).await;
        let new = another_leads(&set, old).await?;
        let accepted = stage.history().accepted().len();
        stage.until_accepted((accepted + 4).min(count)).await?;
        tokio::time::sleep(ctx.of(Duration::from_secs(3), Duration::from_secs(10))).await;
        cuts.heal()?;
        set.settled().await?;
        stage.over(fault);
        let left = notes(&set.uri()).await?;
        match (alone, kind) {
            (Ok(()), Cut::Both | Cut::NothingOfIt) => {
                stage.expect(left == 0, "what the old primary alone had is rolled back");
                stage.figure(format!("{kind:?}: {old} led, then {new}; one write was rolled back"));
            }
            // It still gets through to the others, or it had stepped down already.
            (Ok(()), Cut::NothingToIt) => {
                stage.figure(format!("{kind:?}: {old} led, then {new}; {left} writes stayed"));
            }
            (Err(error), _) => {
                stage.figure(format!("{kind:?}: {old} led, then {new}; it took no write: {error}"));
            }
        }
        drop_notes(&set.uri()).await?;
    }
    let longest = longest_post(stage.history());
    let told = refused(stage.history());
    stage.figure(format!("longest post {longest:.1?}; {told} answers 503"));
    stage.end().await
}

/// Waits until another member than that one says that it leads.
async fn another_leads(set: &ReplicaSet, old: usize) -> Result<usize> {
    wait::until("another one leads", PATIENCE, || async {
        for other in set.others(old) {
            let hello = look(set.address(other), doc! { "hello": 1 }).await;
            if hello.is_ok_and(|h| h.get_bool("isWritablePrimary").unwrap_or(false)) {
                return Ok(Some(other));
            }
        }
        Ok(None)
    })
    .await
}

/// Writes a note that one member alone acknowledges.
async fn write_alone(set: &ReplicaSet, member: usize) -> Result<()> {
    let uri = format!(
        "mongodb://{}/?directConnection=true&serverSelectionTimeoutMS=1000",
        set.address(member)
    );
    let alone = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    let client = Client::with_options(ClientOptions::parse(uri).await?)?;
    let notes = client.database(OWN).collection::<Document>("notes");
    notes.insert_one(doc! { "by": "one alone" }).write_concern(alone).await?;
    Ok(())
}

async fn notes(uri: &str) -> Result<u64> {
    let client = Client::with_uri_str(uri).await?;
    let notes = client.database(OWN).collection::<Document>("notes");
    Ok(notes.count_documents(doc! {}).await?)
}

async fn drop_notes(uri: &str) -> Result<()> {
    Ok(Client::with_uri_str(uri).await?.database(OWN).drop().await?)
}

/// How many attempts were lost so far.
async fn lost_attempts(stage: &Stage) -> Result<usize> {
    let stored = dump::stored(stage.world.database(), &stage.world.name).await?;
    let attempts = stored.iter().flat_map(|one| &one.attempts);
    Ok(attempts.filter(|attempt| attempt.outcome.as_deref() == Some("lost")).count())
}
