//! What a run of the tests is given by environment. A part that is missing fails the test that
//! needs it, by name; nothing is skipped.
//!
//! | variable | what it is |
//! | --- | --- |
//! | `PORTCALL_TEST_BIN` | folder of `portcall-api`, `portcall-worker` (feature `faults`) and `portcall` |
//! | `PORTCALL_TEST_STATIC_BIN` | folder of the static `prober` and `app` |
//! | `PORTCALL_TEST_DOCKER_HOST` | a Docker engine, `unix://…` |
//! | `PORTCALL_TEST_REGISTRY` | a registry, host and port, plain HTTP, empty or not |
//! | `PORTCALL_TEST_MONGOD` | the program `mongod` |
//! | `PORTCALL_TEST_SCHEMATHESIS` | the folder of schemathesis' Python packages |
//! | `PORTCALL_TEST_MONGODB_URI` | optional: a replica set for the tests that break none; otherwise one is started |
//! | `PORTCALL_TEST_ORDINARY` | optional: folder that `tests/images/ordinary` made; otherwise it is asked |
//! | `PORTCALL_TEST_LAB` | optional, for `tests/lab`: the folder of a lab; otherwise `target/lab` |
//! | `PORTCALL_TEST_CORPUS` | optional: which rows of the corpus run: `third` (as it is without), `all`, or ids |
//! | `PORTCALL_TEST_SEED` | optional: of all that is chosen by chance: that third, the third of the long tests, the rows of the fault table and what is random in them, what property tests and fuzz targets begin with; otherwise, by `./infra/test`, the commit's own, and without it a new one each time; it is printed |
//! | `PORTCALL_TEST_SOAK_MIN` | optional, with `--full`: how many minutes the soak of the fault table takes; otherwise 2 |
//! | `PORTCALL_TEST_FUZZ_S` | optional, for the suite `fuzz`: seconds for each target; otherwise 10, with `--full` 60 |
//! | `PORTCALL_TEST_SIM_SEEDS` | optional, for the suite `simulation`: how many seeds; otherwise 1,000 |
//! | `PORTCALL_TEST_SIM_SEED` | optional, for the suite `simulation`: the one seed to run, and to show |
//! | `PORTCALL_TEST_BEFORE` | with `--full`: folder of `portcall-api`, `portcall-worker`, the static `prober` and `canary`, and `infra/env.sample`, of an earlier version |
//! | `PORTCALL_TEST_BEFORE_REV` | optional, for `./infra/test`: the revision that it builds them from; otherwise `HEAD^` |
//! | `PORTCALL_TEST_TERRAFORM_PLUGINS` | optional: folder of Terraform's providers (a file system mirror), for `terraform validate` |
//! | `PORTCALL_TEST_DEBIAN_MIRROR` | optional, for that script: where its packages come from |
//!
//! The page's tests in a browser (`web/e2e`) are given:
//!
//! | variable | what it is |
//! | --- | --- |
//! | `PORTCALL_TEST_BASE_URL` | where the page is served |
//! | `PORTCALL_TEST_CHROMIUM` | the browser |
//! | `PORTCALL_TEST_IMAGE` | an image that passes |
//! | `PORTCALL_TEST_BAD_IMAGE` | optional: one that does not |
//! | `PORTCALL_TEST_EVENT` | optional: the event's slug |
//! | `PORTCALL_TEST_NAME` | optional: the name that the image answers with |
//! | `PORTCALL_TEST_VOTE` | optional: the vote that the image answers with |
//! | `PORTCALL_TEST_TOKEN` | an operator's token |
//! | `PORTCALL_TEST_CTL` | the program `portcall`, with the settings of the running system |
//! | `PORTCALL_TEST_TELL_API` | a command that ends and starts the api: `kill`, `stop`, `start` |
//! | `PORTCALL_TEST_PROFILE` | `full` for the long ones |
//! | `PORTCALL_TEST_BROWSER_RUNS` | optional: how often they run, one after the other; otherwise once |
//! | `PORTCALL_TEST_BROWSER_PINS` | optional: how many pins are put on a map; otherwise 20,000, with full a million |
//! | `PORTCALL_TEST_BROWSER_SHOTS` | optional: `1` takes pictures of every view at the end |
//! | `PORTCALL_TEST_API` | optional, for Vite's own server while developing: the api beside it |

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

