//! Hostile answers as a library: what the hostile program serves in its image, tests serve on
//! loopback.

pub mod answers;
