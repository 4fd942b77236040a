//! The corpus of hostile submissions: each row with its exact reason, and nobody else harmed.
//!
//! `./infra/test corpus` runs a third of it, `./infra/test --full corpus` all, and
//! `./infra/test corpus -- A01 X03` the rows of these ids.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt, stream};
use portcall_tests::{
    Recipe,
    corpus::{
        Expected, Outcome, Row, Scene,
        calls::{self, Task},
        choice::Choice,
        copies, coverage,
        row::{ORDINARY, Profile, Rules},
        rows, run,
        scene::{SLOTS, Stand, marks, open_the_node},
        table, unharmed,
    },
    image::digest,
    parts::{
        client::Client,
        client::time_at,
        engine::Engine,
        lure::Lures,
        watch::{Sight, Watch},
    },
    wait,
};

/// How many cases run between two looks at everybody else.
const BATCH: usize = 24;
/// The least that a flood leaves in a log, which keeps 256 KiB of it: less means that whoever looked
/// on looked at the wrong place.
const FLOODED: u64 = 64 * 1024;

#[expect(clippy::print_stdout, reason = "the table of the corpus is for people")]
fn tell(text: &str) {
    println!("{text}");
}

/// What a run of the corpus found.
#[derive(Default)]
struct Findings {
    outcomes: Vec<Outcome>,
    controls: Vec<Outcome>,
    harm: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hostile_submission_has_its_reason_and_harms_nobody() -> Result<()> {
    let choice = Choice::given();
    let mut cases = run::cases(&rows::all());
    cases.retain(|case| choice.has(case));
    if let Choice::Named(_) = choice {
        cases.extend(run::cases(rows::OPEN).into_iter().filter(|case| choice.has(case)));
    }
    ensure!(!cases.is_empty(), "no row is called so: {}", choice.shown());
    tell(&format!("corpus: {}, {} cases", choice.shown(), cases.len()));

    let scene = Scene::begin(|plan| plan).await?;
    let disk = scene.disk().await?;
    let before = programs()?;
    // Every slot and connection was used once before anything is measured.
    let mut quiet = Vec::new();
    for _ in 0..3 {
        quiet.extend(scene.control().await?);
    }
    let idle = scene.idle().await?;
    let client = scene.client(Rules::Control, Profile::Ordinary)?;
    let watch = Watch::begin(scene.world.engine.clone(), Some(scene.folder.clone()), client);
    let began = Instant::now();
    let mut found = Findings::default();
    for batch in cases.chunks(BATCH) {
        let (mut outcomes, mut controls) = scene.play_beside(batch).await?;
        let harm = scene.harm(&idle, &outcomes).await?;
        outcomes.iter_mut().chain(&mut controls).for_each(|outcome| outcome.harm = harm.len());
        tell(&format!(
            "{:6.1} s: {} cases, {} harmed",
            began.elapsed().as_secs_f64(),
            found.outcomes.len() + outcomes.len(),
            harm.len()
        ));
        found.outcomes.extend(outcomes);
        found.controls.extend(controls);
        found.harm.extend(harm);
    }
    let sight = watch.end().await?;
    found.harm.extend(unharmed::of_sight(&sight));
    let ran = |id: &str| found.outcomes.iter().any(|outcome| outcome.id == id);
    let (flooded, copied) = (ran("A11"), ran("F30"));
    if flooded && sight.largest_log < FLOODED {
        found.harm.push(format!("A11 the largest log that was seen: {} bytes", sight.largest_log));
    }
    if programs()? != before {
        found.harm.push("U3 a program that starts containers is another one now".to_owned());
    }
    if copied {
        let name = rows::registry::ONE_DIGEST;
        let (manifest, asked) = (scene.fresh.manifest(name)?, scene.fresh.requests(name));
        found.harm.extend(copies::fetched_otherwise(&manifest, &asked)?);
    }
    let asked = found.asked(&scene);
    let took_off = found.disk(&scene, disk).await?;
    let took_warnings = warnings(&scene, &found);
    end(scene).await?;
    found.tell(&quiet, &sight);
    for line in [took_warnings, asked, took_off, table::took(began.elapsed(), choice.at_most())] {
        tell(&line);
    }
    for (id, why) in coverage::ELSEWHERE.iter().chain(coverage::IMPOSSIBLE) {
        tell(&format!("not here: {id}, {why}"));
    }
    for row in rows::OPEN {
        tell(&format!("open: nothing stops {row:?} yet"));
    }
    found.judge()
}

impl Findings {
    /// Looks through what the worker asked of the engine; a line about it.
    fn asked(&mut self, scene: &Scene) -> String {
        let calls = scene.tap.calls();
        let all = self.outcomes.iter().chain(&self.controls);
        let graded: Vec<String> = all.filter_map(|o| Some(o.contained()?.to_owned())).collect();
        let (cases, quarantine) = (graded.len(), scene.quarantine.host().to_owned());
        let address = ["mongodb://".to_owned(), scene.world.database().to_owned()];
        let secrets = address.into_iter().chain(marks().map(str::to_owned)).collect();
        self.harm.extend(calls::violations(&calls, &Task { secrets, graded, quarantine }));
        let created = calls.iter().filter(|call| call.resource() == "/containers/create").count();
        format!(
            "the worker asked {} times, for {created} containers; {cases} cases were graded in one",
            calls.len()
        )
    }

