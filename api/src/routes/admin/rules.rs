//! `/api/v1/admin/events/{event}/rules`: the event file that an event goes by, and those before it.
//!
//! A new version holds for what is submitted from then on; what was submitted before is graded by
//! the version that it was submitted under.

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse};
use portcall_shared::{
    domain::{event::Event, event_file, ids::EventSlug, image::RegistryHost},
    store::{
        StoreError,
        events::{AppliedEvent, MAX_VERSIONS},
        submissions::sha256_hex,
        tokens::Role,
    },
};
use serde::Deserialize;
use validator::Validate;

use super::{listing, to_the_end};
use crate::{
    auth::Organiser,
    extract::{Id, ValidJson, ValidQuery},
    problem::{ApiError, FieldError},
    reply::Reply,
    state::AppState,
    views::admin::rules::{AppliedView, RulesBody, RulesOutcome, RulesView, VersionsView},
};

/// Where they are.
pub const ADDRESS: &str = "/api/v1/admin/events/{event}/rules";
/// Largest body that is read with rules in it: the largest file, with every character escaped as
/// files are, and the braces around it.
pub const BODY_LIMIT: usize = 2 * event_file::MAX_FILE + 1024;
/// Most mistakes of a file that are told at once.
const MOST_MISTAKES: usize = 100;

/// Which version is asked for.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// An earlier version; the current one without it.
    #[validate(length(max = 10, code = "too_long", message = "This is too long for a version."))]
    #[param(value_type = Option<i32>, minimum = 1)]
    version: Option<String>,
}

/// Whether it is meant.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DryRunQuery {
    /// `true`: only say whether the file is valid.
    #[validate(length(max = 8, code = "invalid_value", message = "Say true or false."))]
    #[param(value_type = Option<bool>)]
    dry_run: Option<String>,
}

/// The rules of an event, as its file.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, there is no such event or
/// version, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/rules",
    operation_id = "getRules",
    description = "The event file of the current version, or of an earlier one.",
    params(VersionQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "The rules.", body = RulesView))
)]
pub async fn show(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<VersionQuery>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&slug)?;
    let number = query.version.as_deref().map(version).transpose()?;
    let current = app.event(&slug).await?;
    let version = match number.filter(|number| *number != current.version) {
        None => current,
        Some(number) => {
            let found = app.store.event_version(&slug, number).await?;
            found.ok_or(ApiError::NotFound("version"))?
        }
    };
    Ok(Reply::ok(RulesView::of(&version)))
}

fn version(text: &str) -> Result<i32, ApiError> {
    let number = text.parse::<i32>().ok().filter(|number| *number > 0);
    let detail = "A version is a whole number from 1.";
    number.ok_or_else(|| ApiError::invalid("/version", "version_invalid", detail))
}

/// Every version of the rules, the current one first.
///
/// # Errors
/// When the token does not extend to the event, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/rules/versions",
    operation_id = "listRules",
    description = "The current one first.",
    security(("bearer" = [])),
    responses((status = 200, description = "The versions.", body = VersionsView))
)]
pub async fn versions(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(slug): Id<EventSlug>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&slug)?;
    let versions = app.store.event_versions(&slug).await?;
    match versions.is_empty() {
        true => Err(ApiError::NotFound("event")),
        false => Ok(Reply::ok(VersionsView::of(&slug, &versions))),
    }
}

