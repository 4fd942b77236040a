//! The data in memory: places by population, and their folded names sorted for prefix search.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;

use super::fold::fold;

static PACKED: &[u8] = include_bytes!("../../data/places.tsv.gz");

/// The one index of the process.
pub(super) static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut text = String::new();
    GzDecoder::new(PACKED)
        .read_to_string(&mut text)
        .expect("the embedded places are gzip of UTF-8, which the tests check");
    // Names are borrowed from the text for as long as the process lives.
    Index::read(text.leak())
});

/// A place by its rank: the most populous is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlaceId(u32);

/// A country or a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AreaId(u16);

/// A city.
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) region: Option<AreaId>,
    pub(super) country: AreaId,
    pub(super) lat: f64,
    pub(super) lng: f64,
    pub(super) population: u32,
}

/// A country or a first-level division of one.
pub(super) struct Area {
    pub(super) code: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: AreaKind,
}

/// Which of the two an area is.
pub(super) enum AreaKind {
    /// A country and the folded name of its capital.
    Country { capital: String },
    /// A division of a country.
    Region,
}

/// How a key names its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// In full, or by a short name that nobody takes for anything else (UK).
    Name,
    /// By a code, which may well be something else too (CA).
    Code,
}

/// How a key names its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spelling {
    /// By the name that the label shows.
    Own,
    /// By another.
    Other,
}

/// A folded name of an area.
pub(super) struct AreaKey {
    text: String,
    pub(super) area: AreaId,
    pub(super) form: Form,
}

/// A folded name of a place; the text is a piece of [`Index::texts`].
#[derive(Clone, Copy)]
pub(super) struct Key {
    start: u32,
    length: u16,
    pub(super) spelling: Spelling,
    pub(super) place: PlaceId,
}

/// Everything that can be asked for.
pub(super) struct Index {
    pub(super) places: Vec<Place>,
    pub(super) areas: Vec<Area>,
    area_keys: Vec<AreaKey>,
    keys: Vec<Key>,
    texts: String,
}

impl Index {
    fn read(text: &'static str) -> Self {
        let mut index = Self {
            places: Vec::new(),
            areas: Vec::new(),
            area_keys: Vec::new(),
            keys: Vec::new(),
            texts: String::with_capacity(text.len()),
        };
        let mut ids = HashMap::new();
        let mut places = Vec::new();
        for line in text.lines() {
            let fields: Vec<&'static str> = line.split('\t').collect();
            match fields[..] {
                ["C", code, name, capital, others] => {
                    let id =
                        index.add_area(code, name, AreaKind::Country { capital: fold(capital) });
                    ids.insert((code, ""), id);
                    let (iso3, others) = others.split_once('|').unwrap_or((others, ""));
                    index.name_area(id, Form::Code, [code, iso3]);
                    index.name_area(id, Form::Name, others.split('|').chain([name]));
                }
                ["R", country, code, name, others] => {
                    let id = index.add_area(code, name, AreaKind::Region);
                    ids.insert((country, code), id);
                    index.name_area(id, Form::Name, others.split('|').chain([name]));
                }
                ["P", ..] => places.extend(read_place(&fields, &ids)),
                _ => {}
            }
        }
        places.sort_by_key(|(place, _)| std::cmp::Reverse(place.population));
        for (rank, (place, others)) in (0..).map(PlaceId).zip(places) {
            index.name_place(rank, Spelling::Own, place.name);
            for other in others.split('|') {
                index.name_place(rank, Spelling::Other, other);
            }
            index.places.push(place);
        }
        index.area_keys.sort_by(|a, b| (&a.text, a.area, a.form).cmp(&(&b.text, b.area, b.form)));
        let Self { keys, texts, .. } = &mut index;
        keys.sort_unstable_by(|a, b| (a.text(texts), a.place).cmp(&(b.text(texts), b.place)));
        index
    }

    fn add_area(&mut self, code: &'static str, name: &'static str, kind: AreaKind) -> AreaId {
        let id = AreaId(u16::try_from(self.areas.len()).unwrap_or(u16::MAX));
        self.areas.push(Area { code, name, kind });
        id
    }

