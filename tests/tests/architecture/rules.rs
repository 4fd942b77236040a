//! What holds, as tables.

/// Longest file, in lines without its test module.
pub(crate) const LONGEST: usize = 500;

/// Where an outside library may be imported, and nowhere else under `shared`, `api`, `worker`
/// and `infra`.
pub(crate) const HOMES: &[(&str, &[&str])] = &[
    ("mongodb", &["shared/src/store"]),
    ("bollard", &["worker/src/fleet"]),
    ("axum", &["api/"]),
    ("backoff", &["shared/src/retry.rs"]),
    ("reqwest", &["shared/src/registry", "shared/src/outbound", "infra/ctl/src/rehearse/post.rs"]),
];

/// What a folder must not know.
pub(crate) const STRANGERS: &[(&str, &[&str])] = &[
    ("api/", &["portcall_worker"]),
    ("worker/", &["portcall_api"]),
    ("shared/", &["portcall_api", "portcall_worker"]),
    (
        "shared/src/domain/",
        &[
            "mongodb",
            "bson",
            "tokio",
            "hyper",
            "reqwest",
            "bollard",
            "axum",
            "crate::store",
            "crate::registry",
            "now_utc",
            "Instant::now",
            "SystemTime::now",
        ],
    ),
];

/// What may lie at the top.
pub(crate) const TOP: &[&str] =
    &["Cargo.toml", "Cargo.lock", "README.md", "api", "infra", "shared", "tests", "web", "worker"];

/// Paths of somebody's machine, split so that this file does not contain them.
pub(crate) const MACHINE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Hosts that packages come from; which one is the reader's affair.
pub(crate) const PACKAGE_HOSTS: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("py", "pi.org"),
    concat!("pythonh", "osted.org"),
    concat!("deb.deb", "ian.org"),
    concat!("archive.ubu", "ntu.com"),
    concat!("static.cra", "tes.io"),
    concat!("index.cra", "tes.io"),
    concat!("npm.pkg.git", "hub.com"),
    concat!("proxy.gol", "ang.org"),
];

/// What the worker never asks of the engine: to run something in a stranger's container, to reach
/// into its files, to give it the machine's.
pub(crate) const NEVER: &[(&str, &str)] = &[
    ("create_exec", "nothing is executed inside a stranger's container"),
    ("start_exec", "nothing is executed inside a stranger's container"),
    ("download_from_container", "nothing of ours touches a stranger's files"),
    ("upload_to_container", "nothing of ours touches a stranger's files"),
    ("export_container", "nothing of ours touches a stranger's files"),
    ("privileged: Some(true)", "no container is privileged"),
    ("publish_all_ports: Some(true)", "no port is published"),
];

/// Fields of a container request that stay empty.
pub(crate) const EMPTY: &[&str] =
    &["binds", "port_bindings", "volumes_from", "devices", "device_requests", "links"];

/// Methods of the driver that ask the server.
pub(crate) const DRIVER: &[&str] = &[
    "find_one",
    "find",
    "find_one_and_update",
    "find_one_and_replace",
    "find_one_and_delete",
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "aggregate",
    "distinct",
    "count_documents",
    "estimated_document_count",
    "create_index",
    "create_indexes",
    "run_command",
    "watch",
];

/// Whose arguments run in a task of their own, which nobody drops half-way.
pub(crate) const TASKS: &[&str] = &["call", "carry_out", "persist", "spawn"];

/// What may ask the driver directly, and why.
pub(crate) const DIRECT: &[(&str, &str)] = &[
    ("initiate", "a client of its own, for a set that is made"),
    ("members", "the same, for a set that is looked at"),
    ("replace", "the same, for a set with a member that is lost"),
    ("force", "the same, for a set whose quorum is lost"),
];

/// Where something may be waited for with an end to it, in the store.
pub(crate) const MAY_GIVE_UP: &[&str] = &["shared/src/store/mod.rs", "shared/src/store/feed.rs"];

/// Where a program opens its database, so that it is closed there too.
pub(crate) const OPEN: &[&str] =
    &["api/src/main.rs", "worker/src/main.rs", "infra/ctl/src/database.rs"];

/// Dependencies of members that are not the workspace's, and why.
pub(crate) const OWN_DEPENDENCIES: &[(&str, &str, &str)] =
    &[("worker/Cargo.toml", "tokio", "fewer features, for the prober")];
