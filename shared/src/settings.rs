//! Settings: every `PORTCALL_…` variable, read whole at start.
//!
//! A process builds one [`Reader`], takes each of its settings by type, and calls
//! [`Reader::finish`]: all mistakes come out at once, each naming its variable, and nothing reads
//! the environment afterwards. `PORTCALL_CONFIG_FILE` may name a TOML file with the same names in
//! lower case without the prefix; the environment wins. [`ALL`] is the one list of variables;
//! `infra/env.sample` documents it and a test holds the two together.

use std::{
    cell::RefCell, collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr,
    time::Duration,
};

use crate::telemetry::traces::TraceSettings;

/// The exit code for a wrong setting or usage (`EX_USAGE` of `sysexits.h`).
pub const EXIT_USAGE: u8 = 64;
/// The exit code for a service that is not there (`EX_UNAVAILABLE`).
pub const EXIT_UNAVAILABLE: u8 = 69;
/// The exit code for a fault of our own (`EX_SOFTWARE`).
pub const EXIT_SOFTWARE: u8 = 70;

const PREFIX: &str = "PORTCALL_";

/// Every variable with its default. An empty default means that it may be left out.
pub const ALL: &[(&str, &str)] = &[
    ("PORTCALL_CONFIG_FILE", ""),
    ("PORTCALL_MONGODB_URI", "mongodb://127.0.0.1:27017/?replicaSet=rs"),
    ("PORTCALL_MONGODB_DATABASE", "portcall"),
    ("PORTCALL_LOG", "info"),
    ("PORTCALL_LOG_FORMAT", "text"),
    ("PORTCALL_OTLP_ENDPOINT", ""),
    ("PORTCALL_HTTP_REGISTRIES", ""),
    ("PORTCALL_PRIVATE_REGISTRIES", ""),
    ("PORTCALL_API_ADDR", "127.0.0.1:8080"),
    ("PORTCALL_API_OPS_ADDR", "127.0.0.1:9080"),
    ("PORTCALL_PUBLIC_URL", "http://127.0.0.1:8080"),
    ("PORTCALL_WEB_DIR", "web/dist"),
    ("PORTCALL_COMPETITION_EVENT", "birthday-3"),
    ("PORTCALL_ADMISSION_BUDGET_MS", "2000"),
    ("PORTCALL_SEAL_KEY_FILE", ""),
    ("PORTCALL_TLS", "off"),
    ("PORTCALL_TLS_CERT_FILE", ""),
    ("PORTCALL_TLS_KEY_FILE", ""),
    ("PORTCALL_ACME_DIRECTORY", "https://acme-v02.api.letsencrypt.org/directory"),
    ("PORTCALL_ACME_DOMAINS", ""),
    ("PORTCALL_ACME_CONTACT", ""),
    ("PORTCALL_ACME_CA_FILE", ""),
    ("PORTCALL_ACME_RETRY_S", "60"),
    ("PORTCALL_PRIVATE_WEBHOOKS", ""),
    ("PORTCALL_TRUSTED_PROXIES", ""),
    ("PORTCALL_RATE_PER_ADDRESS", "60"),
    ("PORTCALL_RATE_PER_PARTICIPANT", "6"),
    ("PORTCALL_RATE_READS", "6000"),
    ("PORTCALL_CORS_ORIGINS", ""),
    ("PORTCALL_STREAMS", "10000"),
    ("PORTCALL_STREAMS_PER_ADDRESS", "64"),
    ("PORTCALL_API_PLAIN_ADDR", ""),
    ("PORTCALL_API_CONNECTIONS", "10000"),
    ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "512"),
    ("PORTCALL_PROXY_PROTOCOL", "off"),
    ("PORTCALL_API_DRAIN_MS", "5000"),
    ("PORTCALL_API_GRACE_MS", "25000"),
    ("PORTCALL_DOCKER_HOST", "unix:///var/run/docker.sock"),
    ("PORTCALL_FLEET", "engine"),
    ("PORTCALL_DOCKER_CERTS", ""),
    ("PORTCALL_SLOTS", "2"),
    ("PORTCALL_WORKER_NAME", ""),
    ("PORTCALL_PROBER_BIN", ""),
    ("PORTCALL_WORKER_OPS_ADDR", "127.0.0.1:9081"),
    ("PORTCALL_SLOT_POOL", "10.213.0.0/16"),
    ("PORTCALL_RUNTIME", ""),
    ("PORTCALL_CGROUP_PARENT", ""),
    ("PORTCALL_CPUSET", ""),
    ("PORTCALL_THROTTLED_DISK", ""),
    ("PORTCALL_ROOT_QUOTA", "watched"),
    ("PORTCALL_CANARY_BIN", ""),
    ("PORTCALL_CANARY_EVERY_S", "3600"),
    ("PORTCALL_NODE_FREE_MIB", "1024"),
    ("PORTCALL_QUARANTINE", ""),
    ("PORTCALL_QUARANTINE_MIB", "20480"),
    ("PORTCALL_QUARANTINE_UNPACKED_MIB", "2048"),
    ("PORTCALL_BEAT_MS", "10000"),
    ("PORTCALL_STALL_MS", "20000"),
    ("PORTCALL_LEASE_MS", "30000"),
    ("PORTCALL_SUSPECT_LOSSES", "2"),
];

