//! The parts of an engine, and the versions from which on they lack no mended hole that a stranger's
//! image could use. A version below is a warning and no refusal: distributions mend older versions
//! without renaming them, so it is the canary that decides.
//!
//! Not here, since our requests cover them on every engine: CVE-2026-31431 (`AF_ALG`; engines refuse
//! it from 29.4.2 on, our filter of system calls always does), CVE-2024-29018 (names leave an internal
//! network; 23.0.11, 25.0.5, 26.0.0; we always name a resolver that is nowhere), CVE-2019-5736
//! (nothing is ever executed in a running container).

/// A part of the engine, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// `Engine`, `containerd`, `runc`, `docker-init`.
    pub name: String,
    /// Its version, with whatever a distribution adds: `1.1.5+ds1`.
    pub version: String,
    /// The package that it is from, where it says so: `1.1.5+ds1-1+deb12u1`.
    pub package: Option<String>,
}

/// From which versions on a hole is mended.
struct Mended {
    component: &'static str,
    /// The first mended version of each branch, in their order; what is newer than the last of them
    /// is mended too.
    from: &'static [Version],
    /// The hole.
    hole: &'static str,
}

/// What comes before a release sorts before it.
type Version = (u32, u32, u32, Stage);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before,
    Released,
}

const fn release(major: u32, minor: u32, patch: u32) -> Version {
    (major, minor, patch, Stage::Released)
}

/// Sources: the advisories of opencontainers/runc (GHSA-xr7r-f8xq-vfvv, GHSA-9493-h29p-rfm2,
/// GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm) and containerd (GHSA-265r-hfxg-fhmg).
const MENDED: [Mended; 3] = [
    Mended {
        component: "runc",
        from: &[release(1, 1, 12)],
        hole: "CVE-2024-21626: a working directory that is the machine's",
    },
    Mended {
        component: "runc",
        from: &[release(1, 2, 8), release(1, 3, 3), release(1, 4, 0)],
        hole: "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881: writing to /proc through links",
    },
    Mended {
        component: "containerd",
        from: &[release(1, 6, 38), release(1, 7, 27), release(2, 0, 4)],
        hole: "CVE-2024-40635: a user id that is too large becomes root",
    },
];

impl Mended {
    /// Whether that version is mended.
    fn is_in(&self, version: Version) -> bool {
        let branch = |v: Version| (v.0, v.1);
        match self.from.iter().find(|from| branch(**from) == branch(version)) {
            Some(from) => version >= *from,
            None => self.from.last().is_some_and(|newest| version > *newest),
        }
    }

    fn list(&self) -> String {
        let each: Vec<String> =
            self.from.iter().map(|(a, b, c, _)| format!("{a}.{b}.{c}")).collect();
        each.join(", ")
    }
}

/// One sentence for each hole that these versions have.
pub(super) fn warnings(components: &[Component]) -> Vec<String> {
    let mut warnings = Vec::new();
    for mended in &MENDED {
        let name = mended.component;
        let Some(found) = components.iter().find(|component| component.name == name) else {
            continue;
        };
        let package = found.package.iter().map(|package| format!(" (package {package})"));
        let told = format!("{name} {}{}", found.version, package.collect::<String>());
        match parse(&found.version) {
            Some(version) if mended.is_in(version) => {}
            Some(_) => warnings.push(format!(
                "{told} is older than {} and, unless its distribution mended it, has {}",
                mended.list(),
                mended.hole
            )),
            None => warnings.push(format!("{told}: nobody knows whether it has {}", mended.hole)),
        }
    }
    for name in ["containerd", "runc"] {
        if !components.iter().any(|component| component.name == name) {
            warnings.push(format!("the engine does not say which {name} it uses"));
        }
    }
    warnings
}

