//! Those who submit in a rehearsal, and what they send.

use std::collections::{BTreeMap, HashMap};

use portcall_shared::domain::{
    event::Event,
    ids::SubmissionId,
    place::Place,
    state::Lifecycle,
    submission::{Marks, Participant, Submission},
    text::{Answer, Name},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    derive::{self, Mistake},
    images::{Layer, Recipe},
    plan::{ATTACKS, Half, Kind},
    post::Draft,
};
use crate::failure::Failure;

/// Most people; beyond that they come again.
const MOST: usize = 1000;
/// Where they all are.
const PLACE: &str = "Lisbon, Portugal";

/// Somebody.
#[derive(Clone)]
pub(super) struct Person {
    name: Name,
    handle: String,
    answers: BTreeMap<String, Answer>,
}

/// Images of the organiser's own, and whom they answer as.
pub(super) struct Own {
    pub(super) good: Vec<String>,
    pub(super) bad: Vec<String>,
    pub(super) name: Name,
    pub(super) answers: BTreeMap<String, Answer>,
}

/// Images to be pushed, and which of them each submission has; the organiser's are there already.
pub(super) struct Prepared {
    pub(super) recipes: Vec<Recipe>,
    drafts: Vec<(Half, Kind, Person, Images)>,
}

enum Images {
    Own(Vec<String>),
    Recipe(usize),
}

/// The programs that images are made of.
pub(super) struct Programs {
    pub(super) app: Option<Layer>,
    pub(super) hostile: Option<Layer>,
}

impl Person {
    /// The one of that number, who answers each question with one of its choices in turn.
    fn numbered(event: &Event, number: usize) -> Result<Self, Failure> {
        let wrong = || Failure::Internal("a word of ours is none".to_owned());
        let mut answers = BTreeMap::new();
        for rule in &event.answers {
            let chosen = rule.one_of.as_ref().and_then(|all| all.get(number % all.len().max(1)));
            let free: String = "rehearsal".chars().take(rule.max_length).collect();
            let text = chosen.map_or(free.as_str(), String::as_str);
            answers.insert(rule.name.clone(), text.parse().map_err(|_| wrong())?);
        }
        let name = format!("Rehearsal {}", number + 1).parse().map_err(|_| wrong())?;
        Ok(Self { name, handle: handle(number), answers })
    }

    /// What they submit, as far as it is known before it is sent.
    fn submission(&self, event: &Event) -> Result<Submission, Failure> {
        let wrong = || Failure::Internal("a word of ours is none".to_owned());
        let now = OffsetDateTime::now_utc();
        Ok(Submission {
            id: SubmissionId::new(),
            event: event.slug.clone(),
            event_version: 1,
            participant: Participant {
                name: self.name.clone(),
                handle: Some(self.handle.parse().map_err(|_| wrong())?),
                contact: None,
            },
            place: Place { label: PLACE.parse().map_err(|_| wrong())?, point: None, country: None },
            images: Vec::new(),
            answers: self.answers.clone(),
            life: Lifecycle::submitted(now),
            created_at: now,
            updated_at: now,
            revision: 1,
            order: now,
            delay: None,
            attempts: Vec::new(),
            verdict: None,
            marks: Marks::default(),
        })
    }

    fn body(&self, images: &[String]) -> Value {
        let answers: BTreeMap<&String, String> =
            self.answers.iter().map(|(name, answer)| (name, answer.to_string())).collect();
        json!({
            "participant": { "name": self.name.to_string(), "handle": self.handle },
            "place": { "label": PLACE, "lat": 38.7223, "lng": -9.1393 },
            "images": images,
            "answers": answers,
        })
    }
}

fn handle(number: usize) -> String {
    format!("rehearsal{}", number + 1)
}

impl Prepared {
    /// What is to be made and sent.
    pub(super) fn of(
        event: &Event,
        planned: &[(Half, Kind)],
        own: Option<&Own>,
        programs: &Programs,
        targets: &str,
    ) -> Result<Self, Failure> {
        let (mut recipes, mut drafts) = (Vec::new(), Vec::with_capacity(planned.len()));
        let mut made: HashMap<(usize, bool), usize> = HashMap::new();
        let mut attacks: HashMap<usize, usize> = HashMap::new();
        for (number, (half, kind)) in planned.iter().enumerate() {
            let number = number % MOST;
            let person = match own {
                // Each with a handle of their own, so that they are many.
                Some(own) => Person {
                    name: own.name.clone(),
                    handle: handle(number),
                    answers: own.answers.clone(),
                },
                None => Person::numbered(event, number)?,
            };
            let images = match (kind, own) {
                (Kind::Hostile(which), _) => {
                    let at = match attacks.get(which) {
                        Some(at) => *at,
                        None => {
                            let (program, attack) =
                                (programs.hostile.as_ref(), ATTACKS.get(*which));
                            let Some((program, attack)) = program.zip(attack) else {
                                return Err(Failure::Internal("no hostile program".to_owned()));
                            };
                            recipes.push(Recipe::hostile(program, attack, targets));
                            attacks.insert(*which, recipes.len() - 1);
                            recipes.len() - 1
                        }
                    };
                    Images::Recipe(at)
                }
                (Kind::Good, Some(own)) => Images::Own(own.good.clone()),
                (Kind::Bad, Some(own)) => Images::Own(own.bad.clone()),
                (Kind::Good | Kind::Bad, None) => {
                    let bad = *kind == Kind::Bad;
                    let at = match made.get(&(number, bad)) {
                        Some(at) => *at,
                        None => {
                            recipes.push(sample(event, &person, bad, programs)?);
                            made.insert((number, bad), recipes.len() - 1);
                            recipes.len() - 1
                        }
                    };
                    Images::Recipe(at)
                }
            };
            drafts.push((*half, *kind, person, images));
        }
        Ok(Self { recipes, drafts })
    }

