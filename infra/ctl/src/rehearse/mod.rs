//! `portcall rehearse`: load and attacks against a shadow of an event, before its doors open.
//!
//! ```text
//!  rules ─► shadow ─► images ─► calm half ─► drained ─► hostile half ─► drained ─► canary ─► report
//!                                                                                       │
//!           database: the shadow, what became of each        api: POSTs, by the clock   └─► all gone
//! ```
//!
//! It needs three connections: the database, as every command of `portcall`; the api, as participants
//! have it, without any token; and a registry that images are pushed to. Whatever happens, the shadow
//! is taken away at the end, and what was killed before that by `--clean`.

mod derive;
mod figures;
mod fleet;
mod images;
mod lure;
mod people;
mod plan;
mod post;
mod progress;
mod report;
mod shadow;
mod stage;

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use portcall_shared::{
    domain::{
        event::Event,
        ids::EventSlug,
        image::{ImageRef, RegistryHost},
        text::Name,
    },
    settings::Reader,
    shutdown,
    store::Store,
};
use portcall_worker::settings::program_beside;
use tokio_util::sync::CancellationToken;

use self::{
    figures::{Crowd, Rate},
    fleet::Fleet,
    images::Layer,
    people::{Own, Programs},
    plan::{Half, Kind},
    post::{Forwarded, Reach, addresses},
    report::Report,
    shadow::Beside,
    stage::{Over, Stage},
};
use crate::{
    check::answers,
    database::{For, with},
    failure::Failure,
    orders::say,
};

/// Most submissions of one rehearsal.
const MOST: usize = 100_000;

/// Tries an event under load and attack before its doors open, and says what it would take.
///
/// It makes a shadow of the event, with the same rules: an event of its own that is not listed, and
/// whose submissions are graded only when no other waits. To it submissions are posted at the given rate,
/// whether or not the platform keeps up: half of the time such as harm nobody (some of them with a
/// mistake), then with hostile ones among them. What became of each is read from the database and held
/// against what must. At the end the canary examines every node once more, and the shadow is taken away
/// with its submissions and images; also after Ctrl-C.
///
/// How many nodes the crowd needs: slots = people / within × seconds that a submission holds a slot on
/// average (all its steps, in the half with hostile ones) / 0.8, nodes = slots / slots of the smallest
/// node, both rounded up. 0.8, because where more of the slots are busy those who wait grow without end.
///
/// Exit code 0 only if nothing was lost, nobody got out, every verdict is right and all have ended.
#[derive(Args)]
pub(crate) struct RehearseArgs {
    /// The event.
    #[arg(long, value_name = "SLUG")]
    event: EventSlug,
    /// How fast submissions are posted: 2/s, 90/min.
    #[arg(long, value_name = "RATE", required_unless_present = "clean")]
    rate: Option<Rate>,
    /// How long they are posted, both halves together: 90s, 2m, 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = figures::time)]
    lasts: Duration,
    /// The share of hostile ones in the second half; 0: both halves are calm.
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = figures::share)]
    hostile: f64,
    /// The share of images with a mistake among those that harm nobody.
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = figures::share)]
    bad: f64,
    /// How many people are expected …
    #[arg(long, value_name = "PEOPLE", default_value_t = 1180, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    crowd: u64,
    /// … within which time, each with one submission: the rush, not the whole day.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = figures::time)]
    within: Duration,
    /// The api. Default: PORTCALL_PUBLIC_URL.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// The registry that images are pushed to, without a password; api and nodes reach it by the same name.
    /// Default: the one on loopback that the event takes images from.
    #[arg(long, value_name = "HOST")]
    registry: Option<RegistryHost>,
    /// An image of your own that must pass, instead of those that are made of the rules; several: the
    /// images of one submission, in order. With it --name, and --answer, that it answers to.
    #[arg(long, value_name = "IMAGE")]
    image: Vec<ImageRef>,
    /// The same with a mistake in it. Without any, all of them are good.
    #[arg(long, value_name = "IMAGE", requires = "image")]
    bad_image: Vec<ImageRef>,
    /// The name that --image answers to.
    #[arg(long, default_value = "Gordon", requires = "image")]
    name: Name,
    /// The answer to a question of the event that --image goes with.
    #[arg(long = "answer", value_name = "QUESTION=ANSWER", requires = "image")]
    answers: Vec<String>,
    /// The static sample program. Default: the file `app` beside this one.
    #[arg(long, value_name = "FILE")]
    app_bin: Option<PathBuf>,
    /// The static hostile program, which does nothing outside of its image. Default: the file `hostile` beside this one.
    #[arg(long, value_name = "FILE")]
    hostile_bin: Option<PathBuf>,
    /// Says of each submission that it comes from an address of its own (X-Forwarded-For), which the
    /// api believes if this machine is in PORTCALL_TRUSTED_PROXIES. Without it the limits for one address count.
    #[arg(long)]
    forwarded: bool,
    /// How long what was posted may take to end, after each half.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = figures::time)]
    drain: Duration,
    /// Also while the event takes submissions: one of theirs may wait for a grading that has begun.
    #[arg(long)]
    while_open: bool,
    /// Also against addresses of the internet. Load against a machine that is not yours is an attack.
    #[arg(long)]
    yes_really: bool,
    /// Leaves the shadow there, for looking at it; --clean takes it away.
    #[arg(long)]
    keep: bool,
    /// Only takes away what rehearsals of the event left that were killed or kept.
    #[arg(long, conflicts_with_all = ["rate", "keep"])]
    clean: bool,
    /// Writes the report as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is taken from the settings.