/// Variables of builds for fault tests and of the scripts: allowed, not read here.
const ELSEWHERE: &[&str] = &[
    "PORTCALL_HOLD_AT",
    "PORTCALL_HOLD_UNTIL",
    "PORTCALL_REGISTRY",
    "PORTCALL_BIN",
    "PORTCALL_STATIC_BIN",
];
const ELSEWHERE_PREFIXES: &[&str] = &["PORTCALL_TEST_", "PORTCALL_STACK_", "PORTCALL_IMAGE_"];

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The variable.
    pub variable: String,
    /// What is wrong with it.
    pub message: String,
}

/// The mistakes of a process's settings, all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}",
    .0.iter().map(|m| format!("{}: {}", m.variable, m.message)).collect::<Vec<_>>().join("\n")
)]
pub struct InvalidSettings(pub Vec<Mistake>);

/// Reads settings by type and collects the mistakes.
#[derive(Debug)]
pub struct Reader {
    given: BTreeMap<String, String>,
    mistakes: RefCell<Vec<Mistake>>,
    shown: RefCell<Vec<(String, String)>>,
}

impl Reader {
    /// Reads from the process's environment and, if it names one, from a file.
    #[must_use]
    pub fn from_environment() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        let given = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        Self::from_map(given)
    }

    /// Reads from a map, as tests do.
    #[must_use]
    pub fn from_map(mut given: BTreeMap<String, String>) -> Self {
        let mut mistakes = Vec::new();
        if let Some(path) = given.get("PORTCALL_CONFIG_FILE").cloned() {
            match file(&path) {
                Ok(values) => {
                    for (name, value) in values {
                        given.entry(name).or_insert(value);
                    }
                }
                Err(message) => {
                    let variable = "PORTCALL_CONFIG_FILE".to_owned();
                    mistakes.push(Mistake { variable, message });
                }
            }
        }
        for name in given.keys() {
            let known = ALL.iter().any(|(n, _)| n == name)
                || ELSEWHERE.contains(&name.as_str())
                || ELSEWHERE_PREFIXES.iter().any(|p| name.starts_with(p));
            if !known {
                let message = "there is no such setting".to_owned();
                mistakes.push(Mistake { variable: name.clone(), message });
            }
        }
        Self { given, mistakes: RefCell::new(mistakes), shown: RefCell::default() }
    }

    fn wrong(&self, variable: &str, message: impl Into<String>) {
        let mistake = Mistake { variable: variable.to_owned(), message: message.into() };
        self.mistakes.borrow_mut().push(mistake);
    }

    fn raw(&self, variable: &'static str) -> String {
        let default = ALL.iter().find(|(n, _)| *n == variable).map_or("", |(_, d)| *d);
        debug_assert!(ALL.iter().any(|(n, _)| *n == variable), "{variable} is not listed");
        let value = self.given.get(variable).filter(|v| !v.is_empty());
        let value = value.map_or_else(|| default.to_owned(), String::clone);
        self.shown.borrow_mut().push((variable.to_owned(), without_secret(&value)));
        value
    }

    /// All that was given, as it was given; for handing it on to another program.
    #[must_use]
    pub fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// A setting as text.
    pub fn text(&self, variable: &'static str) -> String {
        self.raw(variable)
    }

    /// A setting that may be left out.
    pub fn optional(&self, variable: &'static str) -> Option<String> {
        Some(self.raw(variable)).filter(|v| !v.is_empty())
    }

    /// A setting of a type that reads itself. A value that is not one is noted, and `fallback`
    /// stands in until [`Self::finish`] refuses.
    pub fn parsed<T: FromStr>(&self, variable: &'static str, fallback: T) -> T
    where
        T::Err: Display,
    {
        let value = self.raw(variable);
        value.parse().unwrap_or_else(|e| {
            self.wrong(variable, format!("`{}`: {e}", without_secret(&value)));
            fallback
        })
    }

    /// A whole number within bounds.
    pub fn number<T>(&self, variable: &'static str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
        T::Err: Display,
    {
        let value = self.raw(variable);
        let (low, high) = (*range.start(), *range.end());
        match value.parse::<T>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.wrong(
                    variable,
                    format!("`{value}` is not a whole number from {low} to {high}"),
                );
                low
            }
        }
    }

    /// A time in milliseconds within bounds.
    pub fn millis(&self, variable: &'static str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(variable, range))
    }

    /// One of some words.
    pub fn one_of<T: Copy>(&self, variable: &'static str, words: &[(&str, T)], fallback: T) -> T {
        let value = self.raw(variable);
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => *meaning,
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.wrong(variable, format!("`{value}` is not one of {}", words.join(", ")));
                fallback
            }
        }
    }

    /// A list of values, separated by commas.
    pub fn list<T: FromStr>(&self, variable: &'static str) -> Vec<T>
    where
        T::Err: Display,
    {
        let value = self.raw(variable);
        let mut out = Vec::new();
        for part in value.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match part.parse() {
                Ok(value) => out.push(value),
                Err(e) => self.wrong(variable, format!("`{part}`: {e}")),
            }
        }
        out
    }

    /// Notes a contradiction between settings.
    pub fn contradiction(&self, variable: &str, message: &str) {
        self.wrong(variable, message);
    }

    /// What was read, for the log, without secrets; or every mistake.
    ///
    /// # Errors
    /// Every mistake that was noted.
    pub fn finish(self) -> Result<Vec<(String, String)>, InvalidSettings> {
        let mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            Ok(self.shown.into_inner())
        } else {
            Err(InvalidSettings(mistakes))
        }
    }
}

