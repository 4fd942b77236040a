//! No target but a fault on purpose: a suite that does not find it would find nothing else either.

/// What is found by looking at what the program compares, and never by chance.
const HIDDEN: u64 = u64::from_le_bytes(*b"A-FAULT!");

/// Breaks when the input begins with eight certain bytes.
///
/// # Panics
/// Then.
pub fn check(input: &[u8]) {
    if let Some(first) = input.first_chunk() {
        assert_ne!(u64::from_le_bytes(*first), HIDDEN, "the planted fault was found");
    }
}
