//! Taking a typed label apart: a head, and parts after it that say where the head lies.

use super::fold::{LIMIT, fold};
use super::index::{AreaId, AreaKey, INDEX, Place, PlaceId};

const PARTS: usize = 5;

/// How far from a city that a label names besides, in degrees of latitude (about 80 km).
const NEARBY: f64 = 0.75;

/// Whether more of a label may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// The last part may be the beginning of a name.
    Going,
    /// Every part is a name.
    Done,
}

/// What a part after the head says about the place.
pub(super) enum Filter {
    /// It lies in one of these, which are sorted.
    In(Vec<AreaId>),
    /// It lies close to one of these.
    Near(Vec<PlaceId>),
    /// Nothing that the gazetteer understands.
    Unknown,
}

/// The folded parts of a label, at most five, none empty.
pub(super) fn parts(label: &str) -> Vec<String> {
    let mut cut: String = label.chars().take(LIMIT).collect();
    for dash in [" - ", " – ", " — "] {
        cut = cut.replace(dash, ",");
    }
    cut.split(is_separator).map(fold).filter(|part| !part.is_empty()).take(PARTS).collect()
}

/// Whether the last part is complete: something that separates comes after it.
pub(super) fn typing(label: &str) -> Typing {
    if label.trim_end().ends_with(is_separator) { Typing::Done } else { Typing::Going }
}

/// Moves the words at the end of a head that name an area (`berlin germany`) into a part of
/// their own; answers whether there were any.
pub(super) fn peel(parts: &mut Vec<String>, typing: Typing) -> bool {
    let Some(head) = parts.first() else {
        return false;
    };
    let unfinished = typing == Typing::Going && parts.len() == 1;
    let cut = head.rmatch_indices(' ').map(|(at, _)| at).take(4).find(|&at| {
        let tail = &head[at + 1..];
        let names = if unfinished { INDEX.areas_beginning(tail) } else { INDEX.areas_named(tail) };
        !names.is_empty()
    });
    let Some(at) = cut else { return false };
    let (head, tail) = (head[..at].to_owned(), head[at + 1..].to_owned());
    parts.splice(..1, [head, tail]);
    true
}

impl Filter {
    /// What a complete part says.
    pub(super) fn whole(part: &str) -> Self {
        let areas = INDEX.areas_named(part);
        if !areas.is_empty() {
            return Self::within(areas);
        }
        let cities: Vec<_> = INDEX.exactly(part).iter().map(|key| key.place).take(64).collect();
        if cities.is_empty() { Self::Unknown } else { Self::Near(cities) }
    }

    /// What a part says that may be unfinished.
    pub(super) fn begun(part: &str) -> Self {
        let areas = INDEX.areas_beginning(part);
        if areas.is_empty() { Self::whole(part) } else { Self::within(areas) }
    }

    fn within(keys: &[AreaKey]) -> Self {
        let mut areas: Vec<_> = keys.iter().map(|key| key.area).collect();
        areas.sort_unstable();
        areas.dedup();
        Self::In(areas)
    }

    /// Whether a place may be meant.
    pub(super) fn admits(&self, place: &Place) -> bool {
        match self {
            Self::In(areas) => {
                let mut around = [Some(place.country), place.region].into_iter().flatten();
                around.any(|area| areas.binary_search(&area).is_ok())
            }
            Self::Near(cities) => cities.iter().any(|city| close(place, INDEX.place(*city))),
            Self::Unknown => true,
        }
    }
}

fn is_separator(letter: char) -> bool {
    matches!(letter, ',' | ';' | '/' | '|' | '(' | ')' | '[' | ']' | '\n' | '\t')
        || matches!(letter, '，' | '、' | '،' | '·' | '•' | '；' | '（' | '）')
}

fn close(a: &Place, b: &Place) -> bool {
    let across = (a.lng - b.lng).abs();
    let across = across.min(360.0 - across) * a.lat.to_radians().cos();
    (a.lat - b.lat).abs() < NEARBY && across < NEARBY
}
