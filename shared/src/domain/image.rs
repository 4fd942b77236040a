//! Image references: the reference grammar of `distribution/reference`, stricter.
//!
//! Accepted is what a registry outside can be asked for: `name`, `name:tag`, `name@sha256:…`,
//! with or without a registry host. Refused, though the grammar has it: bare ids and names that an
//! engine takes for one (`sha256:…`), hosts by IPv6 literal, digests other than SHA-256, upper
//! case anywhere but in a tag.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::text::named;

/// Longest reference that is looked at, in bytes.
pub const MAX_REFERENCE: usize = 512;
/// Longest `host/path`, in bytes (distribution's `NameTotalLengthMax`).
pub const MAX_NAME: usize = 255;
/// Longest tag, in bytes (distribution's grammar).
pub const MAX_TAG: usize = 128;

/// Why a text is not an image reference. The message says what to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// Nothing there.
    #[error("the image name is empty")]
    Empty,
    /// Over a limit of length.
    #[error("the {part} is {length} bytes long; at most {limit} are allowed")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A character that cannot stand there.
    #[error("the character {} may not stand in the {part}", named(*character))]
    Character {
        /// Which part.
        part: &'static str,
        /// The character.
        character: char,
    },
    /// A URL instead of a name.
    #[error("write the image name without `{scheme}`")]
    Scheme {
        /// The scheme, with its colon.
        scheme: String,
    },
    /// The path of the name is not what the grammar has.
    #[error("`{component}` is not a valid part of an image name: {why}")]
    Component {
        /// The component.
        component: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The registry host is not one.
    #[error("`{host}` is not a valid registry host: {why}")]
    Host {
        /// The host as written.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The digest is not one.
    #[error("the digest must be `sha256:` and 64 characters of 0-9 and a-f")]
    Digest,
    /// The tag is not one.
    #[error("the tag is empty or begins with `.` or `-`")]
    Tag,
    /// An image id instead of a name.
    #[error("an image id is not enough: give the name that it was pushed under")]
    BareId,
}

/// A SHA-256 content digest, `sha256:` and 64 hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let hex = text.strip_prefix("sha256:").ok_or(InvalidImage::Digest)?;
        if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidImage::Digest)
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// A registry as it is written in references: a host with an optional port, lower case.
/// Docker Hub is `docker.io`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryHost(String);

impl RegistryHost {
    /// The text, `host` or `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `localhost` or an address in 127.0.0.0/8, which engines speak plain HTTP to.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.rsplit_once(':').map_or(self.0.as_str(), |(host, _)| host);
        host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|a| a.is_loopback())
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RegistryHost {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let invalid = |why| InvalidImage::Host { host: text.chars().take(80).collect(), why };
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if host.is_empty() || host.len() > 253 {
            return Err(invalid("expected 1 to 253 characters"));
        }
        for label in host.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(invalid("each part between dots has 1 to 63 characters"));
            }
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                return Err(invalid("only a-z, 0-9, - and . may stand in it"));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(invalid("a part may not begin or end with -"));
            }
        }
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if !digits || port.starts_with('0') || port.parse::<u16>().is_err() {
                return Err(invalid("the port is a number from 1 to 65535"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RegistryHost {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<RegistryHost> for String {
    fn from(host: RegistryHost) -> Self {
        host.0
    }
}

/// A reference to an image at a registry, normalised as engines do it: `alpine` is
/// `docker.io/library/alpine:latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    host: RegistryHost,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
    written: String,
}

impl ImageRef {
    /// Where it is kept.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// The repository at that registry, such as `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag: as written, or `latest` if neither tag nor digest was.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some("latest"),
            (None, Some(_)) => None,
        }
    }

    /// The digest, if it was written. It wins over a tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// As the participant wrote it.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Written out as engines understand it: with its registry, with `library/` where that is meant,
    /// and with the tag and digest that count.
    #[must_use]
    pub fn canonical(&self) -> String {
        let tag = self.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}/{}{tag}{digest}", self.host, self.path)
    }

    /// `host/path@digest`: what is pulled and run.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{}/{}@{digest}", self.host, self.path)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for ImageRef {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        precheck(text)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        if is_hex_id(rest) || (rest == "sha256") || rest.starts_with("sha256:") || rest.is_empty() {
            return Err(InvalidImage::BareId);
        }
        let (name, tag) = split_tag(rest)?;
        let (host, path) = split_host(name)?;
        for component in path.split('/') {
            check_component(component)?;
        }
        let path = if host.as_str() == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        // As engines count it: with the host and the `library/` that they add.
        let length = host.as_str().len() + 1 + path.len();
        if length > MAX_NAME {
            return Err(InvalidImage::TooLong {
                part: "name with its registry",
                length,
                limit: MAX_NAME,
            });
        }
        Ok(Self { host, path, tag: tag.map(str::to_owned), digest, written: text.to_owned() })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.written
    }
}

