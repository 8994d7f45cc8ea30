//! Entries of the audit log, and filters for them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

/// An entry of the audit log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Counts the entries from 1 without a gap.
    pub position: i64,
    /// When it was.
    pub timestamp: String,
    /// Who did it: a token's id, `local`, `bootstrap`, `offline`, `component:NAME`, or `server`.
    pub actor: String,
    /// The agent that it is about, if it is about one.
    pub agent_id: Option<String>,
    /// The run in which it was, if it was in one.
    pub run_id: Option<String>,
    /// As in the events.
    pub event_type: String,
    /// As in the events, without tasks and arguments.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub payload: Arc<RawValue>,
}

/// The end of the chain. Kept elsewhere, it proves that nothing before it was changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "AuditHead")]
pub struct Head {
    /// The newest entry, or 0 where there is none.
    pub position: i64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
}

/// Filter for entries of the audit log.
#[derive(Debug, Default)]
pub struct Filter {
    pub agent: Option<String>,
    pub run: Option<String>,
    /// An event type, or a prefix followed by `*`.
    pub event_type: Option<String>,
    pub actor: Option<String>,
    /// Earliest timestamp, inclusive.
    pub since: Option<String>,
    /// Latest timestamp, exclusive.
    pub until: Option<String>,
}
