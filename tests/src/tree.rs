//! The checkout as files of text, for the tests of what holds for the whole tree.

pub mod nesting;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::parts::given::checkout;

/// What is not part of the sources.
pub const LEFT_OUT: &[&str] = &[".git", ".portcall", "target", "node_modules", "dist", ".shots"];

/// What a run of the fuzz targets leaves.
const GENERATED: &[&str] = &["tests/fuzz/artifacts", "tests/fuzz/corpus", "tests/fuzz/coverage"];

/// A file by its path from the top.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// A file that is planted.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether its name ends so.
    #[must_use]
    pub fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Whether all of it is tests.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The lines before the test module, with their numbers.
    pub fn own_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            let inside = pair[1].contains("mod ") && pair[1].trim_end().ends_with('{');
            pair[0].trim() == "#[cfg(test)]" && inside
        });
        let end = tests.unwrap_or(lines.len());
        lines.into_iter().take(end).enumerate().map(|(n, line)| (n + 1, line))
    }

    /// The same without comments.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.own_lines().map(|(n, line)| (n, line.split("//").next().unwrap_or_default()))
    }

    /// The lines before the test module, without comments and texts.
    #[must_use]
    pub fn plain(&self) -> String {
        let own: String = self.own_lines().flat_map(|(_, line)| [line, "\n"]).collect();
        nesting::plain(&own)
    }

    /// A complaint about a line.
    #[must_use]
    pub fn complain(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The files of the checkout that are text.
#[must_use]
pub fn tree() -> Vec<Source> {
    let mut found = Vec::new();
    walk(checkout(), &mut found);
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if LEFT_OUT.contains(&name.as_ref()) {
            continue;
        }
        let short = path.strip_prefix(checkout()).unwrap_or(&path).to_string_lossy();
        if path.is_dir() {
            if !GENERATED.contains(&short.as_ref()) {
                walk(&path, found);
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(Source { path: short.into_owned(), text });
        }
    }
}
