//! What is sent, in which order: first a calm half with images that harm nobody, then a half with the
//! hostile ones among them, so that the two can be compared. Also what must come of each.

use portcall_shared::domain::{event::Profile, verdict::Outcome};

/// What one submission is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It must pass.
    Good,
    /// It harms nobody, and must fail.
    Bad,
    /// It is the attack of that number in [`ATTACKS`].
    Hostile(usize),
}

/// In which half it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Without hostile ones.
    Calm,
    /// With them.
    Hostile,
}

/// What must come of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It passes.
    Passes,
    /// It fails, with one of these reasons: a code, or `code:` for all that begin so. None: with any
    /// that is the participant's.
    Fails(&'static [&'static str]),
    /// It passes or fails, as the rules have it; what counts is what it achieved.
    Either,
}

/// An attack: a mode of the hostile program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    /// What it does, in a few words.
    pub(crate) what: &'static str,
    /// The mode.
    pub(crate) mode: &'static str,
    /// What the mode needs beside it.
    pub(crate) env: &'static [(&'static str, &'static str)],
    ordinary: Truth,
    strict: Truth,
}

/// The attacks, those that take the shortest first.
pub(crate) const ATTACKS: &[Attack] = &[
    attack("dials this machine", "reach", Truth::Either),
    attack("takes all memory", "mem", Truth::Fails(&["oom_killed"])),
    attack("answers without end", "answer:infinite", Truth::Fails(&["answer_too_large"])),
    attack("ends at once", "exit", Truth::Fails(&["exited"])),
    attack("answers a byte a second", "answer:slowbody", Truth::Fails(&["answer_timeout"])),
    attack("forks without end", "forkbomb", Truth::Fails(&["not_listening"])),
    attack("never listens", "nothing", Truth::Fails(&["not_listening"])),
    Attack {
        what: "writes the disk full",
        mode: "fill",
        env: &[("HOSTILE_PATH", "/"), ("HOSTILE_MIB", "400"), ("HOSTILE_WAIT_MS", "20000")],
        // Where the event gives it less time than that, it is ended for that.
        ordinary: Truth::Fails(&["disk_limit", "not_listening"]),
        strict: Truth::Either,
    },
];

const fn attack(what: &'static str, mode: &'static str, truth: Truth) -> Attack {
    Attack { what, mode, env: &[], ordinary: truth, strict: truth }
}

impl Attack {
    /// What must come of it.
    pub(crate) fn truth(&self, profile: Profile) -> Truth {
        match profile {
            Profile::Ordinary => self.ordinary,
            Profile::Strict => self.strict,
        }
    }
}

impl Truth {
    /// Whether that is what came.
    pub(crate) fn holds(self, outcome: Outcome, code: Option<&str>) -> bool {
        match (self, outcome) {
            (Self::Passes | Self::Either, Outcome::Passed) | (Self::Either, Outcome::Failed) => {
                true
            }
            (Self::Fails(codes), Outcome::Failed) => {
                codes.is_empty() || code.is_some_and(|code| codes.iter().any(|one| is(code, one)))
            }
            _ => false,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Passes => "passes".to_owned(),
            Self::Fails([]) => "fails".to_owned(),
            Self::Fails(codes) => format!("fails with {}", codes.join(" or ")),
            Self::Either => "passes or fails".to_owned(),
        }
    }
}

fn is(code: &str, wanted: &str) -> bool {
    match wanted.ends_with(':') {
        true => code.starts_with(wanted),
        false => code == wanted,
    }
}

/// So many submissions with these shares of hostile ones (in the second half) and of bad ones (among
/// those that harm nobody).
pub(crate) fn plan(count: usize, hostile: f64, bad: f64) -> Vec<(Half, Kind)> {
    let calm = if hostile > 0.0 { count / 2 } else { count };
    let mut attacks = (0..ATTACKS.len()).cycle();
    let mut harmless = 0;
    let mut planned = Vec::with_capacity(count);
    for number in 0..count {
        let half = if number < calm { Half::Calm } else { Half::Hostile };
        let kind = match half {
            Half::Hostile if is_turn(number - calm, hostile) => {
                Kind::Hostile(attacks.next().unwrap_or_default())
            }
            Half::Calm | Half::Hostile => {
                harmless += 1;
                if is_turn(harmless - 1, bad) { Kind::Bad } else { Kind::Good }
            }
        };
        planned.push((half, kind));
    }
    planned
}

