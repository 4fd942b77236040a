//! What is kept of every pin, in as little room as it takes: a row of 32 bytes, and beside it its texts.
//!
//! Rows lie in pages and have a number each, which stays theirs. A page has the texts of its rows one
//! behind the other, so that none needs to be told where its text is: whoever wants one reads the lengths
//! of the few before it. What makes the participant one follows from the name and the handle, and is only
//! kept where it is something else.

use std::mem::{size_of, size_of_val};

use portcall_shared::{
    domain::{ids::SubmissionId, place::LatLng, submission::Participant},
    store::pins::Pin,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::course::milliseconds;

/// Rows of a page.
const PAGE: usize = 32;
/// Room for so many bytes more of its texts is made at once.
const ROOM: usize = 48;

/// What is known of a pin, but for its texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    id: [u8; 16],
    /// When it passed: milliseconds since 1970, the lowest six bytes, which last to the year 6429.
    at: [u8; 6],
    /// Two letters, or two zeros.
    country: [u8; 2],
    /// In hundredths of a degree: latitude, longitude.
    pub(super) point: [i16; 2],
    /// The number of the place's name.
    pub(super) place: u32,
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    #[expect(clippy::vec_box, reason = "a list of pages as such makes room for twice as many")]
    pages: Vec<Box<Page>>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug)]
struct Page {
    rows: [Row; PAGE],
    /// Of each row: its header, and what that says of it.
    texts: Vec<u8>,
}

/// The texts of a row as they are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    /// The participant's name.
    pub(super) name: &'a str,
    /// The participant's handle.
    pub(super) handle: Option<&'a str>,
    /// What makes the participant one, where that does not follow.
    key: Option<&'a str>,
}

/// A point in hundredths of a degree, which is what points are rounded to.
pub(super) fn hundredths(point: LatLng) -> [i16; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "at most 18,000")]
    let hundredths = |degrees: f64| (degrees * 100.0).round() as i16;
    [hundredths(point.lat()), hundredths(point.lng())]
}

/// The point of these hundredths.
pub(super) fn degrees([lat, lng]: [i16; 2]) -> Option<LatLng> {
    LatLng::new(f64::from(lat) / 100.0, f64::from(lng) / 100.0).ok()
}

impl Row {
    /// Of a pin whose place has this number.
    pub(super) fn of(pin: &Pin, place: u32) -> Self {
        let at = milliseconds(pin.at).clamp(-(1 << 47), (1 << 47) - 1);
        let [_, _, at @ ..] = at.to_be_bytes();
        let country = pin.country.as_ref().and_then(|country| country.as_bytes().try_into().ok());
        Self {
            id: pin.submission.uuid().into_bytes(),
            at,
            country: country.unwrap_or_default(),
            point: hundredths(pin.point),
            place,
        }
    }

    /// Which submission it is.
    pub(super) fn id(&self) -> SubmissionId {
        Uuid::from_bytes(self.id).into()
    }

    /// When it passed, in milliseconds since 1970.
    pub(super) fn at(&self) -> i64 {
        let [a, b, c, d, e, f] = self.at;
        i64::from_be_bytes([a, b, c, d, e, f, 0, 0]) >> 16
    }

    /// When it passed.
    pub(super) fn time(&self) -> OffsetDateTime {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.at()) * 1_000_000);
        at.unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The letters of its country.
    pub(super) fn country(&self) -> Option<[u8; 2]> {
        (self.country != [0, 0]).then_some(self.country)
    }

    /// What it stands in the order of time by.
    pub(super) fn rank(&self) -> (i64, SubmissionId) {
        (self.at(), self.id())
    }
}

impl<'a> Texts<'a> {
    /// Of a pin.
    pub(super) fn of(pin: &'a Pin) -> Self {
        let (name, handle) = (pin.name.as_str(), pin.handle.as_deref());
        let follows = Participant::key_of(name, handle) == pin.participant;
        Self { name, handle, key: (!follows).then_some(&pin.participant) }
    }

