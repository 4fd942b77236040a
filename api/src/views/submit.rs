//! What a participant POSTs, and what the domain and the event make of it.

use std::{collections::BTreeMap, str::FromStr};

use portcall_shared::domain::{
    event::{AnswerRule, Event},
    image::{ImageRef, InvalidImage},
    place::{InvalidPoint, LatLng},
    submission::Participant,
    text::{Answer, InvalidText, PlaceLabel, checked},
    verdict::{ParticipantCode, ParticipantFault},
};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{Findings, schemas};
use crate::{
    problem::FieldError,
    strict::{Object, step},
};

/// The body of `POST /api/v1/events/{event}/submissions`.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubmission)]
pub struct NewSubmissionBody {
    /// Who submits.
    #[schema(value_type = ParticipantBody)]
    pub participant: Object<ParticipantBody>,
    /// Where on the map.
    #[validate(nested)]
    #[schema(value_type = PlaceBody)]
    pub place: Object<PlaceBody>,
    /// What to run: names of images, as many as the event takes.
    #[schema(max_items = 16, example = json!(["docker.io/library/nginx:1.27"]))]
    #[validate(length(
        max = 16,
        code = "too_many_images",
        message = "These are too many images."
    ))]
    pub images: Vec<String>,
    /// The answers to the event's questions, by their names; each 1 to 200 characters.
    #[schema(schema_with = schemas::answers)]
    #[serde(default)]
    #[validate(length(max = 64, code = "too_many_answers", message = "Too many answers."))]
    pub answers: BTreeMap<String, String>,
}

/// Who submits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewParticipant)]
pub struct ParticipantBody {
    /// As shown on the map: 1 to 64 characters as people count them (grapheme clusters).
    #[schema(min_length = 1, max_length = 256, pattern = r"^\S(.*\S)?$", example = "Gordon")]
    pub name: String,
    /// As shown on the map: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 256, pattern = r"^\S(.*\S)?$", example = "@docker")]
    pub handle: Option<String>,
    /// For the organiser only: 1 to 200 characters. No answer shows it.
    #[schema(min_length = 1, max_length = 800, pattern = r"^\S(.*\S)?$")]
    pub contact: Option<String>,
}

/// Where on the map.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "both_or_none"))]
#[schema(as = NewPlace)]
pub struct PlaceBody {
    /// What people call it: 1 to 120 characters.
    #[schema(
        min_length = 1,
        max_length = 480,
        pattern = r"^\S(.*\S)?$",
        example = "San Francisco, CA, USA"
    )]
    pub label: String,
    /// Degrees north; with `lng`, or not at all.
    #[schema(value_type = Option<f64>, minimum = -90, maximum = 90, example = 37.77)]
    pub lat: Option<Degrees>,
    /// Degrees east; with `lat`, or not at all.
    #[schema(value_type = Option<f64>, minimum = -180, maximum = 180, example = -122.42)]
    pub lng: Option<Degrees>,
}

/// A number of degrees, or something else, which is refused with its own reason.
#[derive(Clone, Copy, Debug)]
pub struct Degrees(f64);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.as_f64().unwrap_or(f64::NAN)))
    }
}

fn both_or_none(place: &PlaceBody) -> Result<(), validator::ValidationError> {
    match place.lat.is_some() == place.lng.is_some() {
        true => Ok(()),
        false => Err(validator::ValidationError::new("coordinates_incomplete")
            .with_message("Give both lat and lng, or neither.".into())),
    }
}

/// A request that the domain and the event's rules accept; its images have not been looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Who submits.
    pub participant: Participant,
    /// What the place is called.
    pub label: PlaceLabel,
    /// Where it is, if that was said.
    pub point: Option<LatLng>,
    /// What to run.
    pub images: Vec<ImageRef>,
    /// The answers to the event's questions.
    pub answers: BTreeMap<String, Answer>,
}

impl NewSubmissionBody {
    /// Who submits, by the domain's rules alone.
    ///
    /// # Errors
    /// Every field that is not acceptable.
    pub fn participant(&self) -> Result<Participant, Vec<FieldError>> {
        let body = &self.participant.0;
        let mut findings = Findings::default();
        let name = findings.keep(text("/participant/name", &body.name));
        let handle = optional(&mut findings, "/participant/handle", body.handle.as_deref());
        let contact = optional(&mut findings, "/participant/contact", body.contact.as_deref());
        match name {
            Some(name) if findings.0.is_empty() => Ok(Participant { name, handle, contact }),
            _ => Err(findings.0),
        }
    }

    /// What it asks for, by the domain's and the event's rules.
    ///
    /// # Errors
    /// Every field that is not acceptable.
    pub fn wish(&self, event: &Event) -> Result<Wish, Vec<FieldError>> {
        let mut findings = Findings::default();
        let participant = self.participant().map_err(|errors| findings.0.extend(errors)).ok();
        let label = findings.keep(text("/place/label", &self.place.0.label));
        let point = match (self.place.0.lat, self.place.0.lng) {
            (Some(lat), Some(lng)) => findings.keep(point(lat, lng)),
            _ => None,
        };
        let images = images(&mut findings, event, &self.images);
        let answers = answers(&mut findings, event, &self.answers);
        match (participant, label) {
            (Some(participant), Some(label)) if findings.0.is_empty() => {
                Ok(Wish { participant, label, point, images, answers })
            }
            _ => Err(findings.0),
        }
    }
}

