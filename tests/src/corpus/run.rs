//! Running rows: in batches of as many as there are slots for, each beside a submission that harms
//! nobody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, future::try_join_all, stream};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    row::{Expected, OF_THE_REGISTRY, Profile, Row, Rules, Stage, Submits},
    scene::{PATIENCE, SLOTS, Scene, Stand},
};
use crate::parts::client::{is_final, reason};

/// What came out of one row under one profile.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row.
    pub id: String,
    /// What it does.
    pub what: String,
    /// Under which profile.
    pub profile: &'static str,
    /// What had to come out.
    pub expected: String,
    /// What did.
    pub got: String,
    /// From the POST until it was final.
    pub took: Duration,
    /// The status document, if there is one.
    pub document: Value,
    /// Violations of its batch.
    pub harm: usize,
}

impl Outcome {
    /// The submission, if a container was made for it: it was graded, and what came out is not about
    /// its image or the registry, which are found out before there is one.
    #[must_use]
    pub fn contained(&self) -> Option<&str> {
        let reason = reason(&self.document);
        let graded = match self.document["state"].as_str() {
            Some("passed") => true,
            Some("failed") => !["image_", "registry_"].iter().any(|of| reason.starts_with(of)),
            _ => false,
        };
        self.document["id"].as_str().filter(|_| graded)
    }

    /// Whether it is what had to come out.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.expected == self.got
    }
}

/// A row under one profile.
pub type Case = (Row, Profile);

/// Cases in the order in which they run: those that belong together follow each other.
#[must_use]
pub fn cases(rows: &[Row]) -> Vec<Case> {
    let of = |row: &Row| row.profiles.iter().map(|profile| (*row, *profile)).collect::<Vec<_>>();
    let mut all: Vec<Case> = rows.iter().flat_map(of).collect();
    let name = |case: &Case| match case.0.stage {
        Stage::Any => None,
        Stage::Together(name) => Some((name, case.1.as_str())),
    };
    all.sort_by_key(name);
    all
}

impl Scene {
    /// Runs some cases at once, at most as many at a time as there are slots.
    ///
    /// # Errors
    /// When the platform does not answer at all, or when those that belong together did not meet.
    pub async fn play(&self, cases: &[Case]) -> Result<Vec<Outcome>> {
        self.survey().await?;
        let mut outcomes = self.meet(cases).await?;
        outcomes.extend(self.spread(cases).await?);
        Ok(outcomes)
    }

    /// The same beside submissions that harm nobody, whose outcomes come second. Those that must meet
    /// each other may need every slot that there is, and have the world to themselves first.
    ///
    /// # Errors
    /// When the platform does not answer at all, or when those that belong together did not meet.
    pub async fn play_beside(&self, cases: &[Case]) -> Result<(Vec<Outcome>, Vec<Outcome>)> {
        self.survey().await?;
        let mut outcomes = self.meet(cases).await?;
        let (others, controls) = tokio::join!(self.spread(cases), self.control());
        outcomes.extend(others?);
        Ok((outcomes, controls?))
    }

    /// Those of the cases that belong together, group after group.
    async fn meet(&self, cases: &[Case]) -> Result<Vec<Outcome>> {
        let together = |case: &&Case| case.0.stage != Stage::Any;
        let mut groups: Vec<Vec<&Case>> = Vec::new();
        for case in cases.iter().filter(together) {
            match groups.last_mut() {
                Some(group) if group[0].0.stage == case.0.stage && group[0].1 == case.1 => {
                    group.push(case);
                }
                _ => groups.push(vec![case]),
            }
        }
        let mut outcomes = Vec::new();
        for group in groups {
            let played = try_join_all(group.iter().map(|case| self.play_one(case))).await?;
            if played.iter().all(|outcome| !outcome.document.is_null()) {
                overlap(&played)?;
            }
            outcomes.extend(played);
        }
        Ok(outcomes)
    }

    /// The other cases, as they come.
    async fn spread(&self, cases: &[Case]) -> Result<Vec<Outcome>> {
        let others = cases.iter().filter(|case| case.0.stage == Stage::Any);
        let played = others.map(|case| self.play_one(case));
        let played: Vec<Result<Outcome>> =
            stream::iter(played).buffer_unordered(SLOTS + 2).collect().await;
        played.into_iter().collect()
    }