    /// What is sent, once the images have names; one image stands for as many as the event wants.
    pub(super) fn drafts(self, references: &[String], images: usize) -> Vec<Draft> {
        let one = |(half, kind, person, from): (Half, Kind, Person, Images)| {
            let images = match from {
                Images::Own(images) => images,
                Images::Recipe(at) => {
                    let reference = references.get(at).cloned().unwrap_or_default();
                    vec![reference; images.max(1)]
                }
            };
            Draft { half, kind, body: person.body(&images) }
        };
        self.drafts.into_iter().map(one).collect()
    }
}

fn sample(
    event: &Event,
    person: &Person,
    bad: bool,
    programs: &Programs,
) -> Result<Recipe, Failure> {
    let Some(app) = &programs.app else {
        return Err(Failure::Internal("no sample program".to_owned()));
    };
    let mistake = if bad { Mistake::Another } else { Mistake::None };
    let answers = derive::answers(event, &person.submission(event)?, mistake).map_err(|why| {
        Failure::Usage(format!("no image can be made of the rules: {why}; give --image and --name"))
    })?;
    Recipe::sample(app, &answers)
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::event_file;

    use super::*;
    use crate::rehearse::{images::tests::layer, plan::plan};

    fn event() -> Event {
        let source = "slug = \"e\"\ntitle = \"E\"\n[images]\nmin = 2\nmax = 4\n\
            [[answers]]\nname = \"vote\"\none_of = [\"Cats\", \"Dogs\"]\n\
            [[answers]]\nname = \"why\"\nmax_length = 4\n\
            [[checks]]\nname = \"c\"\nget = \"/c\"\n\
            json = [{ path = \"$.name\", equals = \"{participant.name}\" }]\n";
        event_file::parse(source).unwrap()
    }

    fn programs() -> Programs {
        Programs { app: Some(layer()), hostile: Some(layer()) }
    }

    #[test]
    fn everybody_has_a_name_and_an_image_of_their_own() {
        let planned = plan(30, 0.2, 0.1);
        let prepared = Prepared::of(&event(), &planned, None, &programs(), "").unwrap();
        // 27 that harm nobody, and three attacks.
        assert_eq!(prepared.recipes.len(), 30);
        let references: Vec<String> = (0..30).map(|n| format!("r{n}")).collect();
        let drafts = prepared.drafts(&references, 2);
        let first = &drafts[0].body;
        assert_eq!(first["answers"], json!({ "vote": "Cats", "why": "rehe" }));
        assert_eq!(drafts[1].body["answers"]["vote"], "Dogs");
        assert_eq!(first["images"], json!(["r0", "r0"]), "as many as the event wants");
        let mut names: Vec<String> =
            drafts.iter().map(|draft| draft.body["participant"]["name"].to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 30);
    }

    #[test]
    fn beyond_a_thousand_they_come_again() {
        let planned = plan(1001, 0.0, 0.0);
        let prepared = Prepared::of(&event(), &planned, None, &programs(), "").unwrap();
        assert_eq!(prepared.recipes.len(), 1000);
        let references: Vec<String> = (0..1000).map(|n| format!("r{n}")).collect();
        let drafts = prepared.drafts(&references, 1);
        assert_eq!(drafts[1000].body, drafts[0].body);
    }

    #[test]
    fn images_of_ones_own_are_sent_as_they_are() {
        let own = Own {
            good: vec!["h/a:1".to_owned(), "h/b:1".to_owned()],
            bad: vec!["h/c:1".to_owned()],
            name: "Ann".parse().unwrap(),
            answers: BTreeMap::new(),
        };
        let planned = [(Half::Calm, Kind::Good), (Half::Calm, Kind::Bad)];
        let none = Programs { app: None, hostile: None };
        let prepared = Prepared::of(&event(), &planned, Some(&own), &none, "").unwrap();
        assert!(prepared.recipes.is_empty());
        let drafts = prepared.drafts(&[], 2);
        assert_eq!(drafts[0].body["images"], json!(["h/a:1", "h/b:1"]));
        assert_eq!(drafts[1].body["images"], json!(["h/c:1"]));
        assert_eq!(drafts[0].body["participant"], json!({ "name": "Ann", "handle": "rehearsal1" }));
    }
}
