//! The settings of the api.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use portcall_shared::{
    domain::ids::EventSlug,
    outbound::OwnHost,
    seal::Sealer,
    settings::{Common, InvalidSettings, Reader},
};
use url::Url;

use crate::{
    certificates::settings::{Plain, Tls, sealer, tls},
    cors::Origin,
    live::Caps,
};

/// How much one may ask in a minute; 0 is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Submissions from one address.
    pub per_address: u32,
    /// Submissions of one participant.
    pub per_participant: u32,
    /// Other requests from one address.
    pub reads: u32,
}

/// Whether every connection begins with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    Off,
    /// Each does, and only trusted proxies may make one.
    On,
}

/// Everything that the api is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What every process needs.
    pub common: Common,
    /// Where the public side listens.
    pub addr: SocketAddr,
    /// Where the public side answers the little that it does in plain HTTP beside TLS.
    pub plain_addr: Option<SocketAddr>,
    /// Most connections at once.
    pub connections: usize,
    /// Most of them from one address.
    pub connections_per_address: usize,
    /// Whether balancers name whom they speak for.
    pub proxy_protocol: ProxyProtocol,
    /// Where the operators' side listens.
    pub ops_addr: SocketAddr,
    /// How the world reaches the public side; without a slash at the end.
    pub public_url: String,
    /// Whether the public side speaks TLS, and with which certificate.
    pub tls: Tls,
    /// Seals what must not lie open in the database.
    pub sealer: Option<Sealer>,
    /// Where the page's files are.
    pub web_dir: PathBuf,
    /// The event of the 2016 contract.
    pub competition_event: Option<EventSlug>,
    /// How long admission may take inside a POST.
    pub admission_budget: Duration,
    /// Hosts that webhooks may lead to wherever they are.
    pub private_webhooks: Vec<OwnHost>,
    /// The balancers whose word on who asks is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// How much one may ask.
    pub rates: RateSettings,
    /// Whose pages may ask from their visitors' browsers.
    pub cors_origins: Vec<Origin>,
    /// How many live streams may be open.
    pub streams: Caps,
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
        let plain_addr = plain_addr(&reader, [addr, ops_addr]);
        let trusted_proxies: Vec<IpNet> = reader.list("PORTCALL_TRUSTED_PROXIES");
        let beside = if plain_addr.is_some() { Plain::Listens } else { Plain::None };
        let public_url = public_url(&reader);
        let sealer = sealer(&reader);
        let tls = tls(&reader, &public_url, sealer.as_ref(), beside);
        let settings = Self {
            common,
            addr,
            plain_addr,
            ops_addr,
            connections: reader.number("PORTCALL_API_CONNECTIONS", 16..=1_000_000),
            connections_per_address: reader
                .number("PORTCALL_API_CONNECTIONS_PER_ADDRESS", 1..=1_000_000),
            proxy_protocol: proxy_protocol(&reader, &trusted_proxies),
            public_url,
            tls,
            sealer,
            web_dir: PathBuf::from(reader.text("PORTCALL_WEB_DIR")),
            competition_event: slug(&reader),
            admission_budget: reader.millis("PORTCALL_ADMISSION_BUDGET_MS", 50..=10_000),
            private_webhooks: reader.list("PORTCALL_PRIVATE_WEBHOOKS"),
            trusted_proxies,
            rates: rates(&reader),
            cors_origins: reader.list("PORTCALL_CORS_ORIGINS"),
            streams: Caps {
                all: reader.number("PORTCALL_STREAMS", 1..=1_000_000),
                address: reader.number("PORTCALL_STREAMS_PER_ADDRESS", 1..=1_000_000),
            },
            drain: reader.millis("PORTCALL_API_DRAIN_MS", 0..=60_000),
            grace: reader.millis("PORTCALL_API_GRACE_MS", 0..=120_000),
        };
        let shown = reader.finish()?;
        Ok((settings, shown))
    }
}

