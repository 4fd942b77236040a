//! The stack's files: that they can be read, and that they lack no variable.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{docker::Docker, variables::Variables};
use crate::failure::{Failure, chain};

/// What clients before 23 say of `stack config`.
const UNKNOWN: [&str; 2] = ["unknown flag: --compose-file", "is not a docker command"];

/// The docker client's words for these files.
pub(super) fn words(files: &[PathBuf]) -> Vec<String> {
    let word = |file: &PathBuf| ["--compose-file".to_owned(), file.display().to_string()];
    files.iter().flat_map(word).collect()
}

/// That the files are a stack, by the docker client; an older one is not asked, and finds what is no
/// stack when it is to deploy it.
pub(super) async fn check(files: &[PathBuf], variables: &Variables) -> Result<(), Failure> {
    let options = words(files);
    let mut all = vec!["stack", "config"];
    all.extend(options.iter().map(String::as_str));
    match Docker::local().with(variables).ask(&all).await {
        Ok(_) => Ok(()),
        Err(Failure::Failed(why)) if UNKNOWN.iter().any(|words| why.contains(words)) => {
            lacking(files, variables)
        }
        Err(Failure::Failed(why)) => Err(Failure::Usage(why)),
        Err(other) => Err(other),
    }
}

/// The variables that must have a value and have none.
fn lacking(files: &[PathBuf], variables: &Variables) -> Result<(), Failure> {
    let mut told = Vec::new();
    for file in files {
        for (name, why) in required(&read(file)?) {
            let given = variables.all().get(&name).is_some_and(|value| !value.is_empty());
            let line = format!("the variable {name} is missing a value: {why}");
            let line = line.trim_end_matches([' ', ':']).to_owned();
            // Once, with the reason that one of its places gives.
            let before = told.iter().any(|told: &String| told.starts_with(&line));
            if !given && !before {
                told.push(line);
            }
        }
    }
    match told.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(told.join("\n"))),
    }
}

/// The variables of `${NAME:?WHY}` and `${NAME?WHY}`, with why.
fn required(text: &str) -> Vec<(String, String)> {
    let name_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut all = Vec::new();
    for line in lines(text) {
        for inside in line.replace("$$", "").split("${").skip(1) {
            let inside = inside.split('}').next().unwrap_or_default();
            let name: String = inside.chars().take_while(|c| name_part(*c)).collect();
            let rest = inside[name.len()..].trim_start_matches(':');
            // Others may be in the environment, which the client reads.
            let ours = name.starts_with("PORTCALL_");
            if let Some(why) = rest.strip_prefix('?').filter(|_| ours) {
                all.push((name, why.to_owned()));
            }
        }
    }
    all
}

/// The lines that are no comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#'))
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|e| Failure::Usage(format!("{}: {}", path.display(), chain(&e))))
}

#[cfg(test)]
mod tests {
    use portcall_shared::settings::Reader;

    use super::*;

    #[test]
    fn what_must_be_given_is_told_once_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stack.yaml");
        let text = "# ${PORTCALL_NO:?a comment}\na: ${PORTCALL_A:?why so}/${PORTCALL_B:-1}\n\
            b: ${PORTCALL_A:?} $${PORTCALL_C:?} ${PORTCALL_D?}\n";
        fs::write(&file, text).unwrap();
        let lacks = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let variables = Variables::read(None, &Reader::from_map(given)).unwrap();
            match lacking(std::slice::from_ref(&file), &variables) {
                Ok(()) => String::new(),
                Err(Failure::Usage(told)) => told,
                Err(other) => panic!("{other:?}"),
            }
        };
        let (a, d) = (
            "the variable PORTCALL_A is missing a value: why so",
            "the variable PORTCALL_D is missing a value",
        );
        assert_eq!(lacks(&[]), format!("{a}\n{d}"));
        assert_eq!(lacks(&[("PORTCALL_A", "1")]), d);
        assert_eq!(lacks(&[("PORTCALL_A", ""), ("PORTCALL_D", "1")]), a);
        assert_eq!(lacks(&[("PORTCALL_A", "1"), ("PORTCALL_D", "1")]), "");
    }
}
