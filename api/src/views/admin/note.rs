//! What an organiser may say about an act.

use serde::Deserialize;
use validator::Validate;

/// The body of an act; it may also be left out.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteBody {
    /// Why, for the audit log; at most 500 characters as people count them (grapheme clusters).
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}
