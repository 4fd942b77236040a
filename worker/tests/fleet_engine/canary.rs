//! The canary on a real engine: under both profiles it finds every wall standing; without a wall it
//! says so. What it says under the engine's defaults stands beside, in a table.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use portcall_worker::{
    canary::{self, Expected, Report, differences, table::ROWS},
    fleet::{ContainerSpec, FleetError, Kind, NodeSettings, Profile, Role, StartFailure},
};

use crate::world::{World, ask};

mod capabilities;
mod lab;
mod missing;
mod walls;

use lab::{Lab, Said};
use missing::{DEFAULTS, LACKING, MISSING, Missing};
use walls::{Then, WALLS, Wall};

/// How many containers without a wall run at the same time.
const AT_ONCE: usize = 4;
/// Those of strangers' containers, in the order of the table's columns.
const PROFILES: [Profile; 2] = [Profile::Ordinary, Profile::Strict];

#[tokio::test]
async fn the_canary_finds_every_wall_standing() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    for profile in PROFILES {
        let examined = canary::examine(&world.fleet, &slot, profile).await?;
        for difference in &examined.differences {
            println!("{profile:?}: {difference}");
        }
        assert_eq!(examined.differences, [], "{profile:?}");
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn a_canary_is_known_by_its_labels_and_is_startable_in_no_other_way() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let workload = world.fleet.start_canary(&slot, Profile::Strict).await?;
    let found = world.fleet.sweep().await?.found;
    let left: Vec<_> = found.iter().filter(|found| found.kind == Kind::Canary).collect();
    let left = left.iter().find(|found| found.worker == world.worker).context("not found")?;
    assert_eq!(left.name, format!("{}-canary", slot.network_name()));
    assert_eq!(left.submission, None);
    let told = ask(&slot, &workload, 0, "/report").await?;
    Report::parse(told.as_bytes()).map_err(anyhow::Error::msg)?;
    workload.remove().await?;

    // As a submission's image, its name is a name like any other.
    let image = Lab::canary_image()?;
    let spec =
        ContainerSpec { role: Role::Image, ..world.spec("app", &image, Profile::Strict).await? };
    let failure = world.fleet.start(&slot, &world.owner(), &[spec]).await.unwrap_err();
    ensure!(matches!(failure, StartFailure::Engine(FleetError::NotPinned(_))), "{failure}");
    world.fleet.close_slot(slot).await?;
    world.end().await
}

/// What gVisor grants, it grants within itself; the walls around it are asked for as elsewhere.
#[tokio::test]
async fn under_gvisor_the_canary_finds_what_is_not_gvisors_own_standing() -> Result<()> {
    let settings = NodeSettings { runtime: Some("runsc".to_owned()), ..NodeSettings::default() };
    let world = World::with(settings)?;
    let slot = world.fleet.open_slot(0).await?;
    let examined = canary::examine(&world.fleet, &slot, Profile::Ordinary).await?;
    assert_eq!(examined.differences, []);
    // On a node that is said to have none, the same report will not do.
    let plain = Expected::of(Profile::Ordinary, slot.node(), &NodeSettings::default());
    let differing = differences(&examined.report, &plain);
    ensure!(differing.iter().any(|row| row.attempt == "whose_kernel"), "{differing:?}");
    world.fleet.close_slot(slot).await?;
    world.end().await
}

/// What one run said, and what of it differs from what it must be.
struct Run {
    wall: &'static Wall,
    said: Said,
    differing: BTreeSet<String>,
}