    /// Takes the images off the engine that were pulled, as an operator would, and looks what is
    /// left; a line about it.
    async fn disk(&mut self, scene: &Scene, before: (u64, u64)) -> Result<String> {
        let pulled: BTreeSet<String> = scene.tap.calls().iter().filter_map(calls::pulled).collect();
        let images = scene.forget_images(&pulled).await.unwrap_or_else(|error| {
            self.harm.push(format!("U3 {error:#}"));
            0
        });
        let (after, held) = (scene.disk().await?, scene.quarantine.holdings()?);
        self.harm.extend(unharmed::of_disk(after, before));
        self.harm.extend(unharmed::of_quarantine(held));
        if images == 0 {
            self.harm.push("U3 no image was pulled".to_owned());
        }
        Ok(format!(
            "{images} images that were pulled are taken off, of {}; the engine's folder: {} KiB more \
             in {} files more; the quarantine: {} images of {} KiB, {} KiB of none",
            pulled.len(),
            (after.0.saturating_sub(before.0)) / 1024,
            after.1.saturating_sub(before.1),
            held.images,
            held.wanted / 1024,
            held.stray / 1024,
        ))
    }

    fn tell(&self, quiet: &[Outcome], sight: &Sight) {
        tell(&table::of(&self.outcomes));
        let took = |outcomes: &[Outcome]| {
            let times: Vec<Duration> = outcomes.iter().filter_map(graded_in).collect();
            Sight::quantile(&times, 0.5)
        };
        // Told and not asserted: beside a batch the machine is as loaded as it can be, by the pushing of
        // images too, so that the ratio says little about the platform. The bound on it is in
        // `full_a_hostile_fifth_slows_nobody`, where a fifth of what is graded is hostile.
        let (quiet, beside) = (took(quiet), took(&self.controls));
        tell(&format!(
            "U1: {} submissions that harm nobody, median {beside:?} beside the others, {quiet:?} \
             alone ({:.2} ×)",
            self.controls.len(),
            beside.as_secs_f64() / quiet.as_secs_f64().max(0.001),
        ));
        let p99 = |times: &[Duration]| Sight::quantile(times, 0.99);
        tell(&format!(
            "U2: {} answers of the api, p99 {:?}; U3: {} of the engine, p99 {:?}, slowest {:?}; largest \
             log {} KiB; most flows {:?}",
            sight.answers.len(),
            p99(&sight.answers),
            sight.pings.len(),
            p99(&sight.pings),
            sight.pings.iter().max().copied().unwrap_or_default(),
            sight.largest_log / 1024,
            sight.flows,
        ));
        for harm in &self.harm {
            tell(&format!("HARM {harm}"));
        }
    }

