//! A token, as its holder sees it.

use portcall_shared::store::tokens::{Role, Token};
use serde::Serialize;

use crate::views::moment;

/// Whose a token is and what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MeView {
    /// The token's id, which is not secret: the audit log names it.
    pub id: String,
    /// Whose it is, for people.
    pub name: String,
    /// `organiser`, of one event, or `operator`, of all.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// The organiser's event.
    pub event: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// From when it is no longer good.
    pub expires_at: Option<String>,
}

impl MeView {
    /// Of this token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        let event = match &token.role {
            Role::Organiser(event) => Some(event.to_string()),
            Role::Operator => None,
        };
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            role: token.role.as_str(),
            event,
            created_at: moment(token.created_at),
            expires_at: token.expires_at.map(moment),
        }
    }
}
