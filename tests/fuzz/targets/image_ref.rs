//! Names of images, as participants write them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcall_shared::domain::image::ImageRef;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fuzz_target!(|text: &str| {
    let Ok(image) = text.parse::<ImageRef>() else { return };
    assert_eq!(image.as_written(), text);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!text.starts_with(['-', '/', '.', ':', '@']), "it could be read as something else");
    assert!(!image.host().as_str().is_empty());
    assert!(image.path().split('/').all(|part| !matches!(part, "" | "." | "..")));
    assert!(image.tag().is_some() || image.digest().is_some());

    // What is pulled is a name too, and of the same thing.
    let digest = image.digest().cloned().unwrap_or_else(|| DIGEST.parse().expect("a digest"));
    let pinned: ImageRef = image.pinned(&digest).parse().expect("what is pulled is a name");
    assert_eq!((pinned.host(), pinned.path()), (image.host(), image.path()));
    assert_eq!(pinned.digest(), Some(&digest));

    let stored = serde_json::to_string(&image).expect("a text");
    assert_eq!(serde_json::from_str::<ImageRef>(&stored).expect("read back"), image);
});