fn precheck(text: &str) -> Result<(), InvalidImage> {
    if text.trim().is_empty() {
        return Err(InvalidImage::Empty);
    }
    if text.len() > MAX_REFERENCE {
        let limit = MAX_REFERENCE;
        return Err(InvalidImage::TooLong { part: "image name", length: text.len(), limit });
    }
    if let Some((scheme, _)) = text.split_once(":/")
        && scheme.bytes().all(|b| b.is_ascii_graphic())
    {
        let scheme: String = scheme.chars().take(40).collect();
        return Err(InvalidImage::Scheme { scheme: scheme + ":/" });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    match text.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(InvalidImage::Character { part: "image name", character }),
        None => Ok(()),
    }
}

fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `host:5000/path:tag` → (`host:5000/path`, `tag`): a colon after the last slash begins a tag.
fn split_tag(text: &str) -> Result<(&str, Option<&str>), InvalidImage> {
    let last_slash = text.rfind('/').map_or(0, |at| at + 1);
    let Some(colon) = text[last_slash..].find(':').map(|at| last_slash + at) else {
        return Ok((text, None));
    };
    let (name, tag) = (&text[..colon], &text[colon + 1..]);
    if tag.len() > MAX_TAG {
        return Err(InvalidImage::TooLong { part: "tag", length: tag.len(), limit: MAX_TAG });
    }
    if tag.is_empty() || tag.starts_with(['.', '-']) {
        return Err(InvalidImage::Tag);
    }
    match tag.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        Some(character) => Err(InvalidImage::Character { part: "tag", character }),
        None => Ok((name, Some(tag))),
    }
}

/// As `distribution/reference` does it: the first part is a host if it has a `.` or `:` or is
/// `localhost`.
fn split_host(name: &str) -> Result<(RegistryHost, &str), InvalidImage> {
    let hub = || "docker.io".parse::<RegistryHost>();
    match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            let host: RegistryHost = first.parse()?;
            let host = if host.as_str() == "index.docker.io" { hub()? } else { host };
            Ok((host, path))
        }
        _ => Ok((hub()?, name)),
    }
}

/// `path-component` of the grammar: runs of `[a-z0-9]`, joined by `.`, `_`, `__` or dashes.
fn check_component(component: &str) -> Result<(), InvalidImage> {
    let invalid = |why| InvalidImage::Component { component: component.to_owned(), why };
    if component.is_empty() {
        return Err(invalid("there is a `/` too many"));
    }
    if component.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(invalid("it must be lower case"));
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if component.bytes().any(|b| !alphanumeric(b) && !b"._-".contains(&b)) {
        return Err(invalid("only a-z, 0-9, ., _ and - may stand in it"));
    }
    let bytes = component.as_bytes();
    if !alphanumeric(bytes[0]) || !alphanumeric(bytes[bytes.len() - 1]) {
        return Err(invalid("it must begin and end with a letter or digit"));
    }
    for separator in component.split(|c: char| c.is_ascii_alphanumeric()) {
        let dashes = separator.bytes().all(|b| b == b'-');
        if !(dashes || matches!(separator, "." | "_" | "__")) {
            return Err(invalid("parts are joined by one `.`, one or two `_`, or dashes"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