fn plain_addr(reader: &Reader, others: [SocketAddr; 2]) -> Option<SocketAddr> {
    const NAME: &str = "PORTCALL_API_PLAIN_ADDR";
    let text = reader.optional(NAME)?;
    match text.parse() {
        Ok(addr) => {
            if others.contains(&addr) && addr.port() != 0 {
                reader.contradiction(NAME, "something else listens there");
            }
            Some(addr)
        }
        Err(error) => {
            reader.contradiction(NAME, &format!("`{text}`: {error}"));
            None
        }
    }
}

fn proxy_protocol(reader: &Reader, trusted: &[IpNet]) -> ProxyProtocol {
    const NAME: &str = "PORTCALL_PROXY_PROTOCOL";
    let words = [("off", ProxyProtocol::Off), ("on", ProxyProtocol::On)];
    let chosen = reader.one_of(NAME, &words, ProxyProtocol::Off);
    if chosen == ProxyProtocol::On && trusted.is_empty() {
        reader.contradiction(NAME, "nobody may come: PORTCALL_TRUSTED_PROXIES is empty");
    }
    chosen
}

fn rates(reader: &Reader) -> RateSettings {
    RateSettings {
        per_address: reader.number("PORTCALL_RATE_PER_ADDRESS", 0..=1_000_000),
        per_participant: reader.number("PORTCALL_RATE_PER_PARTICIPANT", 0..=1_000_000),
        reads: reader.number("PORTCALL_RATE_READS", 0..=1_000_000),
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
            ("PORTCALL_TRUSTED_PROXIES", "10.0.0.0/40"),
            ("PORTCALL_RATE_PER_ADDRESS", "1000001"),
            ("PORTCALL_RATE_PER_PARTICIPANT", "-1"),
            ("PORTCALL_RATE_READS", "many"),
            ("PORTCALL_CORS_ORIGINS", "*"),
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
                "PORTCALL_CORS_ORIGINS",
                "PORTCALL_PUBLIC_URL",
                "PORTCALL_RATE_PER_ADDRESS",
                "PORTCALL_RATE_PER_PARTICIPANT",
                "PORTCALL_RATE_READS",
                "PORTCALL_TRUSTED_PROXIES",
            ]
        );
    }

    #[test]
    fn a_slash_at_the_end_is_not_doubled() {
        let settings = read(&[("PORTCALL_PUBLIC_URL", "https://portcall.example/")]).unwrap();
        assert_eq!(settings.public_url, "https://portcall.example");
    }

    #[test]
    fn how_connections_come_is_checked() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.connections, settings.connections_per_address), (10_000, 512));
        assert_eq!((settings.plain_addr, settings.proxy_protocol), (None, ProxyProtocol::Off));
        for (name, value, good) in [
            ("PORTCALL_API_CONNECTIONS", "15", false),
            ("PORTCALL_API_CONNECTIONS", "16", true),
            ("PORTCALL_API_CONNECTIONS", "1000000", true),
            ("PORTCALL_API_CONNECTIONS", "1000001", false),
            ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "0", false),
            ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "1", true),
            ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "1000000", true),
            ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "1000001", false),
            ("PORTCALL_API_PLAIN_ADDR", "127.0.0.1:8081", true),
            ("PORTCALL_API_PLAIN_ADDR", "127.0.0.1:8080", false),
            ("PORTCALL_API_PLAIN_ADDR", "127.0.0.1:9080", false),
            ("PORTCALL_API_PLAIN_ADDR", "localhost", false),
            ("PORTCALL_PROXY_PROTOCOL", "off", true),
            ("PORTCALL_PROXY_PROTOCOL", "on", false),
            ("PORTCALL_PROXY_PROTOCOL", "v2", false),
        ] {
            let wrong = read(&[(name, value)]).err().unwrap_or_default();
            let expected = if good { vec![] } else { vec![name.to_owned()] };
            assert_eq!(wrong, expected, "{name}={value}");
        }
        let on = [("PORTCALL_PROXY_PROTOCOL", "on"), ("PORTCALL_TRUSTED_PROXIES", "10.0.0.0/8")];
        assert_eq!(read(&on).unwrap().proxy_protocol, ProxyProtocol::On);
    }
}