struct Settings {
    api: String,
    plain_http: Vec<RegistryHost>,
}

pub(crate) async fn run(args: RehearseArgs, reader: Reader) -> Result<(), Failure> {
    let api = args.api.clone().unwrap_or_else(|| reader.text("PORTCALL_PUBLIC_URL"));
    let settings = Settings { api, plain_http: reader.list("PORTCALL_HTTP_REGISTRIES") };
    let stop = shutdown::on_signal().map_err(|e| Failure::Internal(e.to_string()))?;
    with(reader, For::Use, async |store| match args.clean {
        true => {
            let told = shadow::clean(store, &args.event, &settings.plain_http).await?;
            say(&told.join("\n"));
            Ok(())
        }
        false => rehearse(&args, &settings, store, stop).await,
    })
    .await
}

async fn rehearse(
    args: &RehearseArgs,
    settings: &Settings,
    store: &Store,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let beside = if args.while_open { Beside::Open } else { Beside::Closed };
    let event = shadow::rehearsable(store, &args.event, beside).await?;
    let rate = args.rate.ok_or_else(|| Failure::Usage("--rate is missing".to_owned()))?;
    let planned = planned(args, rate)?;
    let own = own(args, &event.event)?;
    let registry = registry(args, &event.event, &planned, own.as_ref())?;
    let reach = if args.yes_really { Reach::Anywhere } else { Reach::Private };
    if let Some(host) = &registry {
        let (name, port) = host_and_port(host);
        addresses(&name, port, reach).await?;
    }
    let programs = programs(args, &planned, own.as_ref())?;
    let fleet = Fleet::of(store).await?;
    if fleet.slots() == 0 {
        return Err(Failure::Unavailable("no node takes work (portcall nodes)".to_owned()));
    }
    let forwarded = if args.forwarded { Forwarded::Yes } else { Forwarded::No };
    // Before anything is made: whom it would load.
    post::Api::at(&settings.api, "e", reach, forwarded).await?;
    let slug = shadow::make(store, &event, registry.as_ref()).await?;
    let mut stage = Stage::new(store, &slug, registry.as_ref(), &settings.plain_http, stop);
    let crowd = Crowd { people: args.crowd, within: args.within };
    let script = stage::Script {
        event: &event.event,
        planned,
        own,
        programs,
        rate,
        hostile: args.hostile,
        drain: args.drain,
        fleet,
        crowd,
    };
    let played = match post::Api::at(&settings.api, slug.as_str(), reach, forwarded).await {
        Ok(api) => stage.play(script, api).await,
        Err(failure) => Err(Over::Failed(failure)),
    };
    let left = match &played {
        Ok(_) if args.keep => vec![format!(
            "{slug} is kept; `portcall rehearse --event {} --clean` takes it away",
            args.event
        )],
        _ => stage.clear().await,
    };
    conclude(args, played, &left)
}