    fn name_area(
        &mut self,
        area: AreaId,
        form: Form,
        names: impl IntoIterator<Item = &'static str>,
    ) {
        let texts = names.into_iter().map(fold).filter(|text| !text.is_empty());
        self.area_keys.extend(texts.map(|text| AreaKey { text, area, form }));
    }

    fn name_place(&mut self, place: PlaceId, spelling: Spelling, name: &str) {
        let text = fold(name);
        let (Ok(start), Ok(length)) = (u32::try_from(self.texts.len()), u16::try_from(text.len()))
        else {
            return;
        };
        if length > 0 {
            self.texts.push_str(&text);
            self.keys.push(Key { start, length, spelling, place });
        }
    }

    /// The place of an id, which only this index gives out.
    pub(super) fn place(&self, id: PlaceId) -> &Place {
        &self.places[id.0 as usize]
    }

    /// The area of an id, which only this index gives out.
    pub(super) fn area(&self, id: AreaId) -> &Area {
        &self.areas[usize::from(id.0)]
    }

    /// All places, the most populous first.
    pub(super) fn ids(&self) -> impl Iterator<Item = PlaceId> {
        (0..).map(PlaceId).take(self.places.len())
    }

    /// The keys that begin with a folded text, shortest first among those that continue it.
    pub(super) fn beginning(&self, prefix: &str) -> &[Key] {
        stretch(
            &self.keys,
            |key| key.text(&self.texts) < prefix,
            |key| key.text(&self.texts).starts_with(prefix),
        )
    }

    /// The keys that are a folded text.
    pub(super) fn exactly(&self, text: &str) -> &[Key] {
        let keys = self.beginning(text);
        &keys[..keys.partition_point(|key| self.is_whole(key, text))]
    }

    /// Whether a key that begins with a text ends with it too.
    pub(super) fn is_whole(&self, key: &Key, text: &str) -> bool {
        usize::from(key.length) == text.len()
    }

    /// The names of areas that begin with a folded text.
    pub(super) fn areas_beginning(&self, prefix: &str) -> &[AreaKey] {
        stretch(
            &self.area_keys,
            |key| key.text.as_str() < prefix,
            |key| key.text.starts_with(prefix),
        )
    }

    /// The names of areas that are a folded text, with or without "the" and "state".
    pub(super) fn areas_named(&self, text: &str) -> &[AreaKey] {
        let whole = |text: &str| {
            let keys = self.areas_beginning(text);
            &keys[..keys.partition_point(|key| key.text.len() == text.len())]
        };
        let found = whole(text);
        if !found.is_empty() || text.is_empty() {
            return found;
        }
        let bare = text.strip_prefix("the ").unwrap_or(text);
        let bare = bare.strip_prefix("state of ").unwrap_or(bare);
        whole(bare.strip_suffix(" state").unwrap_or(bare))
    }
}

impl Key {
    fn text<'a>(&self, texts: &'a str) -> &'a str {
        let start = self.start as usize;
        &texts[start..start + usize::from(self.length)]
    }
}

impl Area {
    /// Whether it is a country.
    pub(super) fn is_country(&self) -> bool {
        matches!(self.kind, AreaKind::Country { .. })
    }
}

impl Place {
    /// Whether a place lies in an area.
    pub(super) fn is_in(&self, area: AreaId) -> bool {
        self.country == area || self.region == Some(area)
    }
}

fn read_place(
    fields: &[&'static str],
    ids: &HashMap<(&'static str, &'static str), AreaId>,
) -> Option<(Place, &'static str)> {
    let &[_, name, region, country, lat, lng, population, others] = fields else {
        return None;
    };
    let place = Place {
        name,
        region: if region.is_empty() { None } else { ids.get(&(country, region)).copied() },
        country: *ids.get(&(country, ""))?,
        lat: lat.parse().ok()?,
        lng: lng.parse().ok()?,
        population: population.parse().ok()?,
    };
    Some((place, others))
}

/// The part of sorted items that begins after one condition ends and goes on while another holds.
fn stretch<T>(items: &[T], before: impl Fn(&T) -> bool, within: impl Fn(&T) -> bool) -> &[T] {
    let items = &items[items.partition_point(before)..];
    &items[..items.partition_point(within)]
}
