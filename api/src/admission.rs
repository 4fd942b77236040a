//! Admission: what the images of a submission stand for, found out inside the POST.
//!
//! What is wrong with an image is told then and there, for all images at once. A registry that does
//! not say, or not in time, refuses nothing: the image stays unpinned and the worker asks again.

use std::time::Duration;

use futures::future::join_all;
use portcall_shared::{
    domain::{
        event::Event,
        image::ImageRef,
        submission::{Pinned, SubmittedImage},
    },
    registry::{ImageLimits, Registry, Unresolved},
};
use tokio::time::Instant;

use crate::problem::FieldError;

/// Asks the registries about all images at once, until then.
///
/// # Errors
/// Every image with which something is wrong.
pub async fn pin(
    registry: &Registry,
    event: &Event,
    images: Vec<ImageRef>,
    until: Instant,
) -> Result<Vec<SubmittedImage>, Vec<FieldError>> {
    let limits = ImageLimits::of(&event.limits);
    let within = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let asked = images.iter().map(|image| registry.resolve(image, &limits, within));
    let found = join_all(asked).await;
    sort_out(images, found)
}

fn sort_out(
    images: Vec<ImageRef>,
    found: Vec<Result<Pinned, Unresolved>>,
) -> Result<Vec<SubmittedImage>, Vec<FieldError>> {
    let mut admitted = Vec::with_capacity(images.len());
    let mut errors = Vec::new();
    for (index, (image, found)) in images.into_iter().zip(found).enumerate() {
        match found {
            Ok(pinned) => admitted.push(SubmittedImage { image, pinned: Some(pinned) }),
            Err(Unresolved::Registry(fault)) => {
                let (code, reason) = (fault.code.as_str(), &fault.message);
                tracing::info!(image.r#ref = %image, code, reason, "admitted without a digest");
                admitted.push(SubmittedImage { image, pinned: None });
            }
            Err(Unresolved::Participant(fault)) => {
                errors.push(FieldError::of(format!("/images/{index}"), fault));
            }
        }
    }
    if errors.is_empty() { Ok(admitted) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::verdict::{
        ParticipantCode, ParticipantFault, RegistryCode, RegistryFault,
    };

    use super::*;

    fn images() -> Vec<ImageRef> {
        ["u/a", "u/b", "u/c"].iter().map(|i| i.parse().unwrap()).collect()
    }

    fn pinned() -> Pinned {
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        Pinned { digest, platform: "linux/amd64".into(), size: 5, layers: 1 }
    }

    fn missing() -> Unresolved {
        let code = ParticipantCode::ImageNotFound;
        Unresolved::Participant(ParticipantFault::new(code, "There is no such image."))
    }

    fn down() -> Unresolved {
        let code = RegistryCode::RegistryDown;
        Unresolved::Registry(RegistryFault { code, message: "no answer".into(), retry_after: None })
    }

    #[test]
    fn a_registrys_fault_refuses_nothing() {
        let admitted = sort_out(images(), vec![Ok(pinned()), Err(down()), Ok(pinned())]).unwrap();
        let pins: Vec<bool> = admitted.iter().map(|i| i.pinned.is_some()).collect();
        assert_eq!(pins, [true, false, true]);
    }

    #[test]
    fn every_bad_image_is_named() {
        let errors =
            sort_out(images(), vec![Err(missing()), Err(down()), Err(missing())]).unwrap_err();
        let pointers: Vec<&str> = errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/images/0", "/images/2"]);
        assert_eq!(errors[0].code, "image_not_found");
    }
}
