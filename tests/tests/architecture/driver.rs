//! Checks of the store: nothing of the driver is dropped half-way, and what is opened is closed.

use portcall_tests::tree::Source;
use portcall_tests::tree::nesting::{around, line_of};

use crate::rules::{DIRECT, DRIVER, MAY_GIVE_UP, OPEN, TASKS};
use crate::source::production;

/// A future of the driver that is dropped half-way can break its pool (RUST-937), so each is made
/// inside a task. A function that returns the driver's error is part of what runs there, and is
/// itself called only there.
pub(crate) fn driver_outside_tasks(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let store = |s: &&Source| s.path.starts_with("shared/src/store/");
    for source in sources.iter().filter(production).filter(store) {
        let plain = source.plain();
        let driving: Vec<String> = plain
            .match_indices("fn ")
            .filter(|(at, _)| drives(plain[*at..].split('{').next().unwrap_or_default()))
            .map(|(at, _)| plain[at + 3..].split(['(', '<']).next().unwrap_or_default().to_owned())
            .collect();
        let methods = DRIVER.iter().map(|name| format!(".{name}("));
        for wanted in methods.chain(driving.iter().map(|name| format!("{name}("))) {
            for (at, heads) in around(&plain, &wanted) {
                let (before, after) = (&plain[..at], plain[at + wanted.len()..].trim_start());
                let part = |c: char| c.is_alphanumeric() || c == '_';
                let other = before.ends_with("fn ")
                    // The store's own of that name.
                    || before.ends_with("self")
                    || !wanted.starts_with('.') && before.ends_with(part)
                    // A method of iterators has the same name.
                    || wanted == ".find(" && (after.starts_with('|') || after.starts_with("fits"));
                if !other && !heads.iter().any(|head| is_task(head) || is_given(&plain, head)) {
                    let line = line_of(&plain, at);
                    complaints.push(source.complain(line, &format!("{wanted}…) outside a task")));
                }
            }
        }
    }
    complaints
}

/// Whether a function returns the driver's error.
pub(crate) fn drives(signature: &str) -> bool {
    let returned = signature.split_once("->").map_or("", |(_, returned)| returned);
    let returned = returned.split("where").next().unwrap_or_default();
    ["DriverError", "mongodb::error::Error"].iter().any(|error| returned.contains(error))
}

pub(crate) fn is_task(head: &str) -> bool {
    let named = |name: &str| {
        let before = head.strip_suffix(name);
        before.is_some_and(|b| !b.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let direct = |name: &str| head.contains(&format!("fn {name}("));
    TASKS.iter().any(|name| named(name))
        || head.contains("fn ") && drives(head)
        || DIRECT.iter().any(|(name, _)| direct(name))
}

/// Whether it is a block that gets a name and, by it, is given to a task.
pub(crate) fn is_given(plain: &str, head: &str) -> bool {
    let name = head.strip_prefix("let ").and_then(|rest| rest.strip_suffix(" = async move"));
    name.is_some_and(|name| {
        let uses = around(plain, &format!(" {name})"));
        uses.iter().any(|(_, heads)| heads.first().is_some_and(|head| is_task(head)))
    })
}

pub(crate) fn giving_up(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let store = |s: &&Source| {
        s.path.starts_with("shared/src/store/") && !MAY_GIVE_UP.contains(&s.path.as_str())
    };
    for source in sources.iter().filter(production).filter(store) {
        let plain = source.plain();
        for word in ["timeout(", "timeout_at(", "select!", "select_biased!", ".abort()"] {
            for (at, _) in plain.match_indices(word) {
                let what = format!("{word} may drop a call half-way: use Store::call");
                complaints.push(source.complain(line_of(&plain, at), &what));
            }
        }
    }
    complaints
}

/// A store is opened where it is closed again, whatever becomes of the work between.
pub(crate) fn opened_elsewhere(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let other = |s: &&Source| !OPEN.contains(&s.path.as_str());
    for source in sources.iter().filter(production).filter(other) {
        for (n, _) in source.code().filter(|(_, line)| line.contains("Store::open(")) {
            complaints.push(source.complain(n, "a store is opened where it is closed"));
        }
    }
    complaints
}
