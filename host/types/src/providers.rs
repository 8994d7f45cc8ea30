//! Providers: components with models, installed for the whole server.

use serde_json::{Map, Value};

use crate::{checks::Summary, components::Description, grants::Grant, ids::Name, permissions::Names};

#[derive(Debug, Clone)]
pub struct Provider {
    pub id: Name,
    pub component: Description,
    pub config: Map<String, Value>,
    /// Permissions that the operator granted beyond its public hosts.
    pub accepted: Names,
    /// Maximum number of concurrent completions; `None` uses the configured default.
    pub concurrency: Option<u32>,
    /// Grants of secrets to this component.
    pub grants: Vec<Grant>,
    /// Result of the last check; `None` if there was none or the provider has changed since.
    pub check: Option<Summary>,
    pub created_at: String,
    pub updated_at: String,
}

impl Provider {
    /// Returns the maximum number of concurrent completions, or `default` if it is not set.
    pub fn max_concurrency(&self, default: u32) -> u32 {
        self.concurrency.unwrap_or(default)
    }
}
