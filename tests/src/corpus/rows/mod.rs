//! The rows, by what they attack.

mod answers;
pub mod canary;
pub mod controls;
pub mod escape;
mod exhaustion;
pub mod image;
mod network;
mod own;
pub mod registry;

use super::row::Row;

/// Attacks that nothing stops yet.
pub const OPEN: &[Row] = own::OPEN;

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut all = answers::rows();
    for rows in [
        exhaustion::ROWS,
        network::ROWS,
        escape::ROWS,
        image::ROWS,
        own::ROWS,
        registry::ROWS,
        canary::ROWS,
    ] {
        all.extend_from_slice(rows);
    }
    all
}
