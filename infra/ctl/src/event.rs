//! `portcall event`: apply, list, show.

use std::path::PathBuf;

use clap::Subcommand;
use portcall_shared::{
    domain::{event::Door, event_file, ids::EventSlug, image::RegistryHost},
    store::{Store, events::AppliedEvent},
};
use time::OffsetDateTime;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum EventCommand {
    /// Makes an event file the current rules of its event. Submissions made under earlier rules
    /// are graded by those.
    Apply {
        /// The event file (TOML).
        file: PathBuf,
        /// Also take images from this registry (host or host:port), whatever the file says.
        #[arg(long, value_name = "HOST")]
        allow_registry: Vec<RegistryHost>,
        /// Only say whether the file is valid.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lists the events.
    List,
    /// Prints an event's rules as they were applied.
    Show {
        /// The event.
        slug: EventSlug,
        /// An earlier version; the current one if not given.
        #[arg(long)]
        version: Option<i32>,
    },
}

impl EventCommand {
    #[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
    pub(crate) async fn run(self, store: &Store) -> Result<(), Failure> {
        match self {
            Self::Apply { file, allow_registry, dry_run } => {
                let mut source = read(&file)?;
                let mistakes = |e: event_file::InvalidEvent| {
                    Failure::Usage(format!("{}:\n{e}", file.display()))
                };
                for host in &allow_registry {
                    source = event_file::with_registry(&source, host).map_err(mistakes)?;
                }
                let event = event_file::parse(&source).map_err(mistakes)?;
                if dry_run {
                    println!("{} is valid", file.display());
                    return Ok(());
                }
                match store.apply_event(&event, &source).await? {
                    AppliedEvent::Version(version) => {
                        println!("{}: version {version} applied", event.slug);
                    }
                    AppliedEvent::Unchanged(version) => {
                        println!("{}: unchanged, version {version}", event.slug);
                    }
                }
            }
            Self::List => {
                let now = OffsetDateTime::now_utc();
                let closings = store.event_closings().await?;
                for version in store.events().await? {
                    let event = &version.event;
                    let door = match (closings.get(event.slug.as_str()), event.door(now)) {
                        (Some(closing), _) => format!("closed by {} {}", closing.by, closing.at),
                        (None, Door::Open) => "open".to_owned(),
                        (None, Door::NotYet(opens)) => format!("opens {opens}"),
                        (None, Door::Closed(closes)) => format!("closed {closes}"),
                    };
                    println!(
                        "{}\tversion {}\t{door}\t{}",
                        event.slug, version.version, event.title
                    );
                }
            }
            Self::Show { slug, version } => {
                let found = match version {
                    Some(version) => store.event_version(&slug, version).await?,
                    None => store.event(&slug).await?,
                };
                let found =
                    found.ok_or_else(|| Failure::Failed(format!("no such event: {slug}")))?;
                print!("{}", found.source);
            }
        }
        Ok(())
    }
}

/// Reads a file that the user named.
pub(crate) fn read(file: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
}
