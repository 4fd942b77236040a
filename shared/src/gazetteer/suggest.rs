//! Names for a form while somebody types.

use std::cmp::Reverse;

use super::Found;
use super::index::{INDEX, Key, PlaceId, Spelling};
use super::label::{self, Filter, Typing};

const MOST: usize = 50;

/// How well a key fits; the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    Begins,
}

type Rank = (Fit, Reverse<u32>, PlaceId);

/// Places whose name begins with the first part of a query and that lie where its other parts
/// say: names that are the query first, then by weight. At most 50 are given.
///
/// A part that names nothing known says nothing. A query that only names a country or a division
/// gives its largest cities.
pub fn suggest(query: &str, limit: usize) -> Vec<Found> {
    let typing = label::typing(query);
    let mut parts = label::parts(query);
    let limit = limit.min(MOST);
    if parts.is_empty() || limit == 0 {
        return Vec::new();
    }
    let mut best = matching(&parts, typing, limit);
    for _ in 0..3 {
        if !best.is_empty() || !label::peel(&mut parts, typing) {
            break;
        }
        best = matching(&parts, typing, limit);
    }
    if best.is_empty()
        && let [only] = &parts[..]
    {
        best = largest(only, limit);
    }
    best.into_iter().map(|(_, _, place)| Found::new(place)).collect()
}

fn matching(parts: &[String], typing: Typing, limit: usize) -> Vec<Rank> {
    let Some((head, rest)) = parts.split_first() else {
        return Vec::new();
    };
    let filters: Vec<Filter> = rest
        .iter()
        .enumerate()
        .map(|(at, part)| match typing {
            Typing::Going if at + 1 == rest.len() => Filter::begun(part),
            _ => Filter::whole(part),
        })
        .collect();
    let mut best = Vec::with_capacity(limit + 1);
    for key in INDEX.beginning(head) {
        let rank = rank(key, head);
        if best.len() == limit && best.last().is_some_and(|worst| rank >= *worst) {
            continue;
        }
        let place = INDEX.place(key.place);
        if filters.iter().all(|filter| filter.admits(place)) {
            keep(&mut best, rank, limit);
        }
    }
    best
}

fn rank(key: &Key, head: &str) -> Rank {
    let fit = if INDEX.is_whole(key, head) { Fit::Exact } else { Fit::Begins };
    (fit, Reverse(weight(key)), key.place)
}

/// What a key's place weighs when it is found by that key.
pub(super) fn weight(key: &Key) -> u32 {
    let population = INDEX.place(key.place).population;
    match key.spelling {
        Spelling::Own => population,
        Spelling::Other => population / 8,
    }
}

/// Puts a rank where it belongs among the best, each label once.
fn keep(best: &mut Vec<Rank>, rank: Rank, limit: usize) {
    if let Some(at) = best.iter().position(|other| same_label(other.2, rank.2)) {
        if best[at] <= rank {
            return;
        }
        best.remove(at);
    }
    let at = best.partition_point(|other| *other < rank);
    best.insert(at, rank);
    best.truncate(limit);
}

/// Whether two places cannot be told apart by their labels.
pub(super) fn same_label(a: PlaceId, b: PlaceId) -> bool {
    let label = |id| {
        let place = INDEX.place(id);
        (place.country, place.region, place.name)
    };
    a == b || label(a) == label(b)
}

fn largest(area: &str, limit: usize) -> Vec<Rank> {
    let filter = Filter::whole(area);
    if !matches!(filter, Filter::In(_)) {
        return Vec::new();
    }
    let inside = INDEX.ids().filter(|id| filter.admits(INDEX.place(*id)));
    inside.take(limit).map(|id| (Fit::Begins, Reverse(INDEX.place(id).population), id)).collect()
}
