//! What several targets expect.

use portcall_shared::domain::text::is_hidden;

/// The most that a message may have, in characters: a paragraph, never the document that it is about.
const LONGEST: usize = 1200;

/// A message can be shown to people and written to a terminal: it is there, it is short, and holds
/// no character that draws something else than itself.
///
/// # Panics
/// If it is not so.
pub(crate) fn is_a_sentence(message: &str) {
    assert!(!message.trim().is_empty(), "an empty message");
    let length = message.chars().count();
    assert!(length <= LONGEST, "a message of {length} characters");
    is_seen(message);
}

/// No character draws something else than itself.
///
/// # Panics
/// If one does.
pub(crate) fn is_seen(text: &str) {
    // What joins two emoji is harmless where it is let through.
    let hidden = text.chars().find(|c| is_hidden(*c) && *c != '\u{200d}');
    assert_eq!(hidden, None, "in {text:?}");
}
