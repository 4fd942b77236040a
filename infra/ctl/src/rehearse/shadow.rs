//! The shadow of an event: making it, and taking it away with its submissions and its images.

use std::collections::{BTreeMap, BTreeSet};

use portcall_shared::{
    domain::{
        event::Door,
        event_file,
        ids::EventSlug,
        image::{Digest, RegistryHost},
        submission::Submission,
    },
    store::{
        Store,
        events::EventVersion,
        rehearsals::{Made, Removed},
        search::{Detail, Entry},
    },
};
use time::OffsetDateTime;

use super::images::{Shelf, is_of};
use crate::failure::Failure;

/// How much of the event's slug is kept, so that what comes behind it has room.
const KEPT: usize = 44;
/// How many names are tried.
const TRIES: u32 = 1000;
/// How many submissions are read together.
const PAGE: u32 = 200;

/// Whether a rehearsal may run beside the event that it rehearses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Only while that takes no submissions.
    Closed,
    /// Also while it does.
    Open,
}

/// The event that is to be rehearsed, if that may be now.
pub(super) async fn rehearsable(
    store: &Store,
    slug: &EventSlug,
    beside: Beside,
) -> Result<EventVersion, Failure> {
    let found = store.event(slug).await?;
    let event = found.ok_or_else(|| Failure::Failed(format!("no such event: {slug}")))?;
    if let Some(of) = &event.shadow_of {
        return Err(Failure::Usage(format!("{slug} is itself a rehearsal, of {of}")));
    }
    if let Some(left) = store.shadows(slug).await?.first() {
        let shadow = &left.event.slug;
        return Err(Failure::Failed(format!(
            "{shadow} is there: a rehearsal of {slug} runs, or was killed; `portcall rehearse \
             --event {slug} --clean` takes it away"
        )));
    }
    let open = event.event.door(OffsetDateTime::now_utc()) == Door::Open
        && store.event_closing(slug).await?.is_none();
    match open && beside == Beside::Closed {
        true => Err(Failure::Usage(format!(
            "{slug} is open: a rehearsal takes slots that its participants wait for, one grading \
             long; --while-open if that may be"
        ))),
        false => Ok(event),
    }
}

/// Makes a shadow that takes images from this registry too.
pub(super) async fn make(
    store: &Store,
    event: &EventVersion,
    registry: Option<&RegistryHost>,
) -> Result<EventSlug, Failure> {
    let slug = &event.event.slug;
    let wrong =
        |e: event_file::InvalidEvent| Failure::Internal(format!("the rules of {slug}: {e}"));
    let title: String = event.event.title.chars().take(100).collect();
    let (title, of) = (format!("Rehearsal: {title}"), slug.as_str());
    let kept = of[..of.len().min(KEPT)].trim_end_matches('-');
    for number in 1..=TRIES {
        let name = format!("{kept}-rehearsal-{number}");
        let shadow: EventSlug = name.parse().map_err(|_| Failure::Internal(name))?;
        let mut source = event_file::renamed(&event.source, &shadow, &title).map_err(wrong)?;
        if let Some(registry) = registry {
            source = event_file::with_registry(&source, registry).map_err(wrong)?;
        }
        let rules = event_file::parse(&source).map_err(wrong)?;
        if store.make_shadow(&rules, &source, slug).await? == Made::New {
            return Ok(shadow);
        }
    }
    Err(Failure::Failed(format!("there are {TRIES} events called {kept}-rehearsal-…")))
}

/// Every submission of a shadow, with its attempts.
pub(super) async fn submissions(
    store: &Store,
    shadow: &EventSlug,
) -> Result<Vec<Submission>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.all_of_event(shadow, Detail::Whole, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.id());
        for entry in page {
            match entry {
                Entry::Read(submission) => all.push(*submission),
                Entry::Unreadable(id) => {
                    return Err(Failure::Internal(format!("submission {id} cannot be read")));
                }
            }
        }
    }
}

/// Takes a shadow away; how many submissions it had.
pub(super) async fn remove(store: &Store, shadow: &EventSlug) -> Result<u64, Failure> {
    store.cancel_shadow(shadow).await?;
    match store.remove_shadow(shadow).await? {
        Removed::Shadow { submissions } => Ok(submissions),
        Removed::Nothing => Ok(0),
    }
}

/// Takes away every shadow of an event that is there, with the images that its submissions name.
pub(super) async fn clean(
    store: &Store,
    slug: &EventSlug,
    plain_http: &[RegistryHost],
) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    for left in store.shadows(slug).await? {
        let shadow = &left.event.slug;
        let pushed = pushed(&submissions(store, shadow).await?, shadow);
        let mut images = 0;
        for ((host, repository), manifests) in pushed {
            let mut shelf = Shelf::at(&host, &repository, plain_http).holding(manifests);
            match shelf.clear().await {
                Ok(deleted) => images += deleted,
                Err(left) => told.push(left),
            }
        }
        let submissions = remove(store, shadow).await?;
        told.push(format!("{shadow}: {submissions} submissions and {images} images taken away"));
    }
    if told.is_empty() {
        told.push(format!("there is no rehearsal of {slug}"));
    }
    Ok(told)
}

/// The images of ours that submissions name, by registry and repository.
fn pushed(all: &[Submission], shadow: &EventSlug) -> BTreeMap<Place, BTreeSet<Digest>> {
    let mut pushed: BTreeMap<Place, BTreeSet<Digest>> = BTreeMap::new();
    for image in all.iter().flat_map(|one| &one.images).map(|image| &image.image) {
        if let Some(digest) = image.digest().filter(|_| is_of(image.path(), shadow)) {
            let place = (image.host().clone(), image.path().to_owned());
            pushed.entry(place).or_default().insert(digest.clone());
        }
    }
    pushed
}

/// A registry, and a repository there.
type Place = (RegistryHost, String);

#[cfg(test)]
mod tests {
    use portcall_shared::domain::submission::SubmittedImage;

    use super::*;
    use crate::rehearse::images::{self, tests::somebody};

    #[test]
    fn only_images_of_ours_are_taken_away() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let mut one = somebody("Ann");
        for reference in [
            format!("127.0.0.1:5000/portcall-rehearsal/e-rehearsal-1-0123456789ab@{}", digest("a")),
            format!("127.0.0.1:5000/portcall-rehearsal/e-rehearsal-1@{}", digest("d")),
            format!("127.0.0.1:5000/portcall-rehearsal/e-rehearsal-2-0123456789ab@{}", digest("b")),
            format!("127.0.0.1:5000/theirs/e-rehearsal-1-0123456789ab@{}", digest("c")),
            "127.0.0.1:5000/portcall-rehearsal/e-rehearsal-1-0123456789ab:tag".to_owned(),
        ] {
            one.images.push(SubmittedImage { image: reference.parse().unwrap(), pinned: None });
        }
        let found = pushed(&[one], &"e-rehearsal-1".parse().unwrap());
        let name = "portcall-rehearsal/e-rehearsal-1-0123456789ab".to_owned();
        let place = ("127.0.0.1:5000".parse().unwrap(), name);
        let own = (place, BTreeSet::from([digest("a").parse().unwrap()]));
        assert_eq!(found, BTreeMap::from([own]));
    }

    #[test]
    fn two_rehearsals_share_no_repository() {
        let shadow = "e-rehearsal-1".parse().unwrap();
        let (one, other) = (images::repository(&shadow), images::repository(&shadow));
        assert_ne!(one, other);
        assert!(is_of(&one, &shadow) && is_of(&other, &shadow), "{one} {other}");
        assert!(!is_of(&one, &"e-rehearsal-2".parse().unwrap()));
    }
}