    /// Runs one case.
    ///
    /// # Errors
    /// When its image cannot be made, or the platform does not answer at all.
    pub async fn play_one(&self, (row, profile): &Case) -> Result<Outcome> {
        let participant = match (row.submits, row.expected) {
            // Its image answers with one name.
            (
                Submits::Misbehaving(_) | Submits::Fresh(_),
                Expected::Passed | Expected::PassedFirst,
            ) => OF_THE_REGISTRY.to_owned(),
            _ => self.participant(row.id),
        };
        let stand = Stand { scene: self, profile: *profile, participant: &participant };
        let recipe = match row.submits {
            Submits::Reference(reference) => {
                let reference = reference(&stand).await.with_context(|| format!("{row:?}"))?;
                return self.submit(row, *profile, &participant, &reference).await;
            }
            Submits::Misbehaving(name) | Submits::Unknown(name) | Submits::Fresh(name) => {
                let reference = match row.submits {
                    Submits::Unknown(_) => self.unknown.reference(name),
                    Submits::Fresh(_) => self.fresh.reference(name),
                    _ => self.misbehaving.reference(name),
                };
                return self.submit(row, *profile, &participant, &reference).await;
            }
            Submits::Worse(worse) => {
                let name = format!("worse/{participant}").to_lowercase();
                let reference = self.misbehaving.put(&name, &worse(self.misbehaving.draft()))?;
                return self.submit(row, *profile, &participant, &reference).await;
            }
            Submits::Image(image) => image(&stand),
            Submits::Answer(mode) => stand.hostile(&format!("answer:{mode}")),
        };
        let pushed = self.world.push(&recipe.with_context(|| format!("{row:?}"))?).await;
        let reference = pushed.with_context(|| format!("{row:?}"))?.reference;
        self.submit(row, *profile, &participant, &reference).await
    }

    async fn submit(
        &self,
        row: &Row,
        profile: Profile,
        participant: &str,
        reference: &str,
    ) -> Result<Outcome> {
        let client = self.client(row.rules, profile)?;
        let outcome = row.expected.outcome(profile);
        let submission = self.submission(participant, row.rules, outcome).reference(reference);
        let began = Instant::now();
        let answer = client.post(&submission).await?;
        let mut document = Value::Null;
        let got = if answer.status == StatusCode::ACCEPTED {
            let id = answer.json["id"].as_str().context("an answer without id")?;
            // A registry is given half a minute and more; that is an end for a row.
            let wanted = |document: &Value| {
                let delayed = document["delayed"]["reason"].as_str().unwrap_or_default();
                is_final(document) || delayed.starts_with("registry_")
            };
            // What hangs is a result too.
            match client.wait_state(id, PATIENCE, wanted).await {
                Ok(final_one) => document = final_one,
                Err(_) => document = client.document(id).await?,
            }
            if !is_final(&document) {
                // Nobody waits for it any more.
                let secret = answer.json["secret"].as_str().unwrap_or_default();
                let path = format!("/api/v1/submissions/{id}");
                let bearer = format!("Bearer {secret}");
                let headers = [("authorization", bearer.as_str())];
                client.request(Method::DELETE, &path, &headers, None).await?;
            }
            row.closer(self, &document, got(&document, row, profile))?
        } else {
            let (code, errors) = answer.problem();
            let code = errors.get("/images/0").cloned().unwrap_or(code);
            format!("{} {code}", answer.status.as_u16())
        };
        Ok(Outcome {
            id: row.id.to_owned(),
            what: row.what.to_owned(),
            profile: profile.as_str(),
            expected: row.expected.shown(profile),
            got,
            took: began.elapsed(),
            document,
            harm: 0,
        })
    }

    /// A submission that harms nobody, under both profiles: it passes, by its own answer.
    ///
    /// # Errors
    /// When the platform does not answer at all.
    pub async fn control(&self) -> Result<Vec<Outcome>> {
        let image = |stand: &Stand<'_>| stand.app("ok");
        let row = Row::graded("U1", "harms nobody", Rules::Control, Expected::Passed, image);
        try_join_all(cases(&[row]).iter().map(|case| self.play_one(case))).await
    }
}

fn got(document: &Value, row: &Row, profile: Profile) -> String {
    let attempts = document["attempts"].as_array().map_or(0, Vec::len);
    match document["state"].as_str().unwrap_or("?") {
        // The rule held, or it would not have passed.
        "passed" if matches!(row.expected, Expected::Achieved(..)) => row.expected.shown(profile),
        "passed" => "passed".to_owned(),
        "failed" if attempts > 1 => format!("{} at attempt {attempts}", reason(document)),
        "failed" if reason(document) == "rule_failed:config" => {
            let failures = &document["verdict"]["evidence"]["checks"][0]["failures"];
            let failures = match failures {
                Value::Null => &document["attempts"][0]["evidence"]["checks"][0]["failures"],
                failures => failures,
            };
            let failures = failures.as_array().cloned().unwrap_or_default();
            let got: Vec<String> =
                failures.iter().map(|f| f["got"].as_str().unwrap_or("?").to_owned()).collect();
            format!("{} {}", reason(document), got.join(", ")).trim().to_owned()
        }
        "failed" => reason(document).to_owned(),
        state => match document["delayed"]["reason"].as_str() {
            Some(code) => format!("delayed: {code}"),
            None => format!("{state} {}", reason(document)).trim().to_owned(),
        },
    }
}

/// Those that must meet each other were there at the same time.
fn overlap(outcomes: &[Outcome]) -> Result<()> {
    let times = |pointer: &str| {
        let at = outcomes.iter().map(|o| crate::parts::client::time_at(&o.document, pointer));
        at.collect::<Result<Vec<_>>>()
    };
    let (began, ended) = (times("/attempts/0/started_at")?, times("/attempts/0/ended_at")?);
    ensure!(
        began.iter().max() < ended.iter().min(),
        "the {} of {} did not meet: from {began:?} to {ended:?}",
        outcomes.len(),
        outcomes.first().map_or("nothing", |outcome| &outcome.id),
    );
    Ok(())
}
