//! Event files: what is read, and every mistake at once.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
slug = "birthday-3"
title = "Docker Birthday #3"
opens = 2026-03-20T00:00:00Z
profile = "strict"

[images]
min = 1
max = 4
aliases = ["vote", "result"]
registries = ["docker.io", "127.0.0.1:5000"]

[[answers]]
name = "vote"
one_of = ["Cats", "Dogs"]

[[services]]
alias = "redis"
image = "redis:7-alpine"

[[checks]]
name = "config"
image = "any"
get = "/getconfig"
status = 200
json = [
  { path = "$.name", equals = "{participant.name}" },
  { path = "$.count", equals = 3 },
  { path = "$.vote", one_of = ["Cats", "{answers.vote}"] },
  { path = "$.id", exists = true },
]

[limits]
memory_mib = 64
ready_s = 10
"#;

fn mistakes(source: &str) -> String {
    parse(source).expect_err("mistakes").to_string()
}

#[test]
fn reads_a_whole_file() {
    let event = parse(GOOD).unwrap();
    assert_eq!(event.profile, Profile::Strict);
    assert_eq!((event.images.min, event.images.max), (1, 4));
    assert_eq!((event.alias(0), event.alias(3)), ("vote".into(), "app4".into()));
    assert_eq!(event.checks[0].json.len(), 4);
    assert_eq!(event.checks[0].json[0].to_string(), "$.name equals {participant.name}");
    assert_eq!(event.limits.memory_mib, 64);
    assert_eq!(event.limits.ready, Duration::from_secs(10));
    assert_eq!(event.limits.request, Duration::from_secs(5));
}

