//! Sessions: an agent's conversations.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ids::{self, Name, SessionId};

/// Returns the name of the conversation that a run belongs to if it names none.
pub fn default_conversation() -> Name {
    Name::from_db("default".into())
}

/// One conversation of an agent, from its beginning or a reset to the next.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Session {
    /// The session's id.
    #[serde(flatten, serialize_with = "ids::OwnSessionId::serialize")]
    #[schemars(with = "ids::OwnSessionId")]
    pub id: SessionId,
    /// The conversation: `default`, or the name that its runs gave.
    pub name: Name,
    /// When it began (RFC 3339, UTC).
    pub created_at: String,
    /// When a reset replaced it; its history stays.
    pub closed_at: Option<String>,
}
