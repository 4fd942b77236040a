//! What is printed of a run: for each row, how many requests began in it and how they went.

use std::time::{Duration, Instant};

use super::load::{Post, Twice};

/// The rows of a run, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<(&'static str, Instant)>);

/// One row's figures.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Requests that were sent: POSTs, and the reading of what they brought.
    pub(crate) requests: usize,
    /// What was wrong with those that had to be sent a second time.
    pub(crate) again: Vec<String>,
    /// What was wrong the second time.
    pub(crate) failed: Vec<String>,
    /// Until a POST was accepted, sorted.
    accepted: Vec<Duration>,
}

impl Rows {
    /// The next row begins.
    pub(crate) fn next(&mut self, name: &'static str) {
        self.0.push((name, Instant::now()));
    }

    /// The figures of each, by when a request began.
    pub(crate) fn of(&self, posts: &[Post]) -> Vec<Row> {
        let ends = self.0.iter().skip(1).map(|(_, began)| Some(*began)).chain([None]);
        let rows = self.0.iter().zip(ends).map(|((name, from), to)| {
            let own = |post: &&Post| post.begun >= *from && to.is_none_or(|to| post.begun < to);
            Row::of(name, posts.iter().filter(own))
        });
        rows.collect()
    }
}

impl Row {
    fn of<'a>(name: &'static str, posts: impl Iterator<Item = &'a Post>) -> Self {
        let mut row =
            Self { name, requests: 0, again: Vec::new(), failed: Vec::new(), accepted: Vec::new() };
        for post in posts {
            for (what, Twice { first, second }) in [("POST", &post.sent), ("GET", &post.read)] {
                row.requests += 1;
                row.again.extend(first.iter().map(|why| format!("{what} {}: {why}", post.key)));
                row.failed.extend(second.iter().map(|why| format!("{what} {}: {why}", post.key)));
            }
            row.accepted.extend(post.id.as_ref().map(|_| post.took));
        }
        row.accepted.sort();
        row
    }

    /// The time that so many per cent of the POSTs stayed below.
    fn within(&self, percent: usize) -> u128 {
        let last = self.accepted.len().saturating_sub(1);
        let at = (self.accepted.len() * percent / 100).min(last);
        self.accepted.get(at).map_or(0, Duration::as_millis)
    }
}

/// Prints them as a table, and one line for each request that had to be sent again.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
pub(crate) fn print(through: &str, rows: &[Row]) {
    println!("{through}: row, requests, sent again, failed, accepted in p50/p99/longest ms");
    for row in rows {
        println!(
            "  {:24} {:5} {:4} {:4}   {:5} {:5} {:5}",
            row.name,
            row.requests,
            row.again.len(),
            row.failed.len(),
            row.within(50),
            row.within(99),
            row.within(100),
        );
        for why in row.again.iter().take(3).chain(row.failed.iter().take(5)) {
            println!("      {why}");
        }
    }
}
