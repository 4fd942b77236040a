//! One examination of the node: the canary under every profile, each in a slot of its own that is
//! opened for it and closed after, so that no slot of the worker's has to be drained for it.

use std::sync::Arc;

use portcall_shared::store::{nodes::CanaryDifference, orders::MOST_SLOTS};
use tokio::time::timeout;

use crate::{
    canary::{self, CanaryError, Examination},
    fleet::{FleetError, Profile, StartFailure},
    gate::{Examined, LONGEST, Outcome, watch::Examiner},
    post::Post,
    worker::SlotUse,
};

/// The profiles of strangers' containers.
const PROFILES: [Profile; 2] = [Profile::Ordinary, Profile::Strict];

impl Examiner for Post {
    async fn allowed(&self) {
        self.until(|charge| !charge.is_away()).await;
    }

    async fn examine(&self) -> Examined {
        let [ordinary, strict] = PROFILES;
        // At the same time: each is a container of half a processor that mostly waits.
        let (ordinary, strict) = tokio::join!(
            self.examine_under(ordinary, MOST_SLOTS),
            self.examine_under(strict, MOST_SLOTS + 1)
        );
        together([ordinary, strict])
    }
}

impl Post {
    /// Examines the node under one profile, in a slot of that number.
    async fn examine_under(&self, profile: Profile, number: u32) -> Examined {
        let slot = match self.open_once(number, SlotUse::Canary).await {
            Ok(slot) => slot,
            Err(error) => {
                return Examined { node: None, outcome: refused(profile, &error) };
            }
        };
        let node = Some(Arc::new(slot.node().clone()));
        let examined = timeout(LONGEST, canary::examine(self.fleet(), &slot, profile)).await;
        let outcome = match examined {
            Ok(examined) => outcome(profile, examined),
            Err(_) => {
                // What runs there is found by its labels.
                slot.doubt();
                Outcome::Impossible(format!("it took longer than {} s", LONGEST.as_secs()))
            }
        };
        if let Err(error) = self.close_slot(slot).await {
            tracing::warn!(%error, "the canary's slot is left to the reaper");
        }
        self.worker.posts.tell_news();
        Examined { node, outcome }
    }
}

/// A difference under one profile is one of the node.
fn together(each: [Examined; 2]) -> Examined {
    let node = each.iter().find_map(|examined| examined.node.clone());
    let (mut failed, mut impossible) = (Vec::new(), None);
    for examined in each {
        match examined.outcome {
            Outcome::Passed => {}
            Outcome::Failed(differences) => failed.extend(differences),
            Outcome::Impossible(why) => impossible = Some(why),
        }
    }
    let outcome = match (failed.is_empty(), impossible) {
        (false, _) => Outcome::Failed(failed),
        (true, Some(why)) => Outcome::Impossible(why),
        (true, None) => Outcome::Passed,
    };
    Examined { node, outcome }
}

fn outcome(profile: Profile, examined: Result<Examination, CanaryError>) -> Outcome {
    match examined {
        Ok(Examination { differences, .. }) if differences.is_empty() => Outcome::Passed,
        // A machine with much to do is not one with a hole.
        Ok(Examination { differences, .. }) if differences.iter().all(was_not_made) => {
            Outcome::Impossible(format!("{} of its attempts were not made", differences.len()))
        }
        Ok(Examination { mut differences, .. }) => {
            differences.retain(|d| !was_not_made(d));
            let difference = |d: canary::Difference| CanaryDifference {
                profile: word(profile).to_owned(),
                attempt: d.attempt,
                expected: d.expected,
                got: d.got,
            };
            Outcome::Failed(differences.into_iter().map(difference).collect())
        }
        Err(CanaryError::Start(StartFailure::LimitDropped { fields })) => {
            let got = format!("dropped or changed: {}", fields.join(", "));
            one(profile, "container_request", "kept whole", &got)
        }
        // It ran, and what stood there did not speak as it does.
        Err(CanaryError::Report { detail }) => one(profile, "report", "a report", &detail),
        Err(CanaryError::Start(StartFailure::Engine(error)) | CanaryError::Engine(error)) => {
            refused(profile, &error)
        }
        Err(
            error @ (CanaryError::Start(_)
            | CanaryError::Prober(_)
            | CanaryError::Ended { .. }
            | CanaryError::Silent { .. }),
        ) => Outcome::Impossible(told(&error)),
    }
}

/// Whether an attempt had no outcome: it came too late, or could not be begun.
fn was_not_made(difference: &canary::Difference) -> bool {
    difference.got == "TOO_LATE" || difference.got.starts_with("NOT_TRIED_")
}

/// An engine on which nothing may run has failed; one that does not answer has not.
fn refused(profile: Profile, error: &FleetError) -> Outcome {
    match error {
        FleetError::Unfit(why) => one(profile, "engine", "fit for strangers' containers", why),
        error => Outcome::Impossible(told(error)),
    }
}

fn one(profile: Profile, attempt: &str, expected: &str, got: &str) -> Outcome {
    Outcome::Failed(vec![CanaryDifference {
        profile: word(profile).to_owned(),
        attempt: attempt.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    }])
}

/// As in event files.
fn word(profile: Profile) -> &'static str {
    match profile {
        Profile::Ordinary => "ordinary",
        Profile::Strict => "strict",
    }
}

/// With its causes, on one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examined(outcome: Outcome) -> Examined {
        Examined { node: None, outcome }
    }

    #[test]
    fn one_profile_that_fails_is_a_node_that_fails() {
        let failed = one(Profile::Strict, "af_packet", "EPERM", "DONE");
        let away = Outcome::Impossible("away".to_owned());
        for (each, all) in [
            ([Outcome::Passed, Outcome::Passed], Outcome::Passed),
            ([Outcome::Passed, failed.clone()], failed.clone()),
            ([failed.clone(), away.clone()], failed.clone()),
            ([Outcome::Passed, away.clone()], away.clone()),
        ] {
            assert_eq!(together(each.clone().map(examined)).outcome, all, "{each:?}");
        }
    }

    #[test]
    fn what_could_not_be_run_has_not_failed_and_what_was_refused_has() {
        let of = |error| outcome(Profile::Ordinary, Err(error));
        let silent = CanaryError::Silent { after: LONGEST };
        assert!(matches!(of(silent), Outcome::Impossible(_)));
        let away = FleetError::Deadline { doing: "reading facts", after: LONGEST };
        assert!(matches!(of(CanaryError::Engine(away)), Outcome::Impossible(_)));
        let dropped = StartFailure::LimitDropped { fields: vec!["CapDrop".to_owned()] };
        let Outcome::Failed(differences) = of(CanaryError::Start(dropped)) else { panic!() };
        assert_eq!(differences[0].got, "dropped or changed: CapDrop");
        let unfit = FleetError::Unfit("it is too old".to_owned());
        assert!(matches!(of(CanaryError::Engine(unfit)), Outcome::Failed(_)));
        let garbled = CanaryError::Report { detail: "status 404".to_owned() };
        assert!(matches!(of(garbled), Outcome::Failed(_)));
    }
}
