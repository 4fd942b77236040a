//! Which place a complete label stands for.

use super::index::{AreaId, AreaKind, Form, INDEX, PlaceId, Spelling};
use super::label::{self, Filter, Typing};
use super::suggest::{same_label, weight};
use super::{Found, Located};

/// How many places somebody may be asked to choose from.
const CHOICES: usize = 8;

/// How many times the second's weight the first needs to be meant alone.
const OUTWEIGHS: u32 = 4;

/// How many areas may follow a city's name without a comma (`San Jose CA USA`).
const PEELS: u8 = 3;

/// Words around a city's name that are not part of it.
const BEFORE: [&str; 3] = ["greater ", "city of ", "downtown "];
const AFTER: [&str; 5] = [" metropolitan area", " bay area", " area", " city", " metro"];

struct Candidate {
    weight: u32,
    spelling: Spelling,
    place: PlaceId,
}

/// The place that a label such as `San Francisco, CA, USA`, `München` or `Berlin Germany` means.
///
/// The first part names a city or a division; the others say where it lies (a country, a
/// division, a city nearby), and what the gazetteer does not know among them is passed over. When
/// the first part is unknown and the next is a city, the label stands for that city (`SoMa, San
/// Francisco`). A division stands for its largest city. The name of a country alone stands for
/// the capital, also where a city elsewhere has the same name (`Lebanon`), but not where a
/// division has it too (`Georgia`): that is for somebody to choose.
pub fn locate(label: &str) -> Located {
    let parts = label::parts(label);
    if let [only] = &parts[..] {
        let countries = countries_alone(only);
        if !countries.is_empty() {
            return decide(countries);
        }
    }
    decide(find(&parts, PEELS))
}

/// `peels` bounds the work: how often words may still be moved out of a head.
fn find(parts: &[String], peels: u8) -> Vec<Candidate> {
    let Some((head, rest)) = parts.split_first() else {
        return Vec::new();
    };
    let filters: Vec<_> = rest.iter().map(|part| Filter::whole(part)).collect();
    let mut found = admitted(head, &filters);
    if rest.is_empty() {
        found.extend(countries(head, Form::Code));
    }
    if !found.is_empty() {
        return found;
    }
    let mut peeled = parts.to_vec();
    if peels > 0 && INDEX.exactly(head).is_empty() && label::peel(&mut peeled, Typing::Done) {
        let found = find(&peeled, peels - 1);
        if !found.is_empty() {
            return found;
        }
    }
    match (rest, filters.first()) {
        ([], _) => Vec::new(),
        // Smallville, Germany: somewhere in Germany is not good enough.
        (_, Some(Filter::In(_))) if !is_country(head) => Vec::new(),
        // Germany, Berlin: the other way round. Each turn has one part less.
        (rest, _) => {
            let found = find(rest, peels);
            let inside = Filter::whole(head);
            let meant = |place: &Candidate| match &inside {
                Filter::In(_) => inside.admits(INDEX.place(place.place)),
                _ => true,
            };
            found.into_iter().filter(meant).collect()
        }
    }
}

/// The cities and divisions of a name that all filters admit.
fn admitted(head: &str, filters: &[Filter]) -> Vec<Candidate> {
    let admits = |place: PlaceId| filters.iter().all(|f| f.admits(INDEX.place(place)));
    let mut keys = INDEX.exactly(head);
    if keys.is_empty() {
        keys = INDEX.exactly(bare(head));
    }
    let mut found: Vec<_> = keys
        .iter()
        .filter(|key| admits(key.place))
        .map(|key| Candidate { weight: weight(key), spelling: key.spelling, place: key.place })
        .collect();
    for region in regions(head) {
        if found.iter().any(|candidate| INDEX.place(candidate.place).is_in(region)) {
            continue;
        }
        if let Some(place) = largest(region).filter(|place| admits(*place)) {
            let whole = chief(place);
            found.push(Candidate { weight: whole.weight / 4, ..whole });
        }
    }
    found
}

fn decide(mut found: Vec<Candidate>) -> Located {
    found.sort_by_key(|candidate| (std::cmp::Reverse(candidate.weight), candidate.place));
    let mut distinct: Vec<Candidate> = Vec::new();
    for candidate in found {
        if distinct.len() < CHOICES
            && !distinct.iter().any(|other| same_label(other.place, candidate.place))
        {
            distinct.push(candidate);
        }
    }
    match &distinct[..] {
        [] => Located::None,
        [only] => Located::One(Found::new(only.place)),
        [first, rest @ ..] if is_clear(first, rest) => Located::One(Found::new(first.place)),
        many => Located::Many(many.iter().map(|one| Found::new(one.place)).collect()),
    }
}

/// Whether the first is meant alone; another name of it never is when the label is the very name
/// of a city (Delhi is called New Delhi, and has one).
fn is_clear(first: &Candidate, rest: &[Candidate]) -> bool {
    let second = rest.iter().map(|other| other.weight).max().unwrap_or(0);
    let named = first.spelling == Spelling::Own || rest.iter().all(|r| r.spelling != Spelling::Own);
    named && first.weight / OUTWEIGHS >= second.max(1)
}

/// The capital, when a label is the name of a country, and the chief city of a namesake.
fn countries_alone(name: &str) -> Vec<Candidate> {
    let mut found = countries(name, Form::Name);
    if !found.is_empty() {
        found.extend(regions(name).filter_map(largest).map(chief));
    }
    found
}

/// The capitals of the countries that a text names in a form or in a plainer one.
fn countries(name: &str, form: Form) -> Vec<Candidate> {
    let keys = INDEX.areas_named(name).iter().filter(|key| key.form <= form);
    keys.filter_map(|key| capital(key.area)).map(chief).collect()
}

/// A city that stands for its area, in its own right.
fn chief(place: PlaceId) -> Candidate {
    let (weight, spelling) = (INDEX.place(place).population, Spelling::Own);
    Candidate { weight, spelling, place }
}

/// A country's capital, or its largest city where the capital is not in the data.
fn capital(country: AreaId) -> Option<PlaceId> {
    let AreaKind::Country { capital } = &INDEX.area(country).kind else {
        return None;
    };
    let keys = INDEX.exactly(capital).iter();
    let inside = keys.filter(|key| INDEX.place(key.place).country == country);
    let named = inside.min_by_key(|key| (key.spelling, key.place));
    named.map(|key| key.place).or_else(|| largest(country))
}

fn is_country(name: &str) -> bool {
    !countries(name, Form::Name).is_empty()
}

fn regions(name: &str) -> impl Iterator<Item = AreaId> {
    let areas = INDEX.areas_named(name).iter().map(|key| key.area);
    areas.filter(|area| !INDEX.area(*area).is_country())
}

fn largest(area: AreaId) -> Option<PlaceId> {
    INDEX.ids().find(|place| INDEX.place(*place).is_in(area))
}

/// A city's name without the words that people put around it, where enough is left.
fn bare(head: &str) -> &str {
    let inner = BEFORE.iter().find_map(|word| head.strip_prefix(word)).unwrap_or(head);
    let inner = AFTER.iter().find_map(|word| inner.strip_suffix(word)).unwrap_or(inner);
    if inner.chars().count() > 3 { inner } else { head }
}
