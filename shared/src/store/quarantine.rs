//! What is in the quarantine registry, and when it was used last.
