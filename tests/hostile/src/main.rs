//! Hostile images.
fn main() {}
