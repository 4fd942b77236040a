//! Labels and queries against the real data, which is small enough to test whole.

use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::HashSet;

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

#[test]
fn a_label_means_one_place() {
    for (label, expected) in [
        ("San Francisco, CA, USA", "San Francisco, California, US"),
        ("San Francisco CA USA", "San Francisco, California, US"),
        ("san francisco", "San Francisco, California, US"),
        ("SoMa, San Francisco, CA", "San Francisco, California, US"),
        ("SF", "San Francisco, California, US"),
        ("San Francisco Bay Area", "San Francisco, California, US"),
        ("New York", "New York City, New York, US"),
        ("New York, NY", "New York City, New York, US"),
        ("NYC", "New York City, New York, US"),
        ("new york state", "New York City, New York, US"),
        ("Paris", "Paris, Île-de-France, FR"),
        ("Paris (France)", "Paris, Île-de-France, FR"),
        ("Paris - France", "Paris, Île-de-France, FR"),
        ("Paris, Texas", "Paris, Texas, US"),
        ("Berlin, Germany", "Berlin, DE"),
        ("Berlin Germany", "Berlin, DE"),
        ("Germany, Berlin", "Berlin, DE"),
        ("Berlin, DE", "Berlin, DE"),
        ("📍 Berlin 🇩🇪", "Berlin, DE"),
        ("münchen", "Munich, Bavaria, DE"),
        ("MUENCHEN", "Munich, Bavaria, DE"),
        ("Munchen, Deutschland", "Munich, Bavaria, DE"),
        ("Springfield, IL", "Springfield, Illinois, US"),
        ("Portland, OR", "Portland, Oregon, US"),
        ("London", "London, England, GB"),
        ("London, UK", "London, England, GB"),
        ("London, Ontario", "London, Ontario, CA"),
        ("London, ON, Canada", "London, Ontario, CA"),
        ("Portland", "Portland, Oregon, US"),
        ("Cambridge, Boston", "Cambridge, Massachusetts, US"),
        ("Rive Gauche, Paris, France", "Paris, Île-de-France, FR"),
        ("Birmingham, West Midlands, UK", "Birmingham, England, GB"),
        ("Göteborg", "Gothenburg, SE"),
        ("Київ", "Kyiv, UA"),
        ("Bay Area", "San Francisco, California, US"),
        ("Edinburgh, Scotland", "Edinburgh, Scotland, GB"),
        ("Vilnius/Lietuva", "Vilnius, LT"),
        ("Kyiv, Україна", "Kyiv, UA"),
        ("Richmond, Virginia", "Richmond, Virginia, US"),
        ("Perth, WA", "Perth, Western Australia, AU"),
        ("St. Louis, MO", "St. Louis, Missouri, US"),
        ("Saint Louis, Missouri", "St. Louis, Missouri, US"),
        ("Washington, D.C.", "Washington, District of Columbia, US"),
        ("Zürich/Switzerland", "Zürich, Zurich, CH"),
        ("Zurich", "Zürich, Zurich, CH"),
        ("København", "Copenhagen, DK"),
        ("Łódź", "Łódź, PL"),
        ("Москва", "Moscow, RU"),
        ("東京", "Tokyo, JP"),
        ("北京, 中国", "Beijing, CN"),
        ("서울", "Seoul, KR"),
        ("Αθήνα", "Athens, GR"),
        ("São Paulo, Brasil", "São Paulo, BR"),
        ("Bangalore, Karnataka, India", "Bengaluru, Karnataka, IN"),
        ("San Jose, Costa Rica", "San José, CR"),
        ("Singapore", "Singapore, SG"),
        ("Hong Kong", "Hong Kong, HK"),
        ("Xi'an", "Xi’an, Shaanxi, CN"),
    ] {
        match locate(label) {
            Located::One(found) => assert_eq!(found.label, expected),
            other => panic!("{label}: {other:?}"),
        }
    }
}

#[test]
fn an_area_stands_for_its_chief_city() {
    for (label, expected) in [
        ("Germany", "Berlin, DE"),
        ("UK", "London, England, GB"),
        ("DE", "Berlin, DE"),
        ("India", "New Delhi, Delhi, IN"),
        ("Lebanon", "Beirut, LB"),
        ("USA", "Washington, District of Columbia, US"),
        ("California", "Los Angeles, California, US"),
        ("Georgia, USA", "Atlanta, Georgia, US"),
        ("Québec", "Québec, Quebec, CA"),
    ] {
        assert_eq!(labels(locate(label)), [expected], "{label}");
    }
}

#[test]
fn a_label_may_need_a_choice() {
    for (label, among) in [
        ("Springfield", &["Springfield, Missouri, US", "Springfield, Massachusetts, US"][..]),
        ("Springfield, USA", &["Springfield, Missouri, US"][..]),
        ("Georgia", &["Tbilisi, GE", "Atlanta, Georgia, US"][..]),
        ("New Delhi", &["Delhi, IN", "New Delhi, Delhi, IN"][..]),
        ("Victoria", &["Victoria, British Columbia, CA", "Melbourne, Victoria, AU"][..]),
        ("Washington", &["Seattle, Washington, US", "Washington, District of Columbia, US"][..]),
    ] {
        let Located::Many(found) = locate(label) else { panic!("{label}: {:?}", locate(label)) };
        assert!((2..=8).contains(&found.len()));
        for expected in among {
            assert!(found.iter().any(|found| found.label == *expected), "{label}: {found:?}");
        }
    }
}

#[test]
fn a_label_may_mean_nothing() {
    for label in [
        "",
        " ,, ;",
        "xyzzyx",
        "The Internet",
        "Smallville, Germany",
        "Paris, Ontario",
        "127.0.0.1",
    ] {
        assert_eq!(locate(label), Located::None, "{label}");
    }
}

#[test]
fn the_first_suggestion() {
    for (query, expected) in [
        ("san fr", "San Francisco, California, US"),
        ("SAN FRANCISCO, cal", "San Francisco, California, US"),
        ("san francisco ca", "San Francisco, California, US"),
        ("springfield, ill", "Springfield, Illinois, US"),
        ("münch", "Munich, Bavaria, DE"),
        ("paris, us", "Paris, Texas, US"),
        ("york", "York, England, GB"),
        ("new york", "New York City, New York, US"),
        ("st lou", "St. Louis, Missouri, US"),
        ("моск", "Moscow, RU"),
        ("germany", "Berlin, DE"),
        ("Berlin, ", "Berlin, DE"),
    ] {
        let found = suggest(query, 8);
        assert_eq!(found.first().map(|found| found.label.as_str()), Some(expected), "{found:?}");
        assert!(found.len() <= 8);
    }
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

#[test]
fn the_worst_questions_are_answered() {
    for text in [
        "a",
        "s, c",
        "san, s, s, s, s",
        &"us ".repeat(50_000),
        &"ﷺ".repeat(50_000),
        &"paris,".repeat(50_000),
        &"zz us, us us ca, ca us, us ca us".repeat(9),
    ] {
        warm();
        let _ = locate(text);
        assert!(suggest(text, 50).len() <= 50);
        assert!(fold(text).len() <= LIMIT * 8);
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[a-z ,.]{0,60}|(san|us|ca|new|paris|,| ){0,20}") {
        warm();
        let _ = locate(&text);
        prop_assert!(suggest(&text, 8).len() <= 8);
    }

    #[test]
    fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
        let once = fold(&text);
        prop_assert_eq!(fold(&once), once);
    }
}