#[tokio::test]
async fn without_a_wall_its_rows_fail() -> Result<()> {
    let world = World::new()?;
    let lab = Lab::open(&world).await?;
    let defaults = lab.under_defaults().await?;
    let mut columns = Vec::new();
    for profile in PROFILES {
        columns.push(lab.report(profile).await?);
    }
    let expected = PROFILES.map(|profile| lab.expected(profile));
    let runs = stream::iter(WALLS.iter().map(|wall| run(&lab, wall)));
    let runs: Vec<Result<Run>> = runs.buffered(AT_ONCE).collect().await;
    lab.close().await?;
    let runs: Vec<Run> = runs.into_iter().collect::<Result<_>>()?;

    println!("{}", table(&defaults, &columns, &runs));
    println!("{}", without(&runs));
    let mut wrong = Vec::new();
    for run in &runs {
        wrong.extend(faults_of(run));
    }
    for (name, outcome) in DEFAULTS {
        let got = defaults.outcome(name);
        if got.as_deref() != Some(*outcome) {
            wrong.push(format!("engine's defaults: {name} is {got:?} instead of {outcome}"));
        }
    }
    // With every wall, a container that is made here is as good as the fleet's.
    for ((profile, report), expected) in PROFILES.into_iter().zip(&columns).zip(&expected) {
        let differing = differences(report, expected);
        wrong.extend(differing.iter().map(|one| format!("with every wall, {profile:?}: {one}")));
    }
    let stuck = runs.iter().filter(|run| matches!(run.said, Said::NotHere(_)));
    let stuck: Vec<&str> = stuck.map(|run| run.wall.name).collect();
    for row in ROWS.iter().filter(|row| shown_by(row.name, &runs).is_empty()) {
        let said = outcomes(row.name, &runs);
        if !missing(row.name).is_some_and(|missing| missing.is_borne_out(&said, &stuck)) {
            wrong.push(format!("no run without a wall shows that {} can fail", row.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.end().await
}

async fn run(lab: &Lab, wall: &'static Wall) -> Result<Run> {
    let said = lab.without(wall).await.with_context(|| format!("without {}", wall.name))?;
    let differing = match &said {
        Said::Report(report) => {
            let differing = differences(report, &lab.expected(wall.profile));
            differing.into_iter().map(|difference| difference.attempt).collect()
        }
        Said::Nothing(_) | Said::NotHere(_) => BTreeSet::new(),
    };
    Ok(Run { wall, said, differing })
}

/// A wall that is away must be seen in each of its rows.
fn faults_of(run: &Run) -> Vec<String> {
    let Wall { name, then, .. } = run.wall;
    match (&run.said, then) {
        (Said::Report(_), Then::Fail(_)) => then
            .rows()
            .filter(|row| !run.differing.contains(*row))
            .map(|row| format!("without {name}: {row} does not differ"))
            .collect(),
        (Said::Nothing(_), Then::NoReport(_)) | (Said::NotHere(_), _) => Vec::new(),
        (Said::Nothing(words), _) => vec![format!("without {name}: no report, but: {words}")],
        (Said::Report(_), _) => vec![format!("without {name}: a report all the same")],
    }
}

/// The walls without which a row fails, the one that has it on its list first.
fn shown_by(row: &str, runs: &[Run]) -> Vec<&'static str> {
    let shows = |run: &&Run| match &run.said {
        Said::Report(report) => {
            let got = report.outcome(row).unwrap_or_default();
            run.differing.contains(row) && !LACKING.contains(&got.as_str())
        }
        Said::Nothing(_) => run.wall.then.rows().any(|own| own == row),
        Said::NotHere(_) => false,
    };
    let (listed, other): (Vec<&Run>, Vec<&Run>) =
        runs.iter().filter(shows).partition(|run| run.wall.then.rows().any(|own| own == row));
    listed.into_iter().chain(other).map(|run| run.wall.name).collect()
}

/// Every attempt under the engine's defaults and under both profiles, and what shows that its row
/// can fail. What nothing shows is counted as missing.
fn table(defaults: &Report, columns: &[Report], runs: &[Run]) -> String {
    let mut lines =
        vec![line(["attempt", "engine's defaults", "ordinary", "strict", "fails without"])];
    let (mut shown, mut allowed) = (0, 0);
    for row in ROWS {
        let said = |report: &Report| report.outcome(row.name).unwrap_or_else(|| "missing".into());
        let by = match shown_by(row.name, runs).first() {
            Some(wall) => {
                shown += 1;
                (*wall).to_owned()
            }
            None if matches!(missing(row.name), Some(Missing::Allowed)) => {
                allowed += 1;
                "allowed on purpose".to_owned()
            }
            None => {
                let why = missing(row.name).map_or("nobody knows why", Missing::why);
                let seen: Vec<String> = outcomes(row.name, runs).into_iter().collect();
                format!("not testable here: {why} ({})", seen.join(", "))
            }
        };
        let cells = [row.name, &said(defaults), &said(&columns[0]), &said(&columns[1]), &by];
        lines.push(line(cells));
    }
    let (all, missing) = (ROWS.len(), ROWS.len() - shown - allowed);
    lines.push(format!(
        "{all} attempts: {shown} shown to fail, {allowed} allowed on purpose, {missing} missing"
    ));
    lines.join("\n")
}

fn line(cells: [&str; 5]) -> String {
    let [name, defaults, ordinary, strict, shown] = cells;
    format!("{name:<20} {defaults:<18} {ordinary:<14} {strict:<14} {shown}")
}

fn missing(row: &str) -> Option<&'static Missing> {
    MISSING.iter().find(|(name, _)| *name == row).map(|(_, missing)| missing)
}

/// What a row said in all runs together.
fn outcomes(row: &str, runs: &[Run]) -> BTreeSet<String> {
    let said = runs.iter().filter_map(|run| match &run.said {
        Said::Report(report) => report.outcome(row),
        Said::Nothing(_) | Said::NotHere(_) => None,
    });
    said.collect()
}

/// Every wall, and the rows that fail without it.
fn without(runs: &[Run]) -> String {
    let mut lines = vec![format!("{:<24} {:<10} {}", "without", "profile", "rows that fail then")];
    for run in runs {
        let rows = match &run.said {
            Said::Report(_) => run.differing.iter().cloned().collect::<Vec<_>>().join(" "),
            Said::Nothing(words) => format!("no report at all: {words}"),
            Said::NotHere(why) => format!("not testable here: {why}"),
        };
        let profile = format!("{:?}", run.wall.profile).to_lowercase();
        lines.push(format!("{:<24} {profile:<10} {rows}", run.wall.name));
    }
    lines.join("\n")
}