/// Says what came of it.
fn conclude(
    args: &RehearseArgs,
    played: Result<Report, Over>,
    left: &[String],
) -> Result<(), Failure> {
    let is_left = !left.is_empty();
    let with_left = |why: String| [&[why], left].concat().join("\n");
    match played {
        Ok(report) => {
            say(&report.text());
            if is_left {
                say(&format!("\n{}", left.join("\n")));
            }
            if let Some(file) = &args.json {
                let told = format!("{:#}\n", report.json());
                fs::write(file, told)
                    .map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
            }
            match report.is_good() && (args.keep || !is_left) {
                true => Ok(()),
                false if report.is_good() => Err(Failure::Failed(left.join("\n"))),
                false => Err(Failure::Failed("the event is not ready: see above".to_owned())),
            }
        }
        Err(Over::Stopped) if is_left => Err(Failure::Failed(with_left("stopped".to_owned()))),
        Err(Over::Stopped) => Err(Failure::Failed("stopped; nothing is left behind".to_owned())),
        Err(Over::Failed(failure)) if !is_left => Err(failure),
        Err(Over::Failed(failure)) => Err(match failure {
            Failure::Failed(why) => Failure::Failed(with_left(why)),
            Failure::Usage(why) => Failure::Usage(with_left(why)),
            Failure::Unavailable(why) => Failure::Unavailable(with_left(why)),
            Failure::Internal(why) => Failure::Internal(with_left(why)),
            Failure::Told => Failure::Failed(left.join("\n")),
        }),
    }
}

fn planned(args: &RehearseArgs, rate: Rate) -> Result<Vec<(Half, Kind)>, Failure> {
    let count = rate.within(args.lasts);
    let fewest = if args.hostile > 0.0 { 2 } else { 1 };
    if !(fewest..=MOST).contains(&count) {
        return Err(Failure::Usage(format!(
            "{rate} for {} s are {count} submissions; a rehearsal has {fewest} to {MOST}",
            args.lasts.as_secs()
        )));
    }
    let none_bad = !args.image.is_empty() && args.bad_image.is_empty();
    Ok(plan::plan(count, args.hostile, if none_bad { 0.0 } else { args.bad }))
}

fn own(args: &RehearseArgs, event: &Event) -> Result<Option<Own>, Failure> {
    if args.image.is_empty() {
        return Ok(None);
    }
    let written =
        |images: &[ImageRef]| images.iter().map(|one| one.as_written().to_owned()).collect();
    Ok(Some(Own {
        good: written(&args.image),
        bad: written(&args.bad_image),
        name: args.name.clone(),
        answers: answers(event, &args.answers)?,
    }))
}

fn has_hostile(planned: &[(Half, Kind)]) -> bool {
    planned.iter().any(|(_, kind)| matches!(kind, Kind::Hostile(_)))
}

/// Where images of ours are pushed to, if there are any.
fn registry(
    args: &RehearseArgs,
    event: &Event,
    planned: &[(Half, Kind)],
    own: Option<&Own>,
) -> Result<Option<RegistryHost>, Failure> {
    if own.is_some() && !has_hostile(planned) {
        return Ok(None);
    }
    let near = || event.images.registries.iter().find(|host| host.is_loopback()).cloned();
    match args.registry.clone().or_else(near) {
        Some(host) => Ok(Some(host)),
        None => Err(Failure::Usage(
            "--registry is missing: the images of a rehearsal have to be pushed somewhere"
                .to_owned(),
        )),
    }
}

fn host_and_port(host: &RegistryHost) -> (String, u16) {
    match host.as_str().rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name.to_owned(), port.parse().unwrap_or(443)),
        _ => (host.as_str().to_owned(), 443),
    }
}