const SAMPLE: &str = "env.sample";

/// A binary of Portcall.
///
/// # Errors
/// When the folder is not given or does not hold it.
pub fn program(name: &str) -> Result<PathBuf> {
    file_in("PORTCALL_TEST_BIN", name)
}

/// A static binary of Portcall's that runs in an image without anything else.
///
/// # Errors
/// When the folder is not given or does not hold it.
pub fn static_program(name: &str) -> Result<PathBuf> {
    file_in("PORTCALL_TEST_STATIC_BIN", name)
}

/// A program in this folder, if there is one, in place of the one that is given to all tests.
///
/// # Errors
/// When that is not given.
pub fn in_place(
    folder: Option<&Path>,
    name: &str,
    given: fn(&str) -> Result<PathBuf>,
) -> Result<PathBuf> {
    folder.map_or_else(|| given(name), |folder| Ok(folder.join(name)))
}

/// The engine's address.
///
/// # Errors
/// When it is not given.
pub fn docker_host() -> Result<String> {
    required("PORTCALL_TEST_DOCKER_HOST")
}

/// The registry's host and port.
///
/// # Errors
/// When it is not given.
pub fn registry() -> Result<String> {
    required("PORTCALL_TEST_REGISTRY")
}

/// The program `mongod`.
///
/// # Errors
/// When it is not given or not there.
pub fn mongod() -> Result<PathBuf> {
    existing("PORTCALL_TEST_MONGOD", PathBuf::from(required("PORTCALL_TEST_MONGOD")?))
}

/// The folder with the Python packages of schemathesis.
///
/// # Errors
/// When it is not given or not there.
pub fn schemathesis() -> Result<PathBuf> {
    const VARIABLE: &str = "PORTCALL_TEST_SCHEMATHESIS";
    file_in(VARIABLE, "schemathesis/__init__.py")?;
    required(VARIABLE).map(PathBuf::from)
}

/// A replica set that may be shared.
#[must_use]
pub fn mongodb_uri() -> Option<String> {
    optional("PORTCALL_TEST_MONGODB_URI")
}

/// The folder with the ordinary images' layer.
#[must_use]
pub fn ordinary() -> Option<PathBuf> {
    optional("PORTCALL_TEST_ORDINARY").map(PathBuf::from)
}

/// Which rows of the corpus run: `third`, `all`, or their ids.
#[must_use]
pub fn corpus() -> String {
    optional("PORTCALL_TEST_CORPUS").unwrap_or_else(|| "third".to_owned())
}

/// The seed of what is chosen by chance: the one that is given, or a new one.
#[must_use]
pub fn seed() -> u64 {
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    optional("PORTCALL_TEST_SEED").and_then(|text| text.parse().ok()).unwrap_or_else(fresh)
}

/// How many minutes the soak takes, if that is given.
#[must_use]
pub fn soak_min() -> Option<u64> {
    optional("PORTCALL_TEST_SOAK_MIN").and_then(|text| text.parse().ok())
}

/// The folder of an earlier version's programs.
///
/// # Errors
/// When it is not given or lacks one of them.
pub fn before() -> Result<PathBuf> {
    let variable = "PORTCALL_TEST_BEFORE";
    let folder = PathBuf::from(required(variable)?);
    for name in ["portcall-api", "portcall-worker", "prober", "canary", SAMPLE] {
        existing(variable, folder.join(name))?;
    }
    Ok(folder)
}

/// What lists the settings that the programs of a folder know.
///
/// # Errors
/// When it cannot be read.
pub fn sample_of(folder: &Path) -> Result<String> {
    let file = folder.join(SAMPLE);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// The folder of Terraform's providers, if one is given.
#[must_use]
pub fn terraform_plugins() -> Option<PathBuf> {
    optional("PORTCALL_TEST_TERRAFORM_PLUGINS").map(PathBuf::from)
}

/// The checkout that these tests were built from.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

fn file_in(variable: &str, name: &str) -> Result<PathBuf> {
    existing(variable, PathBuf::from(required(variable)?).join(name))
}

fn existing(variable: &str, path: PathBuf) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} is not there ({variable})", path.display());
    Ok(path)
}

fn required(variable: &str) -> Result<String> {
    optional(variable)
        .with_context(|| format!("{variable} is not set; `./infra/test` gives it to the tests"))
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests read the environment")]
fn optional(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}
