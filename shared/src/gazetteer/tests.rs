//! Labels and queries against the real data, which is small enough to test whole.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rstest::rstest;

use super::fold::{LIMIT, fold};
use super::index::{INDEX, PlaceId};
use super::{Found, Located, locate, suggest, warm};

fn labels(located: Located) -> Vec<String> {
    match located {
        Located::One(found) => vec![found.label],
        Located::Many(found) => found.into_iter().map(|found| found.label).collect(),
        Located::None => Vec::new(),
    }
}

#[rstest]
#[case("San Francisco, CA, USA", "San Francisco, California, US")]
#[case("San Francisco CA USA", "San Francisco, California, US")]
#[case("san francisco", "San Francisco, California, US")]
#[case("SoMa, San Francisco, CA", "San Francisco, California, US")]
#[case("SF", "San Francisco, California, US")]
#[case("San Francisco Bay Area", "San Francisco, California, US")]
#[case("New York", "New York City, New York, US")]
#[case("New York, NY", "New York City, New York, US")]
#[case("NYC", "New York City, New York, US")]
#[case("new york state", "New York City, New York, US")]
#[case("Paris", "Paris, Île-de-France, FR")]
#[case("Paris (France)", "Paris, Île-de-France, FR")]
#[case("Paris - France", "Paris, Île-de-France, FR")]
#[case("Paris, Texas", "Paris, Texas, US")]
#[case("Berlin, Germany", "Berlin, DE")]
#[case("Berlin Germany", "Berlin, DE")]
#[case("Germany, Berlin", "Berlin, DE")]
#[case("Berlin, DE", "Berlin, DE")]
#[case("📍 Berlin 🇩🇪", "Berlin, DE")]
#[case("münchen", "Munich, Bavaria, DE")]
#[case("MUENCHEN", "Munich, Bavaria, DE")]
#[case("Munchen, Deutschland", "Munich, Bavaria, DE")]
#[case("Springfield, IL", "Springfield, Illinois, US")]
#[case("Portland, OR", "Portland, Oregon, US")]
#[case("London", "London, England, GB")]
#[case("London, UK", "London, England, GB")]
#[case("London, Ontario", "London, Ontario, CA")]
#[case("London, ON, Canada", "London, Ontario, CA")]
#[case("Portland", "Portland, Oregon, US")]
#[case("Cambridge, Boston", "Cambridge, Massachusetts, US")]
#[case("Rive Gauche, Paris, France", "Paris, Île-de-France, FR")]
#[case("Birmingham, West Midlands, UK", "Birmingham, England, GB")]
#[case("Göteborg", "Gothenburg, SE")]
#[case("Київ", "Kyiv, UA")]
#[case("Bay Area", "San Francisco, California, US")]
#[case("Edinburgh, Scotland", "Edinburgh, Scotland, GB")]
#[case("Vilnius/Lietuva", "Vilnius, LT")]
#[case("Kyiv, Україна", "Kyiv, UA")]
#[case("Richmond, Virginia", "Richmond, Virginia, US")]
#[case("Perth, WA", "Perth, Western Australia, AU")]
#[case("St. Louis, MO", "St. Louis, Missouri, US")]
#[case("Saint Louis, Missouri", "St. Louis, Missouri, US")]
#[case("Washington, D.C.", "Washington, District of Columbia, US")]
#[case("Zürich/Switzerland", "Zürich, Zurich, CH")]
#[case("Zurich", "Zürich, Zurich, CH")]
#[case("København", "Copenhagen, DK")]
#[case("Łódź", "Łódź, PL")]
#[case("Москва", "Moscow, RU")]
#[case("東京", "Tokyo, JP")]
#[case("北京, 中国", "Beijing, CN")]
#[case("서울", "Seoul, KR")]
#[case("Αθήνα", "Athens, GR")]
#[case("São Paulo, Brasil", "São Paulo, BR")]
#[case("Bangalore, Karnataka, India", "Bengaluru, Karnataka, IN")]
#[case("San Jose, Costa Rica", "San José, CR")]
#[case("Singapore", "Singapore, SG")]
#[case("Hong Kong", "Hong Kong, HK")]
#[case("Xi'an", "Xi’an, Shaanxi, CN")]
fn a_label_means_one_place(#[case] label: &str, #[case] expected: &str) {
    match locate(label) {
        Located::One(found) => assert_eq!(found.label, expected),
        other => panic!("{label}: {other:?}"),
    }
}

#[rstest]
#[case::capital("Germany", "Berlin, DE")]
#[case::an_alias("UK", "London, England, GB")]
#[case::a_code("DE", "Berlin, DE")]
#[case::by_its_own_name("India", "New Delhi, Delhi, IN")]
#[case::not_the_cities_of_that_name("Lebanon", "Beirut, LB")]
#[case::not_a_town_in_japan("USA", "Washington, District of Columbia, US")]
#[case::a_division("California", "Los Angeles, California, US")]
#[case::a_division_of_a_country("Georgia, USA", "Atlanta, Georgia, US")]
#[case::the_namesake_city_of_a_division("Québec", "Québec, Quebec, CA")]
fn an_area_stands_for_its_chief_city(#[case] label: &str, #[case] expected: &str) {
    a_label_means_one_place(label, expected);
}