/// Makes a file the rules of an event, or only says whether it could be.
///
/// # Errors
/// When the token does not extend to the event, the file is not valid, of another event or names a
/// registry that is for operators to name, the event has as many versions as it may have, there is
/// no such event, or the store cannot.
#[utoipa::path(
    put,
    path = "/api/v1/admin/events/{event}/rules",
    operation_id = "putRules",
    description = "Makes a file the next version, which holds for what is submitted from then on. \
        Mistakes in the file are told with their lines. At most 513 KiB of body are read.",
    params(DryRunQuery),
    request_body = RulesBody,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of it.", body = AppliedView))
)]
pub async fn replace(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<DryRunQuery>,
    ValidJson { value: body, .. }: ValidJson<RulesBody>,
) -> Result<impl IntoResponse, ApiError> {
    let dry = listing::truth("/dry_run", query.dry_run.as_deref())?.unwrap_or(false);
    to_the_end(async move {
        let mut act = organiser.act(&slug, "rules", None, None);
        organiser.may(&app, &act).await?;
        let current = Current::of(&app, &slug).await?;
        let (event, body) = read_aside(&slug, body).await?;
        if organiser.0.role != Role::Operator {
            let common = &app.settings.common;
            let own = [common.http_registries.as_slice(), &common.private_registries].concat();
            let registries = denied(&own, current.event.as_deref(), &event);
            refuse_registries(registries, &body.source)?;
        }
        let outcome = match current.source.as_ref() == Some(&body.source) {
            true => RulesOutcome::Unchanged,
            false => RulesOutcome::Valid,
        };
        if outcome == RulesOutcome::Valid && current.version >= MAX_VERSIONS {
            return Err(ApiError::TooManyVersions(MAX_VERSIONS));
        }
        if dry {
            return Ok(Reply::ok(AppliedView::of(&slug, current.version, outcome)));
        }
        act.detail = serde_json::json!({
            "from": current.version,
            "sha256": sha256_hex(body.source.as_bytes()),
        });
        let applied = app.store.audited(act, app.store.apply_event(&event, &body.source)).await?;
        let (version, outcome) = match applied {
            AppliedEvent::Version(version) => (version, RulesOutcome::Applied),
            AppliedEvent::Unchanged(version) => (version, RulesOutcome::Unchanged),
        };
        Ok(Reply::ok(AppliedView::of(&slug, version, outcome)))
    })
    .await
}

/// What holds until now.
struct Current {
    version: i32,
    /// None if this version of Portcall cannot read it.
    event: Option<Arc<Event>>,
    source: Option<String>,
}