#[test]
fn five_mistakes_are_all_told_with_their_lines() {
    let source = GOOD
        .replace("slug = \"birthday-3\"", "slug = \"Birthday 3\"")
        .replace("max = 4", "max = 40")
        .replace("status = 200", "status = \"ok\"")
        .replace("{answers.vote}", "{answers.colour}")
        .replace("memory_mib = 64", "memory_mb = 64");
    assert_snapshot!(mistakes(&source), @r"
    line 2: slug: not a valid event slug: only a-z, 0-9 and - may stand in it
    line 9: images.max: 40 is not from 1 to 8
    line 25: checks[0].status: expected a whole number, found string
    line 29: checks[0].json[2].one_of: `{answers.colour}`: no [[answers]] is called `colour`
    line 34: limits.memory_mb: unknown key; known are body_kib, cpus, grading_s, image_mib, memory_mib, pids, pull_s, ready_s, request_s, start_s
    ");
}

#[test]
fn a_registry_is_added_once_and_the_rest_stays() {
    let host: RegistryHost = "127.0.0.1:5001".parse().unwrap();
    let once = with_registry(GOOD, &host).unwrap();
    assert_eq!(with_registry(&once, &host).unwrap(), once);
    let event = parse(&once).unwrap();
    assert_eq!(event.images.registries.len(), 3);
    assert_eq!(event.checks, parse(GOOD).unwrap().checks);
    let bare = "slug = \"e\"\ntitle = \"E\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";
    assert_eq!(parse(&with_registry(bare, &host).unwrap()).unwrap().images.registries.len(), 4);
}

#[test]
fn a_file_under_another_name_has_the_same_rules_and_no_times() {
    let (event, slug) = (parse(GOOD).unwrap(), "other-1".parse().unwrap());
    assert!(event.opens.is_some());
    let other = parse(&renamed(GOOD, &slug, "Another").unwrap()).unwrap();
    assert_eq!((other.slug.as_str(), other.title.as_str()), ("other-1", "Another"));
    assert_eq!((other.opens, other.closes), (None, None));
    let same = Event { slug: event.slug.clone(), title: event.title.clone(), ..other };
    assert_eq!(same, Event { opens: None, closes: None, ..event });
    assert!(renamed("no = 1", &slug, "Another").is_err());
}

#[test]
fn syntax_and_omissions() {
    assert!(mistakes("slug = ").starts_with("line 1: "));
    let empty = mistakes("");
    assert!(empty.contains("slug: this key is missing"), "{empty}");
    assert!(empty.contains("at least one [[checks]]"), "{empty}");
}

#[test]
fn contradictions() {
    let twice = GOOD.replace("alias = \"redis\"", "alias = \"vote\"");
    assert!(mistakes(&twice).contains("`vote` is there twice"));
    let closes = GOOD.replace("profile", "closes = 2026-03-19T00:00:00Z\nprofile");
    assert!(mistakes(&closes).contains("closes before it opens"));
    let short = GOOD.replace("ready_s = 10", "ready_s = 10\ngrading_s = 30");
    assert!(mistakes(&short).contains("limits.grading_s: it must be more than"));
    assert!(parse(&short.replace("grading_s = 30", "grading_s = 31")).is_ok());
    let two = GOOD.replace("status = 200", "post = \"/x\"");
    assert!(mistakes(&two).contains("one of get, post or head"));
    let index = GOOD.replace("image = \"any\"", "image = 4");
    assert!(mistakes(&index).contains("index from 0 to 3"));
    assert!(parse(&GOOD.replace("image = \"any\"", "image = 3")).is_ok());
}

#[test]
fn a_mistake_is_one_line_for_a_terminal() {
    let long = "x".repeat(100_000);
    for bad in [
        "\"\\u001b[2J\" = 1".to_owned(),
        "\"\\u202e\" = 1".to_owned(),
        format!("{long} = 1"),
        format!("[images]\nregistries = [\"\\u001b]0;{long}\"]"),
        "[[checks]]\nget = \"/{p\\rticipant.name}\"".to_owned(),
    ] {
        let Err(InvalidEvent(mistakes)) = parse(&bad) else { panic!("{bad}") };
        for mistake in mistakes {
            let told = mistake.to_string();
            assert!(!told.chars().any(text::is_hidden) && told.len() < 1000, "{told:?}");
        }
    }
}

/// An event with this instead of its line of services, checks and all.
fn with(section: &str) -> String {
    format!("slug = \"e\"\ntitle = \"E\"\n{section}\n[[checks]]\nname = \"c\"\nget = \"/\"\n")
}

/// So many entries, each with its number in place of `#`.
fn many(count: usize, entry: &str) -> String {
    (0..count).map(|n| entry.replace('#', &n.to_string())).collect()
}

/// No list is without a bound: as many as may stand there are read, one more is refused.
#[test]
fn every_list_has_a_bound() {
    let answers = |n| with(&many(n, "[[answers]]\nname = \"a#\"\n"));
    let services = |n| with(&many(n, "[[services]]\nalias = \"s#\"\nimage = \"redis\"\n"));
    let registries = |n| with(&format!("[images]\nregistries = [{}]", many(n, "\"r#.example\", ")));
    let choices =
        |n| with(&format!("[[answers]]\nname = \"a\"\none_of = [{}]", many(n, "\"v#\", ")));
    let aliases = |n| with(&format!("[images]\nmax = 8\naliases = [{}]", many(n, "\"i#\", ")));
    let checks = |n: usize| with(&many(n - 1, "[[checks]]\nname = \"c#\"\nget = \"/\"\n"));
    let rules =
        |n| with("") + &format!("json = [{}]\n", many(n, "{ path = \"$.a#\", exists = true }, "));
    let texts = |n| {
        let texts = many(n, "\"v#\", ");
        with("") + &format!("json = [{{ path = \"$.a\", one_of = [{texts}] }}]\n")
    };
    type Row<'a> = (&'a str, usize, &'a dyn Fn(usize) -> String);
    let rows: [Row<'_>; 8] = [
        ("answers", MAX_ANSWERS, &answers),
        ("services", MAX_SERVICES, &services),
        ("images.registries", MAX_REGISTRIES, &registries),
        ("answers[0].one_of", MAX_CHOICES, &choices),
        ("images.aliases", MAX_IMAGES, &aliases),
        ("checks", MAX_CHECKS, &checks),
        ("checks[0].json", MAX_RULES, &rules),
        ("checks[0].json[0].one_of", MAX_CHOICES, &texts),
    ];
    for (key, most, file) in rows {
        assert_eq!(parse(&file(most)).map(drop), Ok(()), "{key}");
        let told = mistakes(&file(most + 1));
        let expected = format!("{key}: there are {}; at most {most} may stand here", most + 1);
        assert!(told.contains(&expected), "{told}");
    }
    let typed = |n| with("") + &format!("content_type = \"{}\"\n", "t".repeat(n));
    assert!(parse(&typed(MAX_CONTENT_TYPE)).is_ok());
    assert!(mistakes(&typed(MAX_CONTENT_TYPE + 1)).contains("expected at most 200 bytes"));
}

/// Paths that stopped the process, or kept it for hours: the file is refused at once, by its line.
#[test]
fn a_path_that_would_keep_the_reader_is_refused_at_once() {
    let began = std::time::Instant::now();
    for (path, said) in [
        (format!("$[?{}", "(".repeat(200_000)), "at most 200 bytes"),
        (format!("${}{}", "[?@".repeat(45), "]".repeat(45)), "filters (`?`) are not taken"),
        (format!("${}{}", "[?@".repeat(20), "]".repeat(20)), "filters (`?`) are not taken"),
    ] {
        let checks = many(MAX_CHECKS, "[[checks]]\nname = \"c#\"\nget = \"/\"\njson = [RULE]\n");
        let rule = format!("{{ path = \"{path}\", exists = true }}");
        let file = match path.len() > 200 {
            true => with("").replace("get", &format!("json = [{rule}]\nget")),
            false => format!("slug = \"e\"\ntitle = \"E\"\n{}", checks.replace("RULE", &rule)),
        };
        let told = mistakes(&file);
        assert!(told.contains("checks[0].json[0].path: ") && told.contains(said), "{told:.300}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn times_are_what_can_be_written_in_utc() {
    let file = |time: &str| with(&format!("closes = {time}"));
    for good in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59+01:00", "1970-01-01T00:00:00Z"] {
        let event = parse(&file(good)).unwrap();
        assert!(event.closes.unwrap().offset().is_utc(), "{good}");
    }
    for bad in ["9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z"] {
        let told = mistakes(&file(bad));
        assert!(told.starts_with("line 3: closes: it is out of range"), "{bad}: {told}");
    }
}

/// To find the line of a mistake costs the whole file: not for each of twenty-five thousand.
#[test]
fn mistakes_without_end_are_told_in_part() {
    let file = many(25_000, "k#=1\n");
    let Err(InvalidEvent(told)) = parse(&file) else { panic!("it is not valid") };
    assert_eq!(told.len(), MAX_PROBLEMS);
    let few = many(MAX_PROBLEMS - 4, "k#=1\n");
    let Err(InvalidEvent(told)) = parse(&few) else { panic!("it is not valid") };
    assert_eq!(told.len(), MAX_PROBLEMS - 1, "and slug, title and checks");
}

#[test]
fn what_is_deep_is_refused_and_not_followed() {
    let deep = 100_000;
    for file in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{a=".repeat(deep / 2)),
        format!("a{} = 1", ".a".repeat(deep)),
        format!("[a{}]", ".a".repeat(deep)),
        format!("[[a{}]]", ".a".repeat(deep)),
    ] {
        assert!(mistakes(&file).starts_with("line 1: "), "{file:.20}");
    }
}

proptest! {
    #[test]
    fn never_panics(cut in 0usize..900, junk in "\\PC{0,20}") {
        let cut = cut.min(GOOD.len());
        let _ = parse(&format!("{}{junk}{}", &GOOD[..cut], &GOOD[cut..]));
    }
}