fn programs(
    args: &RehearseArgs,
    planned: &[(Half, Kind)],
    own: Option<&Own>,
) -> Result<Programs, Failure> {
    let layer = |name: &str, given: &Option<PathBuf>| {
        let file = given.clone().unwrap_or_else(|| program_beside(name));
        Layer::program(name, &file)
    };
    Ok(Programs {
        app: own.is_none().then(|| layer("app", &args.app_bin)).transpose()?,
        hostile: has_hostile(planned).then(|| layer("hostile", &args.hostile_bin)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RehearseArgs,
    }

    fn read(line: &str) -> Result<RehearseArgs, clap::Error> {
        let words = ["rehearse"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn what_is_typed_is_read() {
        let args = read("--event e --rate 2/s --hostile 0.3 --for 90s --crowd 500").unwrap();
        assert_eq!((args.lasts, args.hostile, args.crowd), (Duration::from_secs(90), 0.3, 500));
        assert_eq!(planned(&args, args.rate.unwrap()).unwrap().len(), 180);
        assert!(read("--event e --clean").is_ok());
        for wrong in [
            "--rate 2/s",
            "--event e",
            "--event e --rate 2",
            "--event e --rate 2/s --hostile 1.1",
            "--event e --rate 2/s --crowd 0",
            "--event e --rate 2/s --for 0s",
            "--event e --rate 2/s --clean",
            "--event e --rate 2/s --name Ann",
            "--event e --rate 2/s --bad-image h/a:1",
            "--event E! --rate 2/s",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rehearsal_is_neither_empty_nor_without_end() {
        let count = |line: &str| {
            let args = read(&format!("--event e {line}")).unwrap();
            planned(&args, args.rate.unwrap()).map(|planned| planned.len())
        };
        assert_eq!(count("--rate 1/min --for 2m").unwrap(), 2);
        assert!(count("--rate 1/min --for 119s").is_err(), "one has no two halves");
        assert_eq!(count("--rate 1/min --for 119s --hostile 0").unwrap(), 1);
        assert_eq!(count("--rate 1000/s --for 100s").unwrap(), 100_000);
        assert!(count("--rate 1000/s --for 101s").is_err());
    }

    fn event(registries: &str) -> Event {
        let source = format!(
            "slug = \"e\"\ntitle = \"E\"\n[images]\nregistries = [{registries}]\n\
             [[checks]]\nname = \"c\"\nget = \"/\"\n"
        );
        portcall_shared::domain::event_file::parse(&source).unwrap()
    }

    #[test]
    fn images_go_to_the_registry_that_is_given_or_to_the_one_here() {
        let near = event("\"docker.io\", \"127.0.0.1:5000\"");
        let far = event("\"docker.io\"");
        let of = |line: &str, event: &Event| {
            let args = read(&format!("--event e --rate 2/s {line}")).unwrap();
            let planned = planned(&args, args.rate.unwrap()).unwrap();
            let own = own(&args, event).unwrap();
            registry(&args, event, &planned, own.as_ref())
        };
        let host = |text: &str| Some(text.parse::<RegistryHost>().unwrap());
        assert_eq!(of("", &near).unwrap(), host("127.0.0.1:5000"));
        assert_eq!(of("--registry 10.0.0.9:5000", &near).unwrap(), host("10.0.0.9:5000"));
        assert!(of("", &far).is_err(), "nothing is pushed to where nobody said");
        assert_eq!(of("--image a/b --hostile 0", &far).unwrap(), None, "nothing is pushed");
        assert!(of("--image a/b", &far).is_err(), "the hostile ones are");
        assert_eq!(host_and_port(&"10.0.0.9:5000".parse().unwrap()), ("10.0.0.9".to_owned(), 5000));
        assert_eq!(host_and_port(&"r.example".parse().unwrap()), ("r.example".to_owned(), 443));
    }

    #[test]
    fn own_images_without_a_bad_one_are_all_good() {
        let args = read("--event e --rate 1/s --for 20s --image a/b --bad 0.5").unwrap();
        let planned = planned(&args, args.rate.unwrap()).unwrap();
        assert!(!planned.iter().any(|(_, kind)| *kind == Kind::Bad));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let args = read("--event e --rate 1/s --app-bin /nowhere/app").unwrap();
        let planned = planned(&args, args.rate.unwrap()).unwrap();
        let refused = programs(&args, &planned, None);
        assert!(matches!(refused, Err(Failure::Usage(why)) if why.contains("/nowhere/app")));
    }
}