    fn judge(&self) -> Result<()> {
        let all = || self.outcomes.iter().chain(&self.controls);
        let wrong: Vec<&Outcome> = all().filter(|outcome| !outcome.holds()).collect();
        for outcome in &wrong {
            tell(&format!(
                "WRONG {} {} ({}): expected {}, got {}\n{:#}",
                outcome.id,
                outcome.what,
                outcome.profile,
                outcome.expected,
                outcome.got,
                outcome.document
            ));
        }
        ensure!(
            wrong.is_empty() && self.harm.is_empty(),
            "{} of {} came out otherwise, {} were harmed",
            wrong.len(),
            all().count(),
            self.harm.len()
        );
        Ok(())
    }
}

/// The controls: with a limit raised, the same attack comes to something else.
#[tokio::test(flavor = "multi_thread")]
async fn full_with_a_limit_raised_the_same_attack_comes_to_something_else() -> Result<()> {
    let scene = Scene::begin(|plan| plan).await?;
    let outcomes = scene.play(&run::cases(rows::controls::ROWS)).await?;
    end(scene).await?;
    let found = Findings { outcomes, ..Findings::default() };
    tell(&table::of(&found.outcomes));
    found.judge()
}

/// What starts containers on this machine, each program with its digest.
fn programs() -> Result<Vec<(String, String)>> {
    let names = ["runc", "docker-init", "docker-proxy", "containerd-shim-runc-v2"];
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec/docker"];
    let all = folders.iter().flat_map(|folder| names.map(|name| format!("{folder}/{name}")));
    let there = all.filter(|path| std::path::Path::new(path).is_file());
    there.map(|path| Ok((path.clone(), digest(&std::fs::read(&path)?)))).collect()
}

/// From its claim to its verdict.
fn graded_in(outcome: &Outcome) -> Option<Duration> {
    let at = |field: &str| time_at(&outcome.document, &format!("/attempts/0/{field}"));
    (at("ended_at").ok()? - at("started_at").ok()?).try_into().ok()
}

/// What the worker warned of, where something came out otherwise.
fn warnings(scene: &Scene, found: &Findings) -> String {
    if found.outcomes.iter().all(Outcome::holds) {
        return String::new();
    }
    let log = scene.world.workers[0].process.log();
    let lines = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    lines.map(|line| format!("worker: {line}\n")).collect()
}

async fn end(scene: Scene) -> Result<()> {
    // The quarantine ends last: a worker that ends may still ask it.
    let Scene { world, tap, lures, quarantine, .. } = scene;
    let ended = world.finish().await;
    drop((tap, lures, quarantine));
    open_the_node();
    ended
}

/// The controls of the network: without Portcall's walls the lures are reached, strangers meet, and
/// names are carried out. Only here, where nothing leads out.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_walls_the_lures_are_reached() -> Result<()> {
    open_the_node();
    let lures = Lures::set().await?;
    let engine = Engine::given().await?;
    let name = format!("open-{}", std::process::id());
    let recipe = Recipe::hostile("reach")?;
    engine.load(&format!("{name}:1"), &recipe).await?;
    let names =
        ["reach", "dns", "multicast", "listener", "dialler"].map(|mode| format!("{name}-{mode}"));
    let containers: Vec<&str> = names.iter().map(String::as_str).collect();
    let seen = open(&engine, &lures, &name, &containers).await;
    engine.close(&containers, &name).await;
    engine.forget(&format!("{name}:1")).await?;
    seen
}

async fn open(engine: &Engine, lures: &Lures, name: &str, containers: &[&str]) -> Result<()> {
    engine.open_network(name).await?;
    let image = format!("{name}:1");
    let start = |n: usize, more: Vec<String>| {
        let (image, mode) = (&image, containers[n].rsplit('-').next().unwrap_or_default());
        let mut env = vec![format!("HOSTILE_MODE={mode}")];
        env.extend(more);
        async move { engine.start_open(containers[n], image, name, &env, &["203.0.113.10"]).await }
    };
    let mut came = Vec::new();
    let targets = ["169.254.169.254:80", "203.0.113.10:443", "192.168.77.1:2375"].join(",");
    start(0, vec![format!("HOSTILE_TARGETS={targets}")]).await?;
    for who in ["connected to metadata", "connected to internet", "connected to node"] {
        reached(lures, &mut came, who).await?;
    }
    start(1, Vec::new()).await?;
    reached(lures, &mut came, "bytes to internet (203.0.113.10:53)").await?;
    start(2, Vec::new()).await?;
    reached(lures, &mut came, "bytes to everybody").await?;

    let listener = start(3, Vec::new()).await?;
    let scanner = start(4, vec![format!("HOSTILE_TARGETS={listener}:9999")]).await?;
    for (address, wanted) in [(listener, "strangers=0"), (scanner, "open=0")] {
        let client = Client::new(&format!("http://{address}"), "")?;
        let outcome = wait::until("its outcome", Duration::from_secs(30), || async {
            let answer = client.get("/").await.ok();
            Ok(answer.and_then(|answer| Some(answer.json["outcome"].as_str()?.to_owned())))
        });
        let outcome = outcome.await?;
        ensure!(outcome != wanted, "they did not meet without the walls: {outcome}");
    }
    Ok(())
}