    /// What makes the participant one.
    pub(super) fn participant(&self) -> String {
        let Self { name, handle, key } = *self;
        key.map_or_else(|| Participant::key_of(name, handle), ToOwned::to_owned)
    }

    /// As they are kept: how long the name is and what there is beside it, the name, and what there is.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut written = Vec::with_capacity(self.name.len() + 1);
        let beside = usize::from(self.handle.is_some()) * 2 + usize::from(self.key.is_some());
        write(&mut written, self.name.len() * 4 + beside, self.name);
        for text in [self.handle, self.key].into_iter().flatten() {
            write(&mut written, text.len(), text);
        }
        written
    }

    /// The next ones of these bytes, and what comes after.
    fn read(bytes: &'a [u8]) -> (Self, &'a [u8]) {
        let (header, rest) = number(bytes);
        let (name, rest) = cut(rest, header / 4);
        let beside = |there: bool, rest| {
            if !there {
                return (None, rest);
            }
            let (length, rest) = number(rest);
            let (text, rest) = cut(rest, length);
            (Some(text), rest)
        };
        let (handle, rest) = beside(header & 2 != 0, rest);
        let (key, rest) = beside(header & 1 != 0, rest);
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        (Self { name: text(name), handle: handle.map(text), key: key.map(text) }, rest)
    }
}

/// A number in groups of seven bits, the lowest first, and a text.
fn write(to: &mut Vec<u8>, mut number: usize, text: &str) {
    while number > 0x7F {
        to.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
    to.extend_from_slice(text.as_bytes());
}

fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    let (groups, rest) = bytes.split_at(length);
    (groups.iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7F)), rest)
}

fn cut(bytes: &[u8], length: usize) -> (&[u8], &[u8]) {
    bytes.split_at(length.min(bytes.len()))
}

/// What comes after the texts of one row.
fn after(bytes: &[u8]) -> &[u8] {
    let (header, rest) = number(bytes);
    let mut rest = cut(rest, header / 4).1;
    for _ in 0..(header & 3).count_ones() {
        let (length, text) = number(rest);
        rest = cut(text, length).1;
    }
    rest
}

impl Page {
    fn new() -> Self {
        Self { rows: [Row::default(); PAGE], texts: vec![0; PAGE] }
    }

    /// The texts from those of this row on.
    fn from(&self, row: usize) -> &[u8] {
        (0..row).fold(&self.texts, |rest, _| after(rest))
    }

    fn put(&mut self, row: usize, texts: &[u8]) {
        let here = self.from(row);
        let (start, old) = (self.texts.len() - here.len(), here.len() - after(here).len());
        let more = texts.len().saturating_sub(old);
        if self.texts.capacity() - self.texts.len() < more {
            self.texts.reserve_exact(more.max(ROOM));
        }
        self.texts.splice(start..start + old, texts.iter().copied());
        if self.texts.capacity() - self.texts.len() > 4 * ROOM {
            self.texts.shrink_to(self.texts.len() + ROOM);
        }
    }
}

impl Rows {
    /// A new one with its texts; its number.
    pub(super) fn add(&mut self, row: Row, texts: &[u8]) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            u32::try_from(self.used - 1).unwrap_or(u32::MAX)
        });
        let (page, at) = place(number);
        if page == self.pages.len() {
            self.pages.push(Box::new(Page::new()));
        }
        let page = &mut self.pages[page];
        page.rows[at] = row;
        page.put(at, texts);
        number
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, number: u32) {
        let (page, at) = place(number);
        let page = &mut self.pages[page];
        page.rows[at] = Row::default();
        page.put(at, &[0]);
        self.free.push(number);
        if self.free.len() == self.used {
            *self = Self::default();
        }
    }

    /// One of them.
    pub(super) fn get(&self, number: u32) -> &Row {
        let (page, at) = place(number);
        &self.pages[page].rows[at]
    }

    /// The texts of one.
    pub(super) fn texts(&self, number: u32) -> Texts<'_> {
        let (page, at) = place(number);
        Texts::read(self.pages[page].from(at)).0
    }

    /// Whether those are the texts of one, as they are kept.
    pub(super) fn are(&self, number: u32, texts: &[u8]) -> bool {
        let (page, at) = place(number);
        self.pages[page].from(at).starts_with(texts)
    }

    /// How much memory the rows take, in bytes, and how much their texts.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let page = size_of::<Page>() - size_of::<Vec<u8>>();
        let pages = self.pages.len() * page + size_of_val(self.pages.as_slice());
        let texts = |page: &Page| page.texts.capacity() + size_of::<Vec<u8>>();
        let texts = self.pages.iter().map(|page| texts(page)).sum();
        (pages + self.free.capacity() * size_of::<u32>(), texts)
    }
}

