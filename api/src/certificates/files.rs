//! A certificate and its key in files that somebody else renews: read at start, watched after that.
//!
//! No signal is needed. What changed and then stood still for one look is judged whole; if anything is
//! wrong with it, the pair in use stays, which is said once for each change. Files that are written one
//! after the other are therefore not judged half-way.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustls_pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{
    pair::{Pair, Refused},
    resolver::Resolver,
};
use crate::problem::chain;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The longest file that is read; a chain of certificates has a few thousand bytes.
const LONGEST: u64 = 256 * 1024;

/// Where the pair is, and for which name it must be.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain of certificates, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The host of `PORTCALL_PUBLIC_URL`.
    pub host: ServerName<'static>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct FileFault {
    /// The variable that names the file.
    pub variable: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What it is.
    #[source]
    pub source: Fault,
}

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// What is in it is not used.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// One of the two files.
#[derive(Clone, Copy)]
enum Which {
    Certificate,
    Key,
}

/// What is in the two files.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn mark(&self) -> Mark {
        let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
        Mark::Of(hash(&self.certificate), hash(&self.key))
    }
}

/// What was found at a look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Unreadable,
    Of([u8; 32], [u8; 32]),
}

impl Files {
    /// Reads the pair, and checks it whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, now: OffsetDateTime) -> Result<Pair, FileFault> {
        self.check(&self.contents()?, now)
    }

    fn contents(&self) -> Result<Contents, FileFault> {
        let read =
            |path, which| read(path).map_err(|error| self.fault(which, Fault::Unreadable(error)));
        let certificate = read(&self.certificate, Which::Certificate)?;
        Ok(Contents { certificate, key: read(&self.key, Which::Key)? })
    }

    fn check(&self, contents: &Contents, now: OffsetDateTime) -> Result<Pair, FileFault> {
        let checked = Pair::from_pem(&contents.certificate, &contents.key).and_then(|pair| {
            pair.check_time(now)?;
            pair.check_name(&self.host)?;
            Ok(pair)
        });
        checked.map_err(|refused| {
            let which = if refused.is_of_key() { Which::Key } else { Which::Certificate };
            self.fault(which, refused.into())
        })
    }

    fn fault(&self, which: Which, source: Fault) -> FileFault {
        let (variable, path) = match which {
            Which::Certificate => ("PORTCALL_TLS_CERT_FILE", &self.certificate),
            Which::Key => ("PORTCALL_TLS_KEY_FILE", &self.key),
        };
        FileFault { variable, path: path.clone(), source }
    }

    /// Watches the files until the process is told to stop.
    pub(super) async fn keep(&self, resolver: &Resolver, stop: &CancellationToken) {
        let mut watch = Watch::default();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let files = self.clone();
            // Two small reads; a disk may still hang.
            let Ok(found) = tokio::task::spawn_blocking(move || files.contents()).await else {
                continue;
            };
            self.judge(found, &mut watch, resolver);
        }
    }

    /// Takes what was found into use, if it is new, stood still, and is good.
    fn judge(&self, found: Result<Contents, FileFault>, watch: &mut Watch, resolver: &Resolver) {
        let mark = found.as_ref().map_or(Mark::Unreadable, Contents::mark);
        if !watch.is_news(mark) {
            return;
        }
        match found.and_then(|contents| self.check(&contents, OffsetDateTime::now_utc())) {
            Ok(pair) => resolver.take(pair),
            Err(fault) => {
                metrics::counter!("portcall_tls_reloads_total", "outcome" => "refused")
                    .increment(1);
                tracing::error!(
                    variable = fault.variable,
                    error = chain(&fault),
                    "a new certificate is not used; the one before it stays"
                );
            }
        }
    }
}

/// What was seen before.
#[derive(Default)]
struct Watch {
    seen: Option<Mark>,
    judged: Option<Mark>,
}

impl Watch {
    /// Whether this is to be judged: it was there at the look before too, and was not judged yet. What
    /// was read at the start is judged once more, and is then no change.
    fn is_news(&mut self, mark: Mark) -> bool {
        let still = self.seen.replace(mark) == Some(mark);
        let news = still && self.judged != Some(mark);
        if news {
            self.judged = Some(mark);
        }
        news
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_still_is_judged_once() {
        let (one, other) = (Mark::Of([1; 32], [1; 32]), Mark::Of([1; 32], [2; 32]));
        let mut watch = Watch::default();
        let mut news = |mark| watch.is_news(mark);
        assert_eq!([news(one), news(one), news(one)], [false, true, false]);
        // Written one after the other: what is half-way is never judged.
        assert_eq!([news(other), news(one), news(one)], [false, false, false]);
        assert_eq!([news(other), news(other), news(other)], [false, true, false]);
        let gone = Mark::Unreadable;
        assert_eq!([news(gone), news(gone), news(gone)], [false, true, false]);
        // What was in use before is news again after something else was.
        assert_eq!([news(one), news(one)], [false, true]);
    }
}
