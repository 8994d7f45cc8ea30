//! Permissions that an operator consents to.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permissions as text, such as `host:api.example.com GET+POST`. The text includes how a host is used and where a
/// secret may be sent.
pub type Names = BTreeSet<String>;

/// The text `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}
