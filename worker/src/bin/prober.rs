//! The prober: asks strangers' containers on behalf of a worker, over stdin and stdout.
//!
//! `prober --within 10.213.4.0/28 --except 10.213.4.1`. It opens no port, reads no file and no
//! environment, and holds nothing worth stealing. See `portcall_worker::probe`.
//!
//! `prober --anchor` asks nobody anything: it keeps a slot's network on a machine, and says on stdout
//! how that machine is. See `portcall_worker::probe::anchor`.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
    process::ExitCode,
};

use portcall_worker::probe::{
    address::{AddressSet, NetworkFault},
    anchor,
    serve::serve,
};

const HELP: &str = "\
usage: prober --within CIDR [--except ADDRESS]...
       prober --anchor

Reads one JSON request per line from stdin and writes one JSON observation per line to stdout,
until stdin ends.

  --within CIDR     the IPv4 network whose addresses may be dialled; no other is
  --except ADDRESS  an address in it that may not be dialled (its gateway); may be repeated
  --anchor          reads nothing; says every second how the machine is
  --help            shows this
  --version         shows the version
";

const USAGE: u8 = 64;
const GONE: u8 = 1;
const INTERNAL: u8 = 70;

enum Wish {
    Help,
    Version,
    Serve(AddressSet),
    Anchor,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Misuse {
    #[error("`{0}` needs a value")]
    NoValue(&'static str),
    #[error("`{0}` is not an argument of the prober")]
    Unknown(String),
    #[error("`--within` is missing")]
    NoNetwork,
    #[error("`--within` is there twice")]
    TwoNetworks,
    #[error("`--anchor` stands alone")]
    NotAlone,
    #[error("`--within`: {0}")]
    Network(#[from] NetworkFault),
    #[error("`--except {0}` is not an IPv4 address")]
    Address(String),
}

fn main() -> ExitCode {
    match wish(std::env::args().skip(1)) {
        Ok(Wish::Help) => say(HELP),
        Ok(Wish::Version) => say(concat!("prober ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Wish::Serve(allowed)) => run(serve(tokio::io::stdin(), tokio::io::stdout(), allowed)),
        Ok(Wish::Anchor) => run(anchor::stay(tokio::io::stdout())),
        Err(misuse) => {
            complain(&misuse.to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn run(work: impl Future<Output = io::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("starting: {error}"));
            return ExitCode::from(INTERNAL);
        }
    };
    let served = runtime.block_on(work);
    // A read of stdin may be under way on its thread; nobody waits for it.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("the worker is gone: {error}"));
            ExitCode::from(GONE)
        }
    }
}

fn wish(arguments: impl Iterator<Item = String>) -> Result<Wish, Misuse> {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|first| first == "--anchor").is_some() {
        return if arguments.next().is_none() { Ok(Wish::Anchor) } else { Err(Misuse::NotAlone) };
    }
    let (mut within, mut except) = (None::<AddressSet>, Vec::new());
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        match name {
            "--help" | "-h" => return Ok(Wish::Help),
            "--version" | "-V" => return Ok(Wish::Version),
            "--within" => {
                let value =
                    value.or_else(|| arguments.next()).ok_or(Misuse::NoValue("--within"))?;
                if within.replace(value.parse()?).is_some() {
                    return Err(Misuse::TwoNetworks);
                }
            }
            "--except" => {
                let value =
                    value.or_else(|| arguments.next()).ok_or(Misuse::NoValue("--except"))?;
                except.push(value.parse::<Ipv4Addr>().map_err(|_| Misuse::Address(value))?);
            }
            _ => return Err(Misuse::Unknown(argument)),
        }
    }
    let within = within.ok_or(Misuse::NoNetwork)?;
    Ok(Wish::Serve(except.into_iter().fold(within, AddressSet::except)))
}

fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(GONE),
    }
}

/// On stderr, which the worker keeps apart; should it be closed, there is nobody to tell.
fn complain(sentence: &str) {
    let _ = writeln!(io::stderr(), "prober: {sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Wish, Misuse> {
        wish(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn a_network_and_its_exceptions_are_read() {
        let arguments = ["--within=10.213.4.0/28", "--except", "10.213.4.1", "--except=10.213.4.2"];
        let Ok(Wish::Serve(set)) = read(&arguments) else { panic!() };
        assert!(set.allows([10, 213, 4, 3].into()));
        assert!(!set.allows([10, 213, 4, 1].into()));
        assert!(!set.allows([10, 213, 4, 2].into()));
    }

    #[test]
    fn an_anchor_is_told_nothing_more() {
        assert!(matches!(read(&["--anchor"]), Ok(Wish::Anchor)));
    }

    #[test]
    fn misuse_is_named() {
        for (arguments, misuse) in [
            (&[][..], Misuse::NoNetwork),
            (&["--within"], Misuse::NoValue("--within")),
            (&["--within", "10.0.0.0/8", "--within=10.0.0.0/8"], Misuse::TwoNetworks),
            (&["--within", "10.0.0.0"], Misuse::Network(NetworkFault::Form)),
            (&["--within=10.0.0.0/8", "--except", "::1"], Misuse::Address("::1".into())),
            (&["serve"], Misuse::Unknown("serve".into())),
            (&["--anchor", "--within=10.0.0.0/8"], Misuse::NotAlone),
            (&["--within=10.0.0.0/8", "--anchor"], Misuse::Unknown("--anchor".into())),
        ] {
            assert_eq!(read(arguments).err(), Some(misuse));
        }
    }
}
