//! The canary.
fn main() {}
