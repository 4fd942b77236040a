//! The rules of an event, as their file.

use portcall_shared::{
    domain::ids::EventSlug,
    store::events::{EventVersion, VersionHead},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::views::moment;

/// The rules of an event at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RulesView {
    /// The event's slug.
    pub event: String,
    /// The version.
    pub version: i32,
    /// When it was applied.
    #[schema(format = DateTime)]
    pub applied_at: String,
    /// The file (TOML).
    pub source: String,
}

/// A file that is to be the rules of an event.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesBody {
    /// The file (TOML).
    pub source: String,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AppliedView {
    /// The event's slug.
    pub event: String,
    /// The version that holds now.
    pub version: i32,
    /// What became of the file.
    pub outcome: RulesOutcome,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RulesOutcome {
    /// It is the version that holds now.
    Applied,
    /// It is what the version has that held already.
    Unchanged,
    /// It could be applied, and was not: only that was asked.
    Valid,
}

/// Every version of an event's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VersionsView {
    /// The event's slug.
    pub event: String,
    /// The current one first.
    pub items: Vec<VersionView>,
}

/// One version, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VersionView {
    /// The version.
    pub version: i32,
    /// When it was applied.
    #[schema(format = DateTime)]
    pub applied_at: String,
    /// The event's name for people, as it was then.
    pub title: String,
}

impl RulesView {
    /// Of a version.
    #[must_use]
    pub fn of(version: &EventVersion) -> Self {
        Self {
            event: version.event.slug.to_string(),
            version: version.version,
            applied_at: moment(version.applied_at),
            source: version.source.clone(),
        }
    }
}

impl AppliedView {
    /// Of an event.
    #[must_use]
    pub fn of(event: &EventSlug, version: i32, outcome: RulesOutcome) -> Self {
        Self { event: event.to_string(), version, outcome }
    }
}

impl VersionsView {
    /// Of an event.
    #[must_use]
    pub fn of(event: &EventSlug, versions: &[VersionHead]) -> Self {
        let item = |head: &VersionHead| VersionView {
            version: head.version,
            applied_at: moment(head.applied_at),
            title: head.title.clone(),
        };
        Self { event: event.to_string(), items: versions.iter().map(item).collect() }
    }
}