fn place(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pin(name: &str, handle: Option<&str>, key: Option<&str>) -> Pin {
        Pin {
            submission: SubmissionId::new(),
            event: "e".parse().unwrap(),
            participant: key.map_or_else(|| Participant::key_of(name, handle), ToOwned::to_owned),
            name: name.to_owned(),
            handle: handle.map(ToOwned::to_owned),
            place: String::new(),
            country: None,
            point: LatLng::new(1.0, 2.0).unwrap(),
            at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_row_is_small_and_says_what_the_pin_said() {
        assert_eq!(size_of::<Row>(), 32);
        for (lat, lng, at) in [
            (-90.0, -180.0, time::macros::datetime!(2026-03-20 12:00:00.123 UTC)),
            (90.0, 180.0, time::macros::datetime!(6400-12-31 23:59:59.999 UTC)),
            (0.01, -0.01, time::macros::datetime!(1969-12-31 23:59:59.999 UTC)),
        ] {
            let point = LatLng::new(lat, lng).unwrap();
            let country = (lat > 0.0).then(|| "FR".to_owned());
            let pin = Pin { point, at, country, ..pin("Ann", None, None) };
            let row = Row::of(&pin, 7);
            assert_eq!((row.id(), row.time(), row.place), (pin.submission, at, 7));
            assert_eq!(degrees(row.point), Some(point));
            assert_eq!(row.country().is_some(), pin.country.is_some());
        }
    }

    #[test]
    fn what_follows_from_the_name_is_not_kept() {
        let follows = pin("Ann Ó", None, None);
        assert_eq!(Texts::of(&follows).written().len(), 1 + "Ann Ó".len());
        assert_eq!(Texts::of(&follows).participant(), "name:annó");
        let other = pin("Ann", Some("@ann"), Some("handle:bob"));
        assert_eq!(Texts::of(&other).written().len(), 4 + 5 + 11);
        assert_eq!(Texts::of(&other).participant(), "handle:bob");
    }

    proptest! {
        #[test]
        fn every_row_keeps_its_texts(
            steps in proptest::collection::vec(
                (0usize..100, ".{0,40}", proptest::option::of(".{0,40}"), any::<bool>()), 0..200,
            )
        ) {
            let (mut rows, mut there) = (Rows::default(), BTreeMap::new());
            for (which, name, handle, odd) in steps {
                let numbers: Vec<u32> = there.keys().copied().collect();
                if let Some(number) = numbers.get(which) {
                    rows.remove(*number);
                    there.remove(number);
                    continue;
                }
                let pin = pin(&name, handle.as_deref(), odd.then_some("odd"));
                let number = rows.add(Row::of(&pin, 1), &Texts::of(&pin).written());
                prop_assert!(there.insert(number, pin).is_none());
            }
            for (number, pin) in &there {
                let texts = rows.texts(*number);
                prop_assert_eq!((texts.name, texts.handle), (&*pin.name, pin.handle.as_deref()));
                prop_assert_eq!(texts.participant(), pin.participant.as_str());
                prop_assert_eq!(rows.get(*number).id(), pin.submission);
                prop_assert!(rows.are(*number, &Texts::of(pin).written()));
                let other = Texts { key: Some("?"), ..Texts::of(pin) };
                prop_assert!(!rows.are(*number, &other.written()));
            }
            there.keys().for_each(|number| rows.remove(*number));
            prop_assert!(rows.pages.is_empty());
        }
    }
}
