//! F: registries that misbehave. What they do to the registry client alone is tested beside it; here
//! each goes through the whole system, and what is the registry's charges nobody.
//!
//! A row is over with its first delay. The next try is half a minute away and the third two minutes
//! more: that it ends `undetermined`, and that others overtake it, is `tests/tests/registries.rs`.

use serde_json::json;

use crate::{
    corpus::row::{
        Expected::{self, Delayed, Failed, Passed, PassedFirst, Refused},
        Row,
        Rules::Short,
        Submits,
    },
    parts::misbehaving::Draft,
};

/// The name that several ask for at once.
pub const ONE_DIGEST: &str = "good/many";

const INVALID: Expected = Refused("image_manifest_invalid");
const PLATFORM: Expected = Refused("image_wrong_platform");
const DENIED: Expected = Refused("image_host_denied");
const DOWN: Expected = Delayed("registry_down");

pub(super) const ROWS: &[Row] = &[
    Row::misbehaving(
        "F01",
        "says that a layer has 40 GB",
        "huge",
        Short,
        Refused("image_too_large"),
    ),
    Row::misbehaving("F02", "1 GiB in a layer of 1 MiB, gzip", "bomb", Short, Failed("image_bomb")),
    Row::misbehaving(
        "F02",
        "a layer of zstd, which nodes cannot read",
        "zbomb",
        Short,
        Failed("image_manifest_invalid"),
    ),
    Row::misbehaving(
        "F03",
        "says that it has 500 layers",
        "500layers",
        Short,
        Refused("image_too_many_layers"),
    ),
    Row::misbehaving(
        "F04",
        "a layer that is elsewhere",
        "foreign",
        Short,
        Refused("image_foreign_layer"),
    ),
    Row::misbehaving("F05", "is missing", "missing", Short, Refused("image_not_found")),
    Row::misbehaving("F05", "wants a password", "private", Short, Refused("image_private")),
    Row::misbehaving("F05", "is forbidden", "forbidden", Short, Refused("image_private")),
    Row::misbehaving("F06", "no JSON", "badjson", Short, INVALID),
    Row::misbehaving("F06", "100,000 lists inside each other", "deep", Short, INVALID),
    Row::misbehaving("F06", "a manifest of 64 MiB", "hugemanifest", Short, INVALID),
    Row::misbehaving("F06", "a manifest without end", "endless", Short, INVALID),
    Row::misbehaving("F06", "a manifest without a type", "notype", Short, INVALID),
    Row::misbehaving("F06", "a manifest that is a page", "html", Short, INVALID),
    Row::misbehaving("F06", "half a manifest", "truncated", Short, DOWN),
    Row::misbehaving("F06", "another digest than it has", "lie", Short, DOWN),
    Row::misbehaving("F06", "another manifest than the list says", "swap", Short, DOWN),
    Row::misbehaving("F06", "another configuration", "otherconfig", Short, DOWN),
    Row::misbehaving("F06", "other layers", "otherlayer", Short, DOWN).unknown(),
    Row::misbehaving("F08", "for s390x", "otherarch", Short, PLATFORM),
    Row::misbehaving("F09", "a list of several platforms", "index", Short, Passed),
    Row::misbehaving("F09", "a list without platforms", "noplatform", Short, PLATFORM),
    Row::misbehaving("F09", "a list of attestations", "attestations", Short, PLATFORM),
    Row::misbehaving("F09", "a list of a list", "nested", Short, INVALID),
    Row::misbehaving("F19", "a token service elsewhere", "realm", Short, DENIED),
    Row::misbehaving("F19", "blobs elsewhere", "redirect", Short, DENIED),
    Row::misbehaving("F19", "the manifest elsewhere", "moved", Short, DENIED),
    Row::misbehaving("F19", "more pages elsewhere", "linked", Short, Passed),
    Row::misbehaving("F20", "the tag moves to an image that fails", "flip", Short, PassedFirst),
    Row::misbehaving("F21", "says nothing", "stall", Short, DOWN),
    Row::misbehaving("F21", "stops in the middle of a layer", "stallblob", Short, DOWN).unknown(),
    Row::misbehaving("F22", "ten bytes a second", "slow", Short, Delayed("registry_slow"))
        .unknown(),
    Row::misbehaving("F23", "429 for an hour", "r429", Short, Delayed("registry_limited")),
    Row::misbehaving("F23", "503 for an hour", "r503", Short, DOWN),
    manifest("F29", "a manifest of schema version 1", |d| d.manifest("/schemaVersion", json!(1))),
    manifest("F29", "an artifact without a configuration", |d| {
        d.manifest("/config/mediaType", json!("application/vnd.oci.empty.v1+json"))
    }),
    manifest("F29", "a chart", |d| {
        d.manifest("/config/mediaType", json!("application/vnd.cncf.helm.config.v1+json"))
    }),
    many("F30", "one digest at once, first of four"),
    many("F30", "one digest at once, second of four"),
    many("F30", "one digest at once, third of four"),
    many("F30", "one digest at once, fourth of four"),
];

/// An image whose documents are made worse.
const fn manifest(id: &'static str, what: &'static str, worse: fn(Draft) -> Draft) -> Row {
    let row = Row::misbehaving(id, what, "", Short, INVALID);
    Row { submits: Submits::Worse(worse), ..row }
}

/// The same image, asked for at the same moment: it is copied once.
const fn many(id: &'static str, what: &'static str) -> Row {
    let row = Row::misbehaving(id, what, ONE_DIGEST, Short, Passed).together("F30");
    Row { submits: Submits::Fresh(ONE_DIGEST), ..row }
}
