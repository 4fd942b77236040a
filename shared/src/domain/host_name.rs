//! What a machine calls itself, as far as it is believed: a plain host name. A machine that strangers
//! took over may call itself anything, and names stand in logs, orders and operators' commands.

use std::{fmt, str::FromStr};

/// The longest name that a machine can have.
const LONGEST: usize = 63;

/// Letters, digits, dots and hyphens, at most 63 of them, the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// It is no plain host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plain host name")]
pub struct NoHostName;

impl HostName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.len() <= LONGEST && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(NoHostName)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_usual_name_is_taken_as_it_is() {
        let longest = "a".repeat(LONGEST);
        for name in
            ["g1", "portcall-g12", "1.example.test", "G", "4x4c0kdq7nq9v1f2m3b5z6y8w", &longest]
        {
            assert_eq!(name.parse::<HostName>().map(|it| it.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn whatever_else_it_says_is_none() {
        let longer = "a".repeat(LONGEST + 1);
        let endless = "a".repeat(1 << 20);
        for name in [
            "",
            " ",
            "x portcall-g1 portcall-g2",
            "g1\n",
            "\u{1b}[31mg1",
            "g1;reboot",
            "$(reboot)",
            "-g1",
            "--force",
            ".g1",
            "..",
            "g_1",
            "g/1",
            "gräder",
            "g1\0",
            &longer,
            &endless,
        ] {
            assert_eq!(name.parse::<HostName>(), Err(NoHostName), "{name:?}");
        }
    }
}
