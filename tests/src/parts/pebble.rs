//! A real certificate authority that speaks ACME: Let's Encrypt's Pebble, with names of the test's own.
//! It looks for proofs at the ports of the apis, and issues for as long as the test wishes.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;

use super::{names::Names, net, process::Process, tls::Made};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where it looks for proofs, and how long its certificates are good.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The port of HTTP-01.
    pub http: u16,
    /// The port of TLS-ALPN-01.
    pub tls: u16,
    /// For how long a certificate is good.
    pub good: Duration,
}

/// A running Pebble.
#[derive(Debug)]
pub struct Pebble {
    /// The process.
    pub process: Process,
    /// Who knows where names lead.
    pub names: Names,
    address: SocketAddr,
    management: SocketAddr,
    ca: PathBuf,
}

impl Pebble {
    /// Starts one with its files in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(dir: &Path, plan: Plan) -> Result<Self> {
        let (address, management) = (net::free_address()?, net::free_address()?);
        let own = Made::new(&["127.0.0.1"], -60, 86_400)?;
        let (ca, key) = (dir.join("pebble.pem"), dir.join("pebble.key"));
        fs::write(&ca, &own.chain)?;
        fs::write(&key, &own.key)?;
        let config = json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": &ca,
            "privateKey": &key,
            "httpPort": plan.http,
            "tlsPort": plan.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": plan.good.as_secs(),
        } });
        let file = dir.join("pebble.json");
        fs::write(&file, config.to_string())?;
        let names = Names::start().await?;
        let server = names.address().to_string();
        let file = file.to_str().context("a path that is not UTF-8")?;
        let arguments = ["-config", file, "-dnsserver", &server];
        // It looks at once, and each order anew; that it refuses every twentieth nonce stays.
        let environment = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let program = Path::new("pebble");
        let process = Process::start("pebble", program, &arguments, &environment, dir)?;
        let pebble = Self { process, names, address, management, ca };
        let asked = wait::until("Pebble answers", PATIENCE, || async {
            Ok(pebble.root().await.ok().map(drop))
        });
        asked.await.with_context(|| pebble.process.log())?;
        Ok(pebble)
    }

    /// The settings by which an api gets its certificates here.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("PORTCALL_TLS", "acme".to_owned()),
            ("PORTCALL_ACME_DIRECTORY", format!("https://{}/dir", self.address)),
            ("PORTCALL_ACME_CA_FILE", self.ca.display().to_string()),
        ]
    }

    /// The root of what it issues, which is a new one at each start.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn root(&self) -> Result<String> {
        let own = reqwest::Certificate::from_pem(&fs::read(&self.ca)?)?;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([own]).build()?;
        let answer = client.get(format!("https://{}/roots/0", self.management)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// How many certificates it issued.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.process.log().matches("Issued certificate serial").count()
    }

    /// How many orders it was asked for.
    #[must_use]
    pub fn ordered(&self) -> usize {
        self.process.log().matches("Added order ").count()
    }
}
