//! What is a reference, what is none, and that ours are read by others as by us.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn names_are_written_out() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (written, canonical) in [
        ("nginx", "docker.io/library/nginx:latest".to_owned()),
        ("index.docker.io/nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
        ("u/app", "docker.io/u/app:latest".to_owned()),
        ("ghcr.io/u/app:V2", "ghcr.io/u/app:V2".to_owned()),
        ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
        (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
        (&format!("nginx:1@{digest}"), format!("docker.io/library/nginx:1@{digest}")),
    ] {
        let image: ImageRef = written.parse().unwrap();
        assert_eq!(image.canonical(), canonical);
        let again: ImageRef = canonical.parse().unwrap();
        assert_eq!(again.canonical(), canonical, "it stands for itself");
    }
}

#[rstest]
#[case("alpine", "docker.io", "library/alpine", Some("latest"))]
#[case("u/app", "docker.io", "u/app", Some("latest"))]
#[case("u/app:1.0", "docker.io", "u/app", Some("1.0"))]
#[case("ghcr.io/u/app:x", "ghcr.io", "u/app", Some("x"))]
#[case("docker.io/library/nginx", "docker.io", "library/nginx", Some("latest"))]
#[case("index.docker.io/nginx", "docker.io", "library/nginx", Some("latest"))]
#[case("localhost/x", "localhost", "x", Some("latest"))]
#[case("localhost:5000", "docker.io", "library/localhost", Some("5000"))]
#[case("127.0.0.1:5000/a/b_c:T-1", "127.0.0.1:5000", "a/b_c", Some("T-1"))]
#[case("h.tld:65535/x", "h.tld:65535", "x", Some("latest"))]
#[case("a--b/c__d.e", "docker.io", "a--b/c__d.e", Some("latest"))]
// Names that look like addresses to some; the list of registries and the client refuse them.
#[case("2130706433/x", "docker.io", "2130706433/x", Some("latest"))]
#[case("0x7f.1/x", "0x7f.1", "x", Some("latest"))]
#[case("xn--80ak6aa92e.com/x", "xn--80ak6aa92e.com", "x", Some("latest"))]
#[case("docker.io/sha256:x", "docker.io", "library/sha256", Some("x"))]
fn accepts(#[case] text: &str, #[case] host: &str, #[case] path: &str, #[case] tag: Option<&str>) {
    let image: ImageRef = text.parse().expect(text);
    assert_eq!((image.host().as_str(), image.path(), image.tag()), (host, path, tag));
    assert_eq!(image.as_written(), text);
}

#[test]
fn a_digest_wins_over_a_tag() {
    let image: ImageRef = format!("u/app:1@sha256:{HEX}").parse().unwrap();
    assert_eq!(image.tag(), Some("1"));
    let digest = image.digest().cloned().unwrap();
    assert_eq!(image.pinned(&digest), format!("docker.io/u/app@sha256:{HEX}"));
    let image: ImageRef = format!("u/app@sha256:{HEX}").parse().unwrap();
    assert_eq!(image.tag(), None);
}

