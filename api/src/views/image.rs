//! What an image's name stands for.

use portcall_shared::domain::{event::Event, verdict::ParticipantFault};
use serde::Serialize;
use utoipa::ToSchema;

use super::submit::{image_named, image_taken};

/// What an image's name stands for, and what of it an event does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageNameView {
    /// As it was asked for.
    pub r#ref: String,
    /// Written out as engines understand it; none where it is no name.
    #[schema(example = "docker.io/library/nginx:latest")]
    pub canonical: Option<String>,
    /// What is wrong with it; none where nothing is, as far as a name tells.
    pub problem: Option<ImageProblemView>,
}

/// What is wrong with an image's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageProblemView {
    /// The stable code, as a submission with it is answered.
    #[schema(example = "image_name_invalid")]
    pub code: String,
    /// One plain sentence.
    pub detail: String,
    /// What to try next.
    pub hint: Option<String>,
}

impl ImageNameView {
    /// By the rules that a submission's images are held against. No registry is asked.
    #[must_use]
    pub fn of(text: String, event: &Event) -> Self {
        match image_named(&text) {
            Err(fault) => Self { r#ref: text, canonical: None, problem: Some(fault.into()) },
            Ok(image) => {
                let problem = image_taken(&image, event).err().map(Into::into);
                Self { r#ref: text, canonical: Some(image.canonical()), problem }
            }
        }
    }
}

impl From<ParticipantFault> for ImageProblemView {
    fn from(fault: ParticipantFault) -> Self {
        let code = fault.code.as_str().to_string();
        Self { code, detail: fault.message, hint: fault.hint }
    }
}
