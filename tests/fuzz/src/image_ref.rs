//! Names of images, as participants write them.

use portcall_shared::domain::image::{ImageRef, MAX_NAME, MAX_REFERENCE, MAX_TAG, RegistryHost};

use crate::property::is_a_sentence;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What is accepted is a plain name within its limits, comes back the same from its text and from
/// the store, and what is pulled is of the same repository. A refusal is a sentence.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let image: ImageRef = match text.parse() {
        Ok(image) => image,
        Err(error) => return is_a_sentence(&error.to_string()),
    };
    assert_eq!(image.to_string(), text);
    assert_eq!(image.to_string().parse::<ImageRef>().as_ref(), Ok(&image));
    assert!(text.len() <= MAX_REFERENCE && text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!text.starts_with(['-', '/', '.', ':', '@']), "it could be read as something else");
    assert!(image.host().as_str().len() + 1 + image.path().len() <= MAX_NAME);
    assert!(image.path().split('/').all(|part| !matches!(part, "" | "." | "..")));
    assert!(image.tag().is_some() || image.digest().is_some());
    assert!(image.tag().is_none_or(|tag| (1..=MAX_TAG).contains(&tag.len())));
    assert_eq!(image.host().to_string().parse::<RegistryHost>().as_ref(), Ok(image.host()));

    // What is pulled is a name too, and of the same thing.
    let digest = image.digest().cloned().unwrap_or_else(|| DIGEST.parse().expect("a digest"));
    let pinned: ImageRef = image.pinned(&digest).parse().expect("what is pulled is a name");
    assert_eq!((pinned.host(), pinned.path()), (image.host(), image.path()));
    assert_eq!(pinned.digest(), Some(&digest));

    let stored = serde_json::to_string(&image).expect("a text");
    assert_eq!(serde_json::from_str::<ImageRef>(&stored).expect("read back"), image);
}