fn file(path: &str) -> Result<BTreeMap<String, String>, String> {
    let source = config::File::new(path, config::FileFormat::Toml);
    let read = config::Config::builder().add_source(source).build().map_err(|e| e.to_string())?;
    let values: BTreeMap<String, config::Value> =
        read.try_deserialize().map_err(|e| format!("{path}: {e}"))?;
    let mut out = BTreeMap::new();
    for (key, value) in values {
        let text = value.into_string().map_err(|e| format!("{path}: {key}: {e}"))?;
        out.insert(format!("{PREFIX}{}", key.to_uppercase()), text);
    }
    Ok(out)
}

/// A value without the password of an address in it.
fn without_secret(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => value.to_owned(),
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives as `tracing_subscriber::EnvFilter` reads them, such as `info,portcall_api=debug`.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

impl LogSettings {
    /// Takes them from a reader.
    #[must_use]
    pub fn read(reader: &Reader) -> Self {
        let filter = reader.text("PORTCALL_LOG");
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            reader.contradiction("PORTCALL_LOG", &format!("`{filter}`: {error}"));
        }
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = reader.one_of("PORTCALL_LOG_FORMAT", &formats, LogFormat::Text);
        Self { filter, format }
    }
}

/// What both processes need.
#[derive(Clone, Debug)]
pub struct Common {
    /// How to reach MongoDB.
    pub mongodb_uri: String,
    /// The database.
    pub database: String,
    /// What is logged.
    pub log: LogSettings,
    /// Where traces go.
    pub traces: TraceSettings,
    /// Registries that are spoken to in plain HTTP, beside those on loopback.
    pub http_registries: Vec<crate::domain::image::RegistryHost>,
    /// Registries that may have an address that is not on the internet, beside those.
    pub private_registries: Vec<crate::domain::image::RegistryHost>,
}