/// Whether the share reaches one more with the next of a row: the first one does, and then each when
/// its turn has come.
#[expect(clippy::cast_precision_loss, reason = "there are no more than thousands")]
fn is_turn(number: usize, share: f64) -> bool {
    let turns = |number: usize| (number as f64 * share - 1e-9).ceil();
    turns(number + 1) > turns(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(planned: &[(Half, Kind)]) -> (usize, usize, usize) {
        let of = |wanted: fn(&Kind) -> bool| planned.iter().filter(|(_, k)| wanted(k)).count();
        (of(|k| *k == Kind::Good), of(|k| *k == Kind::Bad), of(|k| matches!(k, Kind::Hostile(_))))
    }

    #[test]
    fn the_shares_are_kept_and_spread() {
        let planned = plan(30, 0.2, 0.1);
        assert_eq!(counts(&planned[..15]), (13, 2, 0), "the calm half");
        assert_eq!(counts(&planned[15..]), (11, 1, 3));
        let at: Vec<usize> =
            (0..30).filter(|n| matches!(planned[*n].1, Kind::Hostile(_))).collect();
        assert_eq!(at, [15, 20, 25]);
        assert!(planned.iter().enumerate().all(|(n, (half, _))| (*half == Half::Calm) == (n < 15)));
        assert_eq!(counts(&plan(10, 0.0, 0.0)), (10, 0, 0));
        assert!(plan(10, 0.0, 0.5).iter().all(|(half, _)| *half == Half::Calm));
        assert_eq!(counts(&plan(10, 1.0, 1.0)), (0, 5, 5));
        assert_eq!(counts(&plan(0, 0.2, 0.2)), (0, 0, 0));
        assert_eq!(counts(&plan(2, 0.01, 0.0)), (1, 0, 1), "a share is never forgotten");
    }

    #[test]
    fn every_attack_has_its_turn() {
        let planned = plan(40, 1.0, 0.0);
        let kinds: Vec<Kind> = planned[20..].iter().map(|(_, kind)| *kind).collect();
        assert!((0..ATTACKS.len()).all(|n| kinds.contains(&Kind::Hostile(n))), "{kinds:?}");
    }

    #[test]
    fn what_came_is_held_against_the_truth() {
        use Outcome::{Cancelled, Failed, Passed, Undetermined};
        let oom = Truth::Fails(&["oom_killed"]);
        let rules = Truth::Fails(&["rule_failed:", "answer_status"]);
        for (truth, outcome, code, holds) in [
            (Truth::Passes, Passed, None, true),
            (Truth::Passes, Failed, Some("rule_failed:config"), false),
            (Truth::Passes, Undetermined, Some("node_lost"), false),
            (oom, Failed, Some("oom_killed"), true),
            (oom, Failed, Some("oom_killed_not"), false),
            (oom, Failed, Some("not_listening"), false),
            (oom, Failed, None, false),
            (oom, Passed, None, false),
            (rules, Failed, Some("rule_failed:config"), true),
            (rules, Failed, Some("answer_status"), true),
            (rules, Failed, Some("rule_failed"), false),
            (Truth::Fails(&[]), Failed, Some("exited"), true),
            (Truth::Fails(&[]), Passed, None, false),
            (Truth::Either, Passed, None, true),
            (Truth::Either, Failed, Some("x"), true),
            (Truth::Either, Undetermined, None, false),
            (Truth::Either, Cancelled, None, false),
        ] {
            assert_eq!(truth.holds(outcome, code), holds, "{truth:?} {outcome:?} {code:?}");
        }
    }
}