#[rstest]
#[case("Springfield", &["Springfield, Missouri, US", "Springfield, Massachusetts, US"])]
#[case("Springfield, USA", &["Springfield, Missouri, US"])]
#[case("Georgia", &["Tbilisi, GE", "Atlanta, Georgia, US"])]
#[case("New Delhi", &["Delhi, IN", "New Delhi, Delhi, IN"])]
#[case("Victoria", &["Victoria, British Columbia, CA", "Melbourne, Victoria, AU"])]
#[case("Washington", &["Seattle, Washington, US", "Washington, District of Columbia, US"])]
fn a_label_may_need_a_choice(#[case] label: &str, #[case] among: &[&str]) {
    let Located::Many(found) = locate(label) else { panic!("{label}: {:?}", locate(label)) };
    assert!((2..=8).contains(&found.len()));
    for expected in among {
        assert!(found.iter().any(|found| found.label == *expected), "{label}: {found:?}");
    }
}

#[rstest]
#[case("")]
#[case(" ,, ;")]
#[case("xyzzyx")]
#[case("The Internet")]
#[case("Smallville, Germany")]
#[case("Paris, Ontario")]
#[case("127.0.0.1")]
fn a_label_may_mean_nothing(#[case] label: &str) {
    assert_eq!(locate(label), Located::None, "{label}");
}

#[rstest]
#[case("san fr", "San Francisco, California, US")]
#[case("SAN FRANCISCO, cal", "San Francisco, California, US")]
#[case("san francisco ca", "San Francisco, California, US")]
#[case("springfield, ill", "Springfield, Illinois, US")]
#[case("münch", "Munich, Bavaria, DE")]
#[case("paris, us", "Paris, Texas, US")]
#[case("york", "York, England, GB")]
#[case("new york", "New York City, New York, US")]
#[case("st lou", "St. Louis, Missouri, US")]
#[case("моск", "Moscow, RU")]
#[case("germany", "Berlin, DE")]
#[case("Berlin, ", "Berlin, DE")]
fn the_first_suggestion(#[case] query: &str, #[case] expected: &str) {
    let found = suggest(query, 8);
    assert_eq!(found.first().map(|found| found.label.as_str()), Some(expected), "{found:?}");
    assert!(found.len() <= 8);
}

#[test]
fn exact_names_come_first_and_then_the_populous() {
    for query in ["berlin", "springf", "wash", "x"] {
        let found = suggest(query, 50);
        let name = |found: &Found| fold(found.label.split(',').next().unwrap_or_default());
        let own = || found.iter().filter(|found| name(found).starts_with(query));
        let rank = |found: &&Found| (name(found) != query, Reverse(found.population));
        assert!(own().count() > 1 && own().is_sorted_by_key(|found| rank(&found)), "{found:?}");
    }
}

#[test]
fn limits_are_kept() {
    assert!(suggest("a", 0).is_empty());
    assert_eq!(suggest("a", 3).len(), 3);
    assert_eq!(suggest("a", usize::MAX).len(), 50);
    assert!(suggest("", 8).is_empty());
}

#[test]
fn suggestions_are_told_apart_by_their_labels() {
    for query in ["san", "santa", "san jose", "victoria", "a"] {
        let found = suggest(query, 50);
        let labels: HashSet<_> = found.iter().map(|found| &found.label).collect();
        assert_eq!(labels.len(), found.len(), "{query}");
    }
}

#[test]
fn a_suggested_label_leads_back_to_its_place() {
    for id in INDEX.ids() {
        let label = Found::new(id).label;
        let found = labels(locate(&label));
        // Two names may differ by a mark only, which folding takes away.
        let same = |other: &String| fold(other) == fold(&label);
        assert!(found.iter().any(same), "{label}: {found:?}");
    }
}

#[test]
fn the_data_is_sane() {
    assert!((30_000..40_000).contains(&warm()));
    assert!((240..255).contains(&INDEX.areas.iter().filter(|a| a.is_country()).count()));
    let places = || INDEX.ids().map(|id: PlaceId| INDEX.place(id));
    assert!(places().is_sorted_by_key(|place| Reverse(place.population)));
    for place in places() {
        assert!((-90.0..=90.0).contains(&place.lat), "{}", place.name);
        assert!((-180.0..=180.0).contains(&place.lng), "{}", place.name);
        assert!(!place.name.trim().is_empty() && place.name.len() < 80);
        assert!(INDEX.area(place.country).is_country());
        assert!(!fold(place.name).is_empty(), "{}", place.name);
    }
    let mut states = places().filter(|place| INDEX.area(place.country).code == "US");
    assert!(states.all(|place| place.region.is_some()));
}

#[rstest]
#[case("a")]
#[case("s, c")]
#[case("san, s, s, s, s")]
#[case(&"us ".repeat(50_000))]
#[case(&"ﷺ".repeat(50_000))]
#[case(&"paris,".repeat(50_000))]
#[case(&"zz us, us us ca, ca us, us ca us".repeat(9))]
fn the_worst_questions_are_answered_soon(#[case] text: &str) {
    warm();
    let start = Instant::now();
    let _ = (suggest(text, 50), locate(text));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(fold(text).len() <= LIMIT * 8);
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[a-z ,.]{0,60}|(san|us|ca|new|paris|,| ){0,20}") {
        warm();
        let start = Instant::now();
        let _ = (suggest(&text, 8), locate(&text));
        prop_assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
        let once = fold(&text);
        prop_assert_eq!(fold(&once), once);
    }
}