async fn reached(lures: &Lures, came: &mut Vec<String>, who: &str) -> Result<()> {
    let came = std::sync::Mutex::new(came);
    wait::until(format!("at a lure: {who}"), Duration::from_secs(20), || async {
        let mut came = came.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        came.extend(lures.touched());
        Ok(came.iter().any(|one| one.contains(who)).then_some(()))
    })
    .await
}

/// While a fifth of what comes is hostile, the others are graded as fast as ever.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_hostile_fifth_slows_nobody() -> Result<()> {
    const MOST: f64 = 1.2;
    let scene = Scene::begin(|plan| plan).await?;
    stream_of(&scene, 8, 0).await?;
    let mut ratios = Vec::new();
    // What else the machine does in one round it does not do in most: the middle one of three counts,
    // and where that is too high the middle one of five.
    for rounds in [3, 5] {
        while ratios.len() < rounds {
            let quiet = stream_of(&scene, 40, 0).await?;
            let mixed = stream_of(&scene, 50, 5).await?;
            let ratio = mixed.as_secs_f64() / quiet.as_secs_f64();
            tell(&format!("quiet {quiet:?}, with a hostile fifth {mixed:?}: {ratio:.2} ×"));
            ratios.push(ratio);
        }
        if median(&ratios) <= MOST {
            break;
        }
    }
    end(scene).await?;
    ensure!(median(&ratios) <= MOST, "the middle one of {ratios:?} is above {MOST}");
    Ok(())
}

/// The middle one of an odd number of figures.
fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[test]
fn the_middle_one_is_neither_the_best_nor_the_last() {
    assert_eq!(median(&[1.0, 1.5, 1.3]), 1.3);
    assert_eq!(median(&[1.4, 1.1, 1.0, 1.2, 1.5]), 1.2);
}

/// Grades so many submissions, every n-th of them hostile; the median time in which the others were
/// graded.
async fn stream_of(scene: &Scene, count: usize, every: usize) -> Result<Duration> {
    const ATTACKS: [&str; 5] = ["forkbomb", "mem", "flood", "logflood", "cpu"];
    let image = |stand: &Stand<'_>| stand.app("ok");
    let honest = Row::graded("honest", "", Rules::Control, Expected::Passed, image).under(ORDINARY);
    let hostile: [Row; 5] = [0, 1, 2, 3, 4].map(|n| {
        let images: [fn(&Stand<'_>) -> Result<Recipe>; 5] = [
            |s| s.hostile(ATTACKS[0]),
            |s| s.hostile(ATTACKS[1]),
            |s| s.hostile(ATTACKS[2]),
            |s| s.hostile(ATTACKS[3]),
            |s| s.hostile(ATTACKS[4]),
        ];
        Row::graded("hostile", "", Rules::Short, Expected::Passed, images[n]).under(ORDINARY)
    });
    let row = |n: usize| match every > 0 && n.is_multiple_of(every) {
        true => hostile[n / every % hostile.len()],
        false => honest,
    };
    let rows: Vec<Row> = (0..count).map(row).collect();
    let played =
        rows.iter().map(|row| async move { scene.play_one(&(*row, Profile::Ordinary)).await });
    let outcomes: Vec<Result<Outcome>> =
        stream::iter(played).buffer_unordered(SLOTS).collect().await;
    let mut times = Vec::new();
    for outcome in outcomes {
        let outcome = outcome?;
        if outcome.id == "honest" {
            ensure!(outcome.holds(), "{outcome:?}");
            times.extend(graded_in(&outcome));
        }
    }
    Ok(Sight::quantile(&times, 0.5))
}

/// Every row of the specification is somewhere, or there is a reason why not.
#[test]
fn no_row_is_forgotten() {
    let missing = coverage::missing(&rows::all(), &rows::canary::ids());
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(coverage::here_after_all(&rows::all()), [""; 0], "they are said to be elsewhere");
    let canary = rows::canary::ids();
    assert!(coverage::missing(&[], &canary).contains(&"A01".to_owned()), "a lost row is noticed");
}
