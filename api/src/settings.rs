//! The settings of the api.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use portcall_shared::{
    domain::ids::EventSlug,
    settings::{Common, InvalidSettings, Reader},
};
use url::Url;

/// Everything that the api is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What every process needs.
    pub common: Common,
    /// Where the public side listens.
    pub addr: SocketAddr,
    /// Where the operators' side listens.
    pub ops_addr: SocketAddr,
    /// How the world reaches the public side; without a slash at the end.
    pub public_url: String,
    /// Where the page's files are.
    pub web_dir: PathBuf,
    /// The event of the 2016 contract.
    pub competition_event: Option<EventSlug>,
    /// How long admission may take inside a POST.
    pub admission_budget: Duration,
    /// How long it goes on accepting after it was told to stop, for balancers to learn of it.
    pub drain: Duration,
    /// How long open requests may take to end after that.
    pub grace: Duration,
}

impl Settings {
    /// Reads them; beside them what is shown in the log.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn read(reader: Reader) -> Result<(Self, Vec<(String, String)>), InvalidSettings> {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let common = Common::read(&reader);
        let addr = reader.parsed("PORTCALL_API_ADDR", nowhere);
        let ops_addr = reader.parsed("PORTCALL_API_OPS_ADDR", nowhere);
        if addr == ops_addr && addr.port() != 0 {
            let message = "it is PORTCALL_API_ADDR, and the public must not reach it";
            reader.contradiction("PORTCALL_API_OPS_ADDR", message);
        }
        let settings = Self {
            common,
            addr,
            ops_addr,
            public_url: public_url(&reader),
            web_dir: PathBuf::from(reader.text("PORTCALL_WEB_DIR")),
            competition_event: slug(&reader),
            admission_budget: reader.millis("PORTCALL_ADMISSION_BUDGET_MS", 50..=10_000),
            drain: reader.millis("PORTCALL_API_DRAIN_MS", 0..=60_000),
            grace: reader.millis("PORTCALL_API_GRACE_MS", 0..=120_000),
        };
        let shown = reader.finish()?;
        Ok((settings, shown))
    }
}

fn slug(reader: &Reader) -> Option<EventSlug> {
    let text = reader.optional("PORTCALL_COMPETITION_EVENT")?;
    let slug = text.parse();
    if let Err(error) = &slug {
        let message = format!("`{text}`: {error}");
        reader.contradiction("PORTCALL_COMPETITION_EVENT", &message);
    }
    slug.ok()
}

fn public_url(reader: &Reader) -> String {
    const NAME: &str = "PORTCALL_PUBLIC_URL";
    let text = reader.text(NAME);
    let good = Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !good {
        reader.contradiction(NAME, "expected an address such as https://portcall.example");
    }
    text.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let reader = Reader::from_map(given.iter().map(own).collect::<BTreeMap<_, _>>());
        let names = |e: InvalidSettings| e.0.into_iter().map(|m| m.variable).collect();
        Settings::read(reader).map(|(settings, _)| settings).map_err(names)
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.public_url, "http://127.0.0.1:8080");
        assert_eq!(settings.admission_budget, Duration::from_secs(2));
        assert!(settings.grace > crate::layers::HELD, "whoever is held is answered");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = read(&[
            ("PORTCALL_PUBLIC_URL", "ftp://x"),
            ("PORTCALL_COMPETITION_EVENT", "Not A Slug"),
            ("PORTCALL_API_ADDR", "127.0.0.1:9080"),
            ("PORTCALL_ADMISSION_BUDGET_MS", "1"),
            ("PORTCALL_API_DRAIN_MS", "60001"),
            ("PORTCALL_API_GRACE_MS", "120001"),
        ]);
        let mut wrong = wrong.unwrap_err();
        wrong.sort();
        assert_eq!(
            wrong,
            [
                "PORTCALL_ADMISSION_BUDGET_MS",
                "PORTCALL_API_DRAIN_MS",
                "PORTCALL_API_GRACE_MS",
                "PORTCALL_API_OPS_ADDR",
                "PORTCALL_COMPETITION_EVENT",
                "PORTCALL_PUBLIC_URL",
            ]
        );
    }

    #[test]
    fn a_slash_at_the_end_is_not_doubled() {
        let settings = read(&[("PORTCALL_PUBLIC_URL", "https://portcall.example/")]).unwrap();
        assert_eq!(settings.public_url, "https://portcall.example");
    }
}
