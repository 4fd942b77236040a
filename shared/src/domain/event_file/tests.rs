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

proptest! {
    #[test]
    fn never_panics(cut in 0usize..900, junk in "\\PC{0,20}") {
        let cut = cut.min(GOOD.len());
        let _ = parse(&format!("{}{junk}{}", &GOOD[..cut], &GOOD[cut..]));
    }
}
