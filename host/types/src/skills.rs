//! Skills: components with tools, installed for an agent.

use crate::{components::Description, digest::Digest, grants::Grant, ids::Name, permissions::Names};

#[derive(Debug, Clone)]
pub struct Skill {
    pub id: Name,
    pub component: Description,
    /// Permissions that the operator granted.
    pub accepted: Names,
    /// Grants of secrets to this version.
    pub grants: Vec<Grant>,
    /// Digest of the version before the last upgrade.
    pub previous: Option<Digest>,
    pub created_at: String,
}