/// Each with the beginning of what is told.
#[rstest]
#[case("../../etc", "`..` is not a valid registry host")]
#[case("u/../x", "`..` is not a valid part")]
#[case("/u/x", "`` is not a valid part")]
#[case("u//x", "`` is not a valid part")]
#[case("u/x/", "`` is not a valid part")]
#[case("U/App", "`U` is not a valid part of an image name: it must be lower case")]
#[case("u/App", "`App` is not a valid part of an image name: it must be lower case")]
#[case("u/app:", "the tag is empty")]
#[case(":tag", "`` is not a valid part")]
#[case("u/app@sha256:xyz", "the digest must be")]
#[case("u/app --privileged", "the character ' ' may not")]
#[case("u/app\n", "the character U+000A may not")]
#[case("\nu/app", "the character U+000A may not")]
#[case("u/app\r", "the character U+000D may not")]
#[case("u/app%2f..", "the character '%' may not")]
#[case("u/аpp", "the character 'а' may not")]
#[case("u/app\u{200b}", "the character U+200B may not")]
#[case("\u{feff}u/app", "the character U+FEFF may not")]
#[case("u/app\u{202e}", "the character U+202E may not")]
#[case("ｕ/app", "the character 'ｕ' may not")]
#[case("u／app", "the character '／' may not")]
#[case("u/\u{212a}", "the character '\u{212a}' may not")]
#[case("http://h/x", "write the image name without `http:/`")]
#[case("docker://h/x", "write the image name without `docker:/`")]
#[case("oci-archive:/x", "write the image name without `oci-archive:/`")]
#[case("git+ssh://h/x", "write the image name without `git+ssh:/`")]
#[case("a\u{202e}b://h/x", "the character U+202E may not")]
#[case("user:pass@h/x", "the digest must be")]
#[case("h:99999/x", "`h:99999` is not a valid registry host")]
#[case("h:0/x", "`h:0` is not a valid registry host")]
#[case("h:00080/x", "`h:00080` is not a valid registry host")]
#[case("h:443:443/x", "`h:443:443` is not a valid registry host")]
#[case("h:+80/x", "the character '+' may not")]
#[case("h:/x", "write the image name without `h:/`")]
#[case("[::1]/x", "the character '[' may not")]
#[case("[::1]:80/x", "the character '[' may not")]
#[case("-h.tld/x", "`-h.tld` is not a valid registry host")]
#[case("h..tld/x", "`h..tld` is not a valid registry host")]
#[case("h.tld./x", "`h.tld.` is not a valid registry host")]
#[case("H.tld/x", "`H.tld` is not a valid registry host")]
#[case("h_h.tld/x", "`h_h.tld` is not a valid registry host")]
#[case("", "the image name is empty")]
#[case("   ", "the image name is empty")]
#[case("{{.Node.Hostname}}", "the character '{' may not")]
#[case("$(id)", "the character '$' may not")]
#[case("`id`", "the character '`' may not")]
#[case("-v", "`-v` is not a valid part")]
#[case("--help", "`--help` is not a valid part")]
#[case("a\0b", "the character U+0000 may not")]
#[case("u/app?x=1", "the character '?' may not")]
#[case("u/app#x", "the character '#' may not")]
#[case("u\\app", "the character '\\\\' may not")]
#[case("u/a___b", "`a___b` is not a valid part")]
#[case("u/a..b", "`a..b` is not a valid part")]
#[case("u/a._b", "`a._b` is not a valid part")]
#[case("u/a.", "`a.` is not a valid part")]
#[case("u/app:1:2", "the character ':' may not stand in the tag")]
#[case("u/app:1@", "the digest must be")]
#[case("u/app@sha256:", "the digest must be")]
#[case("u/app:.x", "the tag is empty or begins with")]
#[case("u/app:-x", "the tag is empty or begins with")]
#[case("sha256", "an image id is not enough")]
#[case("sha256:abc", "an image id is not enough")]
fn refuses_what_is_not_a_name(#[case] text: &str, #[case] told: &str) {
    let error = text.parse::<ImageRef>().expect_err(text).to_string();
    assert!(error.starts_with(told), "{text:?}: {error}");
}

#[rstest]
#[case(format!("@sha256:{HEX}"), "an image id is not enough")]
#[case(HEX.to_owned(), "an image id is not enough")]
#[case(HEX.to_uppercase(), "an image id is not enough")]
#[case(format!("{HEX}@sha256:{HEX}"), "an image id is not enough")]
#[case(format!("sha256:{HEX}"), "an image id is not enough")]
#[case(format!("sha256:{HEX}@sha256:{HEX}"), "an image id is not enough")]
#[case(format!("u/app@sha256:{}", HEX.to_uppercase()), "the digest must be")]
#[case(format!("u/app@sha256:{}", &HEX[1..]), "the digest must be")]
#[case(format!("u/app@sha256:{HEX}0"), "the digest must be")]
#[case(format!("u/app@sha512:{HEX}{HEX}"), "the digest must be")]
#[case(format!("u/app@md5:{}", &HEX[32..]), "the digest must be")]
#[case(format!("u/app@sha256:{HEX}@sha256:{HEX}"), "the digest must be")]
#[case(format!("u/app@sha256:{HEX}:tag"), "the digest must be")]
#[case("a".repeat(256), "the name with its registry is 274 bytes long")]
#[case(format!("u/app:{}", "t".repeat(129)), "the tag is 129 bytes long; at most 128")]
#[case("x".repeat(1 << 20), "the image name is 1048576 bytes long; at most 512")]
fn refuses_what_is_long_or_an_id(#[case] text: String, #[case] told: &str) {
    let error = text.parse::<ImageRef>().expect_err("refused").to_string();
    assert!(error.starts_with(told), "{error}");
}

