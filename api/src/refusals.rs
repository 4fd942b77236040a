//! Images that are not graded, since machines went down under them: told in the POST, so that nobody
//! waits for nothing. What cannot be asked refuses nothing; workers ask again.

use portcall_shared::{
    domain::{
        image::Digest,
        submission::SubmittedImage,
        suspicion::{self, Treatment},
    },
    store::suspects::Suspect,
};

use crate::{
    problem::{ApiError, FieldError, Help, chain},
    state::Shared,
};

/// That none of these images is refused.
///
/// # Errors
/// Every image that is.
pub async fn check(app: &Shared, images: &[SubmittedImage]) -> Result<(), ApiError> {
    let refused = match app.poison().await {
        Ok(poison) => refused(images, &poison),
        Err(error) => {
            tracing::warn!(error = chain(&error), "it is not known which images are refused");
            Vec::new()
        }
    };
    if refused.is_empty() { Ok(()) } else { Err(ApiError::Invalid(refused)) }
}

fn refused(images: &[SubmittedImage], poison: &[Suspect]) -> Vec<FieldError> {
    let digest = |image: &SubmittedImage| image.pinned.as_ref().map(|it| it.digest.clone());
    let all: Vec<Digest> = images.iter().filter_map(digest).collect();
    let never = |suspect: &&Suspect| suspect.suspicion.treatment(&all) == Treatment::Never;
    let mut errors = Vec::new();
    for suspect in poison.iter().filter(never) {
        let reason = suspicion::refused(&suspect.digest).reason();
        let of_it = |(_, image): &(usize, &SubmittedImage)| {
            digest(image).is_some_and(|digest| digest == suspect.digest)
        };
        for (index, _) in images.iter().enumerate().filter(of_it) {
            let pointer = format!("/images/{index}");
            let mut error =
                FieldError::new(pointer, reason.code.clone(), sentence(&reason.message));
            error.help = Some(Box::new(Help { hint: reason.hint.clone(), limit: None }));
            errors.push(error);
        }
    }
    errors
}

/// As it stands on its own.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{}.", first.map(String::from).unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::{
        submission::Pinned,
        suspicion::{Standing, Suspicion},
    };
    use time::OffsetDateTime;

    use super::*;

    fn digest(letter: &str) -> Digest {
        format!("sha256:{}", letter.repeat(64)).parse().unwrap()
    }

    fn image(letter: Option<&str>) -> SubmittedImage {
        let pinned = |letter| Pinned {
            digest: digest(letter),
            platform: "linux/amd64".into(),
            size: 5,
            layers: 1,
        };
        SubmittedImage { image: "u/a".parse().unwrap(), pinned: letter.map(pinned) }
    }

    fn suspect(letter: &str, standing: Standing) -> Suspect {
        Suspect {
            digest: digest(letter),
            suspicion: Suspicion { standing, ..Suspicion::default() },
            changed_at: OffsetDateTime::UNIX_EPOCH,
            orders: Vec::new(),
        }
    }

    #[test]
    fn only_what_is_poison_is_refused() {
        let images = [image(Some("a")), image(None), image(Some("b")), image(Some("b"))];
        let poison = [suspect("b", Standing::Poison), suspect("a", Standing::Quarantined)];
        let errors = refused(&images, &poison);
        let told: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.code.as_ref())).collect();
        let code = "quarantined_image";
        assert_eq!(told, [("/images/2", code), ("/images/3", code)]);
        assert!(errors[0].detail.starts_with("The image sha256:bbb"), "{}", errors[0].detail);
        assert!(errors[0].help.as_ref().is_some_and(|help| help.hint.is_some()));
        assert_eq!(refused(&images[..2], &poison), []);
    }
}
