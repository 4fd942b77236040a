//! Who came where he has no business.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{DOWN, Lab, text};

/// A packet that was noticed, each kind once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// The host that noticed it; `x` takes what was meant for somewhere else.
    pub at: String,
    /// Whose address it came from: a container's traffic may carry its host's.
    pub from: String,
    /// Where it was meant for.
    pub to: String,
    /// `tcp`, `udp`, or the protocol's name or number.
    pub protocol: String,
    /// The port, 0 where the protocol has none.
    pub port: u16,
}

impl Lab {
    /// Who came since the lab came up, or since [`Lab::forget_lures`].
    ///
    /// # Errors
    /// When the lab does not say.
    pub async fn touched(&self) -> Result<Vec<Touch>> {
        let told = self.script(&["lures"], DOWN).await?;
        let mut touched = told.lines().map(Touch::read).collect::<Result<Vec<_>>>()?;
        touched.sort();
        Ok(touched)
    }

    /// Begins anew.
    ///
    /// # Errors
    /// When the lab does not let it.
    pub async fn forget_lures(&self) -> Result<()> {
        self.script(&["lures", "--forget"], DOWN).await.map(drop)
    }
}

impl Touch {
    fn read(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            at: text(&value["at"])?,
            from: text(&value["from"])?,
            to: text(&value["to"])?,
            protocol: text(&value["protocol"])?,
            port: port.context("a port that is none")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_lures_is_read() {
        let line = r#"{"at":"x","from":"10.80.0.21","to":"8.8.8.8","protocol":"udp","port":53}"#;
        let touch = Touch::read(line).unwrap();
        assert_eq!((touch.at.as_str(), touch.to.as_str(), touch.port), ("x", "8.8.8.8", 53));
        assert!(Touch::read(&line.replace("53", "65536")).is_err());
        assert!(Touch::read("{}").is_err());
    }
}