fn point(lat: Degrees, lng: Degrees) -> Result<LatLng, FieldError> {
    LatLng::new(lat.0, lng.0).map_err(|error| {
        let pointer = match error {
            InvalidPoint::Latitude => "/place/lat",
            InvalidPoint::Longitude => "/place/lng",
        };
        FieldError::new(pointer, "coordinate_out_of_range", sentence(&error.to_string()))
    })
}

fn optional<T: FromStr<Err = InvalidText>>(
    findings: &mut Findings,
    pointer: &str,
    given: Option<&str>,
) -> Option<T> {
    findings.keep(text(pointer, given?))
}

fn text<T: FromStr<Err = InvalidText>>(pointer: &str, given: &str) -> Result<T, FieldError> {
    given.parse().map_err(|error: InvalidText| refused(pointer, &error))
}

/// What is wrong with a text, at its field.
pub(crate) fn refused(pointer: &str, error: &InvalidText) -> FieldError {
    let code = match error {
        InvalidText::Empty => "empty",
        InvalidText::TooLong { .. } | InvalidText::TooManyBytes { .. } => "too_long",
        InvalidText::Character { .. } => "character_not_allowed",
        InvalidText::Marks => "too_many_marks",
        InvalidText::Spaces => "surrounding_space",
    };
    FieldError::new(pointer, code, sentence(&error.to_string()))
}

fn images(findings: &mut Findings, event: &Event, given: &[String]) -> Vec<ImageRef> {
    let (count, rules) = (given.len(), &event.images);
    if count < rules.min {
        let detail = format!("The event takes at least {} image(s); {count} came.", rules.min);
        findings.0.push(FieldError::new("/images", "too_few_images", detail));
    } else if count > rules.max {
        let detail = format!("The event takes at most {} image(s); {count} came.", rules.max);
        findings.0.push(FieldError::new("/images", "too_many_images", detail));
    }
    let read = |(index, text): (usize, &String)| {
        let pointer = format!("/images/{index}");
        let image = image_named(text).map_err(|fault| FieldError::of(&pointer, fault))?;
        match image_taken(&image, event) {
            Ok(()) => Ok(image),
            Err(fault) => Err(FieldError::of(&pointer, fault)),
        }
    };
    given.iter().enumerate().filter_map(|image| findings.keep(read(image))).collect()
}

/// The image that a text names.
pub(crate) fn image_named(text: &str) -> Result<ImageRef, ParticipantFault> {
    let code = ParticipantCode::ImageNameInvalid;
    text.parse()
        .map_err(|error: InvalidImage| ParticipantFault::new(code, sentence(&error.to_string())))
}

/// That an event takes images from where this one is kept.
pub(crate) fn image_taken(image: &ImageRef, event: &Event) -> Result<(), ParticipantFault> {
    match event.images.registries.contains(image.host()) {
        true => Ok(()),
        false => Err(denied(image, event)),
    }
}

fn denied(image: &ImageRef, event: &Event) -> ParticipantFault {
    let allowed: Vec<&str> = event.images.registries.iter().map(|host| host.as_str()).collect();
    let message = format!("The event takes no images from {}.", image.host());
    ParticipantFault::new(ParticipantCode::ImageHostDenied, message)
        .hint(format!("Push it to one of these: {}.", allowed.join(", ")))
}

fn answers(
    findings: &mut Findings,
    event: &Event,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, Answer> {
    for name in given.keys().filter(|name| event.answers.iter().all(|rule| rule.name != **name)) {
        let pointer = "/answers".to_owned() + &step(name);
        let detail = "The event does not ask this.";
        findings.0.push(FieldError::new(pointer, "answer_unknown", detail));
    }
    let mut answers = BTreeMap::new();
    for rule in &event.answers {
        let read = answer(rule, given.get(&rule.name).map(String::as_str));
        answers.extend(findings.keep(read).map(|answer| (rule.name.clone(), answer)));
    }
    answers
}

fn answer(rule: &AnswerRule, given: Option<&str>) -> Result<Answer, FieldError> {
    let pointer = "/answers".to_owned() + &step(&rule.name);
    let Some(given) = given else {
        return Err(FieldError::new(pointer, "required", "The event asks this of everybody."));
    };
    if let Some(choices) = &rule.one_of
        && !choices.iter().any(|choice| choice == given)
    {
        let detail = format!("Answer with one of these: {}.", choices.join(", "));
        return Err(FieldError::new(pointer, "answer_not_allowed", detail));
    }
    if rule.one_of.is_none() {
        checked(given, rule.max_length).map_err(|error| refused(&pointer, &error))?;
    }
    text(&pointer, given)
}

/// An error's message as a sentence.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
