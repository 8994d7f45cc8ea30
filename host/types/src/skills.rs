//! Skills: components with tools, installed for an agent.

use crate::{components::Description, digest::Digest, grants::Grant, ids::Name, permissions::Names};

#[derive(Debug, Clone)]
pub struct Skill {
    pub id: Name,
    pub component: Description,
    /// What the operator consented to.
    pub accepted: Names,
    /// Of secrets, to this version.
    pub grants: Vec<Grant>,
    /// Of the version before the last upgrade.
    pub previous: Option<Digest>,
    pub created_at: String,
}