impl Common {
    /// Takes them from a reader.
    #[must_use]
    pub fn read(reader: &Reader) -> Self {
        let uri = reader.text("PORTCALL_MONGODB_URI");
        if !(uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://")) {
            reader.wrong("PORTCALL_MONGODB_URI", "it must begin with mongodb:// or mongodb+srv://");
        } else if crate::store::check_address(&uri).is_err() {
            // The driver's words may quote the address, and with it a password.
            let message = "it is not an address such as mongodb://host:27017/?replicaSet=rs";
            reader.wrong("PORTCALL_MONGODB_URI", message);
        }
        let database = reader.text("PORTCALL_MONGODB_DATABASE");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if database.len() > 38 || !database.chars().all(plain) {
            let message = "expected at most 38 letters, digits, - and _";
            reader.wrong("PORTCALL_MONGODB_DATABASE", message);
        }
        Self {
            mongodb_uri: uri,
            database,
            log: LogSettings::read(reader),
            traces: TraceSettings::read(reader),
            http_registries: reader.list("PORTCALL_HTTP_REGISTRIES"),
            private_registries: reader.list("PORTCALL_PRIVATE_REGISTRIES"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(given: &[(&str, &str)]) -> Reader {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Reader::from_map(given.iter().map(own).collect())
    }

    #[test]
    fn every_mistake_is_told_with_its_variable() {
        let reader = reader(&[
            ("PORTCALL_SLOTS", "many"),
            ("PORTCALL_LOG_FORMAT", "xml"),
            ("PORTCALL_SLOT", "2"),
        ]);
        let _: u32 = reader.number("PORTCALL_SLOTS", 1..=64);
        reader.one_of("PORTCALL_LOG_FORMAT", &[("text", 1), ("json", 2)], 1);
        let mistakes = reader.finish().unwrap_err().0;
        let variables: Vec<&str> = mistakes.iter().map(|m| m.variable.as_str()).collect();
        assert_eq!(variables, ["PORTCALL_SLOT", "PORTCALL_SLOTS", "PORTCALL_LOG_FORMAT"]);
    }

    #[test]
    fn bounds_are_exact() {
        for (value, good) in [("0", false), ("1", true), ("64", true), ("65", false)] {
            let reader = reader(&[("PORTCALL_SLOTS", value)]);
            let _: u32 = reader.number("PORTCALL_SLOTS", 1..=64);
            assert_eq!(reader.finish().is_ok(), good, "{value}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let uri = "mongodb://user:hunter2@db.test/?replicaSet=rs";
        let reader = reader(&[("PORTCALL_MONGODB_URI", uri)]);
        assert_eq!(reader.text("PORTCALL_MONGODB_URI"), uri);
        let shown = reader.finish().unwrap();
        assert_eq!(shown[0].1, "mongodb://…@db.test/?replicaSet=rs");
    }

    #[test]
    fn an_address_that_is_none_is_told_without_its_password() {
        for bad in ["mongodb://", "mongodb://u:hunter2@h:99999/", "http://h", "mongodb://h/?w=-3"] {
            let reader = reader(&[("PORTCALL_MONGODB_URI", bad)]);
            let _ = Common::read(&reader);
            let told = reader.finish().expect_err(bad).to_string();
            assert!(told.contains("PORTCALL_MONGODB_URI") && !told.contains("hunter2"), "{told}");
        }
        let reader = reader(&[("PORTCALL_MONGODB_URI", "mongodb://u:p@a:1,b:2/?replicaSet=rs")]);
        let _ = Common::read(&reader);
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let path = std::env::temp_dir().join(format!("portcall-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, "slots = 7\nlog = \"debug\"\n").unwrap();
        let given = [("PORTCALL_CONFIG_FILE", path.to_str().unwrap()), ("PORTCALL_LOG", "warn")];
        let reader = reader(&given);
        assert_eq!(reader.number::<u32>("PORTCALL_SLOTS", 1..=64), 7);
        assert_eq!(reader.text("PORTCALL_LOG"), "warn");
        std::fs::remove_file(path).unwrap();
        assert!(reader.finish().is_ok());
    }
}
