//! Which version is deployed, and building its images.

use std::{fmt, io, path::Path, process::Stdio};

use tokio::process::Command;

use super::{say, variables::Variables};
use crate::failure::Failure;

/// How much of a commit's id names a version.
const SHORT: &str = "--short=12";
/// The longest tag of an image.
const LONGEST: usize = 128;

/// Whether what is in no commit may be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dirt {
    /// It is refused.
    Refused,
    /// It may, and the tag says so.
    Taken,
}

impl From<bool> for Dirt {
    fn from(taken: bool) -> Self {
        if taken { Self::Taken } else { Self::Refused }
    }
}

/// A version, by the tag of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.0)
    }
}

impl Version {
    /// The one that is given.
    pub(super) fn given(tag: &str) -> Result<Self, Failure> {
        let first = tag.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if first && tag.len() <= LONGEST && tag.chars().all(part) {
            return Ok(Self(tag.to_owned()));
        }
        Err(Failure::Usage(format!("--tag: `{tag}` is not the tag of an image")))
    }

    /// What is checked out where the stack's file is.
    pub(super) async fn of_checkout(stack: &Path, dirt: Dirt) -> Result<Self, Failure> {
        let revision = git(stack, &["rev-parse", SHORT, "HEAD"]).await?;
        let differs = git(stack, &["status", "--porcelain", "--untracked-files=all"]).await?;
        match (differs.is_empty(), dirt) {
            (true, _) => Self::given(&revision),
            (false, Dirt::Taken) => Self::given(&format!("{revision}-dirty")),
            (false, Dirt::Refused) => Err(Failure::Failed(uncommitted(&revision, &differs))),
        }
    }

    pub(super) fn tag(&self) -> &str {
        &self.0
    }
}

/// What is to be done about what `git status` lists. Nobody is told to commit a secret.
fn uncommitted(revision: &str, differs: &str) -> String {
    let path = |line: &str| line.get(3..).unwrap_or_default().trim_matches('"').to_owned();
    // What is in a commit already is no secret any more: our own sources may be called so.
    let new = |line: &str| line.starts_with("??") || line.starts_with('A');
    let (secret, other): (Vec<&str>, Vec<&str>) =
        differs.lines().partition(|line| new(line) && looks_secret(&path(line)));
    let mut told = Vec::new();
    if let Some(first) = secret.first() {
        let (count, first) = (secret.len(), path(first));
        told.push(format!(
            "what looks like secrets lies in the checkout ({count}: {first} …): move it to where no \
             commit takes it along, or have .gitignore name it"
        ));
    }
    if let Some(first) = other.first() {
        let (count, first) = (other.len(), first.trim());
        told.push(format!(
            "{count} files are not as commit {revision} has them ({first} …): commit them, or deploy \
             them as they are with --dirty"
        ));
    }
    told.join("\n")
}

/// Whether a file or a folder has the name of what nobody else is to read.
fn looks_secret(path: &str) -> bool {
    let words = ["secret", "passw", "token", "credential", "id_rsa", "id_ed25519"];
    let ends = [".env", ".pem", ".key", ".p12", ".pfx", ".tfstate", ".tfvars", ".kdbx"];
    path.split('/').any(|part| {
        let part = part.to_ascii_lowercase();
        words.iter().any(|word| part.contains(word)) || ends.iter().any(|end| part.ends_with(end))
    })
}

async fn git(stack: &Path, words: &[&str]) -> Result<String, Failure> {
    let folder = stack.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut command = Command::new("git");
    command.arg("-C").arg(folder.unwrap_or(Path::new("."))).args(words);
    let output = match command.stdin(Stdio::null()).output().await {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::Unavailable("git is missing; give --tag".to_owned()));
        }
        Err(error) => return Err(Failure::Internal(format!("git: {error}"))),
    };
    if !output.status.success() {
        let complained = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let message = format!("{complained}: deploy from a git checkout, or give --tag");
        return Err(Failure::Usage(message));
    }
    // Where whole lines matter their first two characters do, too.
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Builds a version's images by the script beside the stack's file.
pub(super) async fn build(
    stack: &Path,
    variables: &Variables,
    version: &Version,
    from: Option<&Path>,
) -> Result<(), Failure> {
    let script = stack.parent().unwrap_or(Path::new(".")).join("images/build");
    say(&format!("building {version}"));
    let script = std::path::absolute(&script).unwrap_or(script);
    let mut command = Command::new(&script);
    command.args(["--images", variables.prefix()?, "--tag", version.tag()]);
    if let Some(folder) = from {
        command.arg("--from").arg(folder);
    }
    let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    let status = status.map_err(|e| Failure::Usage(format!("{}: {e}", script.display())))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(69) => {
            Err(Failure::Unavailable("something is missing that building takes".to_owned()))
        }
        _ => Err(Failure::Failed("the images could not be built; nothing was changed".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_tag() {
        for (tag, good) in [
            ("0123abcdef01", true),
            ("v1.2_3-dirty", true),
            ("", false),
            ("-a", false),
            ("a/b", false),
            ("a b", false),
            (&"x".repeat(128), true),
            (&"x".repeat(129), false),
        ] {
            assert_eq!(Version::given(tag).is_ok(), good, "{tag}");
        }
    }

    #[test]
    fn nobody_is_told_to_commit_a_secret() {
        let secrets = ["secrets/", "secrets-2/api", "deploy.env", "infra/front.pem", "a/b.key"];
        for path in secrets {
            let told = uncommitted("0123", &format!("?? {path}"));
            assert!(told.contains(path) && !told.contains("commit them"), "{told}");
        }
        for path in ["api/src/main.rs", "infra/mongo/secrets", "web/src/keyboard.ts"] {
            let told = uncommitted("0123", &format!(" M {path}"));
            assert!(told.contains(path) && told.contains("commit them"), "{told}");
        }
        let both = uncommitted("0123", " M a.rs\n?? secrets/\n?? b.rs");
        let lines: Vec<&str> = both.lines().collect();
        assert!(lines[0].contains("1: secrets/") && lines[1].starts_with("2 files"), "{both}");
    }
}
