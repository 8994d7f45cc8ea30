//! Providers: components with models, installed for the whole server.

use serde_json::{Map, Value};

use crate::{checks::Summary, components::Description, grants::Grant, ids::Name, permissions::Names};

#[derive(Debug, Clone)]
pub struct Provider {
    pub id: Name,
    pub component: Description,
    pub config: Map<String, Value>,
    /// What the operator consented to beside its public hosts.
    pub accepted: Names,
    /// How many of its completions run at once, unless it is as the configuration says.
    pub concurrency: Option<u32>,
    /// Of secrets, to this component.
    pub grants: Vec<Grant>,
    /// What came of its last check, if it was checked as it is.
    pub check: Option<Summary>,
    pub created_at: String,
    pub updated_at: String,
}

impl Provider {
    /// How many of its completions run at once, by `default` where it does not say.
    pub fn places(&self, default: u32) -> u32 {
        self.concurrency.unwrap_or(default)
    }
}