/// The numbers of a version: `v1.7.27`, `1.1.5+ds1`, `1.6.20~ds1`, `20.10.24+dfsg1`,
/// `1.3.0-0ubuntu2`, `1.4.0-rc.2`.
fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    let patch = parts.next().unwrap_or(Some(0))?;
    let suffix = suffix.trim_start_matches(['-', '~', '+', '.']);
    let is_before = ["rc", "beta", "alpha", "dev"].iter().any(|word| suffix.starts_with(word));
    Some((major, minor, patch, if is_before { Stage::Before } else { Stage::Released }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, version: &str) -> Component {
        Component { name: name.into(), version: version.into(), package: None }
    }

    /// The warnings about one component, the other being mended.
    fn about(name: &str, version: &str) -> Vec<String> {
        let others = [of("runc", "1.4.0"), of("containerd", "2.0.4")];
        let rest = others.into_iter().filter(|component| component.name != name);
        warnings(&rest.chain([of(name, version)]).collect::<Vec<_>>())
    }

    #[test]
    fn both_sides_of_every_version() {
        for (name, mended, not) in [
            ("runc", "1.2.8", "1.2.7"),
            ("runc", "1.3.3", "1.3.2"),
            ("runc", "1.4.0", "1.3.0"),
            ("runc", "1.4.0", "1.4.0-rc.2"),
            ("runc", "1.5.0-rc.1", "1.1.15"),
            ("runc", "2.0.0", "1.0.0-rc95"),
            ("runc", "v1.2.8", "v1.2.8-rc.1"),
            ("runc", "1.3.3-0ubuntu1~24.04.2", "1.3.0-0ubuntu2~24.04.1"),
            ("runc", "1.4.0+ds1", "1.1.5+ds1"),
            ("containerd", "1.6.38", "1.6.37"),
            ("containerd", "1.7.27", "1.7.26"),
            ("containerd", "v2.0.4", "v2.0.3"),
            ("containerd", "2.1.0", "1.5.99"),
            ("containerd", "2.1.0", "2.0.4~rc1"),
            ("containerd", "1.6.38~ds1", "1.6.20~ds1"),
        ] {
            assert_eq!(about(name, mended), [""; 0], "{name} {mended}");
            let warned = about(name, not);
            let expected = format!("{name} {not} is older than ");
            assert!(!warned.is_empty() && warned.iter().all(|w| w.starts_with(&expected)), "{not}");
            assert!(warned.iter().all(|warning| warning.contains("CVE-20")), "{warned:?}");
        }
    }

    #[test]
    fn each_hole_has_its_own_warning() {
        let holes = |version| about("runc", version).len();
        assert_eq!(
            [holes("1.1.11"), holes("1.1.12"), holes("1.2.7"), holes("1.2.8")],
            [2, 1, 1, 0]
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_reason_to_be_quiet() {
        for unreadable in ["", "N/A", "unknown", "1", "a1b2c3d", "99999999999.1.1"] {
            let warned = about("containerd", unreadable);
            assert!(warned[0].contains("nobody knows"), "{unreadable}: {warned:?}");
        }
        assert_eq!(warnings(&[]).len(), 2);
    }

    #[test]
    fn a_distributions_package_is_named() {
        let package = Some("1.1.5+ds1-1+deb12u1".to_owned());
        let warned = warnings(&[
            Component { package, ..of("runc", "1.1.5+ds1") },
            of("containerd", "1.6.38"),
        ]);
        assert!(warned[1].starts_with("runc 1.1.5+ds1 (package 1.1.5+ds1-1+deb12u1) is older"));
    }

    #[test]
    fn numbers_are_found_in_whatever_a_distribution_adds() {
        for (text, version) in [
            ("20.10.24+dfsg1", release(20, 10, 24)),
            ("1.6.20~ds1", release(1, 6, 20)),
            ("0.19.0", release(0, 19, 0)),
            ("29.6", release(29, 6, 0)),
            ("1.4.0-rc.3", (1, 4, 0, Stage::Before)),
            ("2.0.0~beta1", (2, 0, 0, Stage::Before)),
        ] {
            assert_eq!(parse(text), Some(version), "{text}");
        }
    }
}