#[test]
fn lengths_are_exact() {
    // docker.io/library/ takes 18 of the 255.
    assert!("a".repeat(237).parse::<ImageRef>().is_ok());
    assert!("a".repeat(238).parse::<ImageRef>().is_err());
    assert!(format!("h.tld/{}", "a".repeat(249)).parse::<ImageRef>().is_ok());
    assert!(format!("h.tld/{}", "a".repeat(250)).parse::<ImageRef>().is_err());
    assert!(format!("u/app:{}", "t".repeat(128)).parse::<ImageRef>().is_ok());
    let label = "h".repeat(63);
    assert!(format!("{label}.tld/x").parse::<ImageRef>().is_ok());
    assert!(format!("h{label}.tld/x").parse::<ImageRef>().is_err());
}

#[test]
fn loopback_is_recognised_by_address_not_by_prefix() {
    let loopback = |h: &str| h.parse::<RegistryHost>().unwrap().is_loopback();
    assert!(loopback("localhost") && loopback("localhost:5000") && loopback("127.0.0.1:5000"));
    assert!(loopback("127.9.9.9"));
    assert!(!loopback("127.0.0.1.evil.test") && !loopback("10.0.0.1:5000"));
    assert!(!loopback("localhost.evil.test") && !loopback("127.1") && !loopback("0.0.0.0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn never_panics_and_what_is_accepted_comes_back_the_same(text in "\\PC{0,80}") {
        if let Ok(image) = text.parse::<ImageRef>() {
            prop_assert_eq!(image.as_written().parse::<ImageRef>().unwrap(), image);
        }
    }

    #[test]
    fn names_are_read_as_others_read_them(text in near_a_name()) {
        agree(&text)?;
    }

    /// The letters of names in any order, which is where grammars differ.
    #[test]
    fn whatever_is_accepted_is_read_as_others_read_it(text in "[aB0._/:@-]{1,12}") {
        agree(&text)?;
    }

    /// What is pinned is read by others as the repository and digest that were checked.
    #[test]
    fn what_is_pinned_is_read_as_it_was_checked(text in near_a_name()) {
        if let Ok(image) = text.parse::<ImageRef>() {
            let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
            let read = reference::parse(&image.pinned(&digest)).expect("a name for others too");
            prop_assert_eq!(read.domain, image.host().as_str());
            prop_assert_eq!(read.path, image.path());
            prop_assert_eq!((read.tag, read.digest), (None, Some(digest.to_string())));
        }
    }
}

/// A name, or something with one letter too much, too little or another.
fn near_a_name() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        4 => Just(String::new()),
        4 => "[a-zA-Z0-9]{1,8}(\\.[a-zA-Z0-9-]{1,6}){0,2}(:[0-9]{1,6})?/",
        1 => "(localhost|(index\\.)?docker\\.io|\\[::1\\]|127\\.0\\.0\\.1)(:[0-9]{1,6})?/",
    ];
    let path = "[a-z0-9]{1,5}([._-]{0,3}[a-z0-9]{1,4}){0,2}(/[a-zA-Z0-9._-]{1,6}){0,2}";
    let tag = proptest::option::weighted(0.4, ":[A-Za-z0-9_.-]{0,8}");
    let digest = proptest::option::weighted(
        0.3,
        prop_oneof![
            Just(format!("@sha256:{HEX}")),
            "@(sha256|sha512|md5|a\\+b):[0-9a-fA-F]{31,65}",
        ],
    );
    let whole = (host, path, tag, digest).prop_map(|(host, path, tag, digest)| {
        format!("{host}{path}{}{}", tag.unwrap_or_default(), digest.unwrap_or_default())
    });
    let letters = "abZ09._-/:@[]+ \n%~é\u{212a}\0".chars().collect::<Vec<_>>();
    let change = (any::<prop::sample::Index>(), prop::sample::select(letters), 0..3_u8);
    (whole, proptest::option::weighted(0.3, change)).prop_map(|(text, change)| {
        let mut letters: Vec<char> = text.chars().collect();
        let length = letters.len();
        match change {
            Some((at, letter, 0)) => letters.insert(at.index(length + 1), letter),
            Some((at, letter, 1)) => letters[at.index(length)] = letter,
            Some((at, ..)) => drop(letters.remove(at.index(length))),
            None => {}
        }
        letters.into_iter().collect()
    })
}