impl Current {
    /// Rules that cannot be read any more are there to be replaced.
    async fn of(app: &AppState, slug: &EventSlug) -> Result<Self, ApiError> {
        match app.store.event(slug).await {
            Ok(Some(found)) => {
                let (event, source) = (Some(found.event), Some(found.source));
                Ok(Self { version: found.version, event, source })
            }
            Ok(None) => Err(ApiError::NotFound("event")),
            Err(StoreError::Event { version, .. }) => {
                Ok(Self { version, event: None, source: None })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The registries of a file that only an operator may bring into an event: those that the guard
/// against calls into our own networks exempts, and addresses without a name. What the event has is
/// left to it: a registry for participants, and for services that of another service too.
fn denied(own: &[RegistryHost], current: Option<&Event>, event: &Event) -> Vec<RegistryHost> {
    let had = |host: &RegistryHost| current.is_some_and(|c| c.images.registries.contains(host));
    let served = |host: &RegistryHost| {
        let mut services = current.iter().flat_map(|event| &event.services);
        services.any(|service| service.image.host() == host)
    };
    let ours = |host: &RegistryHost| own.contains(host) || host.is_loopback() || is_address(host);
    let registries = event.images.registries.iter().filter(|host| !had(host));
    let services = event.services.iter().map(|service| service.image.host());
    let services = services.filter(|host| !had(host) && !served(host));
    let mut denied: Vec<RegistryHost> =
        registries.chain(services).filter(|host| ours(host)).cloned().collect();
    denied.sort();
    denied.dedup();
    denied
}

/// Whether a host is an address, to some reader of names at least.
fn is_address(host: &RegistryHost) -> bool {
    let url = url::Url::parse(&format!("http://{host}/"));
    !url.is_ok_and(|url| matches!(url.host(), Some(url::Host::Domain(_))))
}

fn refuse_registries(denied: Vec<RegistryHost>, source: &str) -> Result<(), ApiError> {
    let refusal = |host: RegistryHost| {
        let named = |line: &str| line.contains(host.as_str());
        let line = source.lines().position(named).map_or(1, |at| at + 1);
        let detail = format!(
            "Line {line}: `{host}` is an address or a registry of the operator's own; only an \
             operator may bring it into an event."
        );
        FieldError::new("/source", "registry_denied", detail)
    };
    let errors: Vec<FieldError> = denied.into_iter().map(refusal).collect();
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(errors)) }
}

/// Reads a file where nobody waits for it: a large one keeps a processor for a while.
async fn read_aside(slug: &EventSlug, body: RulesBody) -> Result<(Event, RulesBody), ApiError> {
    let slug = slug.clone();
    let reading = tokio::task::spawn_blocking(move || Ok((read(&slug, &body.source)?, body)));
    let panicked = |_| Err(ApiError::Internal("reading a file ended in a panic".into(), None));
    reading.await.unwrap_or_else(panicked)
}

/// Reads a file as `portcall event apply` does; it must be of this event.
fn read(slug: &EventSlug, source: &str) -> Result<Event, ApiError> {
    let mistake = |line: usize, code: &'static str, detail: String| {
        FieldError::new("/source", code, format!("Line {line}: {detail}."))
    };
    let event = event_file::parse(source).map_err(|invalid| {
        let told = invalid.0.into_iter().take(MOST_MISTAKES).map(|problem| {
            let detail = match problem.key.as_str() {
                "" => problem.message,
                key => format!("{key}: {}", problem.message),
            };
            mistake(problem.line, "rules_invalid", detail)
        });
        ApiError::Invalid(told.collect())
    })?;
    if event.slug != *slug {
        let named = |line: &str| line.trim_start().starts_with("slug");
        let line = source.lines().position(named).map_or(1, |at| at + 1);
        let detail = format!("the slug is `{}`, and these are the rules of `{slug}`", event.slug);
        return Err(ApiError::Invalid(vec![mistake(line, "slug_mismatch", detail)]));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "title = \"T\"\nslug = \"e\"\n[[checks]]\nname = \"c\"\nget = \"/\"\nstatus = 200\n";

    fn mistakes(source: &str) -> Vec<(String, String)> {
        match read(&"e".parse().unwrap(), source) {
            Ok(_) => Vec::new(),
            Err(ApiError::Invalid(errors)) => errors
                .into_iter()
                .map(|e| {
                    assert_eq!(e.pointer, "/source");
                    (e.code.into_owned(), e.detail)
                })
                .collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_name_their_lines() {
        assert_eq!(mistakes(GOOD), []);
        let found = mistakes(&GOOD.replace("status = 200", "status = 99\nstatos = 1"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|(code, _)| code == "rules_invalid"));
        assert!(found[0].1.starts_with("Line 6: checks[0].status"), "{found:?}");
        assert!(found[1].1.starts_with("Line 7: "), "{found:?}");
        let found = mistakes("title = ");
        assert!(found[0].1.starts_with("Line 1: "), "{found:?}");
        let found = mistakes(&GOOD.replace("slug = \"e\"", "slug = \"other\""));
        assert_eq!((found[0].0.as_str(), &found[0].1[..7]), ("slug_mismatch", "Line 2:"));
    }

    #[test]
    fn only_what_is_public_or_there_already_is_an_organisers_to_name() {
        let own = ["plain.example:5000", "private.example"].map(|host| host.parse().unwrap());
        let event = |registries: &[&str], service: &str| {
            let service = format!("[[services]]\nalias = \"s\"\nimage = \"{service}\"\n");
            let file = format!("{GOOD}[images]\nregistries = {registries:?}\n{service}");
            event_file::parse(&file).unwrap()
        };
        let told = |current: Option<&Event>, event: &Event| -> Vec<String> {
            denied(&own, current, event).iter().map(ToString::to_string).collect()
        };
        let none: [&str; 0] = [];
        for good in
            ["ghcr.io", "docker.io", "plain.example", "private.example:5000", "r.example:5000"]
        {
            assert_eq!(told(None, &event(&[good], &format!("{good}/a/s"))), none, "{good}");
        }
        let bad = [
            "127.0.0.1:5000",
            "127.9.9.9",
            "localhost",
            "localhost:1",
            "10.0.0.1:80",
            "8.8.8.8",
            "127.1",
            "0x7f.1",
            "1.2.3.4.5",
            "plain.example:5000",
            "private.example",
        ];
        for host in bad {
            let (registry, service) = (event(&["ghcr.io", host], "a/s"), format!("{host}/s"));
            assert_eq!(told(None, &registry), [host]);
            assert_eq!(told(Some(&registry), &registry), none, "it is there");
            assert_eq!(told(Some(&event(&["ghcr.io"], "a/s")), &registry), [host]);
            // An image without a host is Docker Hub's.
            if host.contains(['.', ':']) || host == "localhost" {
                let service = event(&["ghcr.io"], &service);
                assert_eq!(told(None, &service), [host]);
                assert_eq!(told(Some(&service), &service), none, "it is there");
                assert_eq!(told(Some(&registry), &service), none, "participants may use it");
                assert_eq!(told(Some(&service), &registry), [host], "participants may not");
            }
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("7").ok(), Some(7));
        for bad in ["", "0", "-1", "1.5", "x", "9999999999"] {
            assert_eq!(version(bad).unwrap_err().code(), "version_invalid", "{bad}");
        }
    }
}