/// What we accept, the reference accepts, and it reads the same parts; what only the reference
/// accepts is one of the things that we refuse on purpose.
fn agree(text: &str) -> Result<(), TestCaseError> {
    match (text.parse::<ImageRef>(), reference::parse(text)) {
        (Ok(image), Some(read)) => {
            prop_assert_eq!(read.domain, image.host().as_str(), "{}", text);
            prop_assert_eq!(read.path, image.path(), "{}", text);
            prop_assert_eq!(&read.digest, &image.digest().map(ToString::to_string), "{}", text);
            let latest = (read.digest.is_none()).then(|| "latest".to_owned());
            let tag = read.tag.or(latest);
            prop_assert_eq!(tag.as_deref(), image.tag(), "{}", text);
        }
        (Ok(_), None) => prop_assert!(false, "only we accept {:?}", text),
        (Err(error), Some(_)) => {
            let on_purpose = match &error {
                InvalidImage::Host { .. } | InvalidImage::Digest | InvalidImage::BareId => true,
                InvalidImage::TooLong { .. } => text.len() > MAX_NAME,
                InvalidImage::Character { character, .. } => "[]+".contains(*character),
                // `Host/x` without a dot is a host for others, and for nobody who submits.
                InvalidImage::Component { component, .. } => {
                    component.to_lowercase() != *component && text.starts_with(component)
                }
                _ => false,
            };
            prop_assert!(on_purpose, "only the reference accepts {:?}: {}", text, error);
        }
        (Err(_), None) => {}
    }
    Ok(())
}

/// `distribution/reference`, written down from its `regexp.go` and `normalize.go`.
mod reference {
    use std::sync::LazyLock;

    use regex::Regex;

    pub(super) struct Read {
        pub(super) domain: String,
        pub(super) path: String,
        pub(super) tag: Option<String>,
        pub(super) digest: Option<String>,
    }

    const PATH: &str = "[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*";
    const LABEL: &str = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";

    fn domain() -> String {
        format!("(?:{LABEL}(?:\\.{LABEL})*|\\[(?:[a-fA-F0-9:]+)\\])(?::[0-9]+)?")
    }

    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
        let name = format!("(?:{}/)?{PATH}(?:/{PATH})*", domain());
        let tag = "[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}";
        let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,}";
        Regex::new(&format!("\\A({name})(?::({tag}))?(?:@({digest}))?\\z")).unwrap()
    });

    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(&format!("\\A(?:({})/)?({PATH}(?:/{PATH})*)\\z", domain())).unwrap()
    });

    static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("\\A[a-f0-9]{64}\\z").unwrap());

    /// `ParseNormalizedNamed`.
    pub(super) fn parse(text: &str) -> Option<Read> {
        if ID.is_match(text) {
            return None;
        }
        let (domain, rest) = split(text);
        let path = rest.split_once('@').map_or(rest.as_str(), |(path, _)| path);
        let path = path.split_once(':').map_or(path, |(path, _)| path);
        if path.to_lowercase() != path {
            return None;
        }
        let whole = format!("{domain}/{rest}");
        let parts = REFERENCE.captures(&whole)?;
        if parts[1].len() > 255 {
            return None;
        }
        let name = NAME.captures(&parts[1])?;
        let part = |n: usize| parts.get(n).map(|part| part.as_str().to_owned());
        let digest = part(3);
        if let Some((algorithm, hex)) = digest.as_deref().and_then(|d| d.split_once(':')) {
            let length = match algorithm {
                "sha256" => 64,
                "sha384" => 96,
                "sha512" => 128,
                _ => return None,
            };
            let lower = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if hex.len() != length || !lower {
                return None;
            }
        }
        let domain = name.get(1)?.as_str().to_owned();
        Some(Read { domain, path: name[2].to_owned(), tag: part(2), digest })
    }

    /// `splitDockerDomain`.
    fn split(name: &str) -> (String, String) {
        let (domain, rest) = match name.split_once('/') {
            Some((first, rest))
                if first == "localhost"
                    || first.contains(['.', ':'])
                    || first.to_lowercase() != first =>
            {
                (first, rest)
            }
            _ => ("docker.io", name),
        };
        let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
        match domain == "docker.io" && !rest.contains('/') {
            true => (domain.to_owned(), format!("library/{rest}")),
            false => (domain.to_owned(), rest.to_owned()),
        }
    }
}
