//! How long data is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the server keeps of one kind of data, and what it removes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Retention {
    /// The kind of data.
    #[serde(rename = "id")]
    pub kept: Kept,
    #[serde(flatten)]
    pub limits: Limits,
    /// Its size now; `null`: it is not measured.
    pub bytes: Option<i64>,
    /// How many would be removed now, counted up to 10,000.
    pub removable: i64,
    /// When it is checked next (RFC 3339, UTC).
    pub next_at: Option<String>,
}

/// Limits of a kind of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Limits {
    /// For how many days it is kept; `null`: for ever.
    pub keep_days: Option<i64>,
    /// How many of it are kept; `null`: all.
    pub keep_count: Option<i64>,
    /// How many bytes of it are kept; `null`: all.
    pub keep_bytes: Option<i64>,
}

/// A kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Events,
    /// Runs that have ended, with their messages and steps.
    Runs,
    /// Runs of chat completions and responses that have ended.
    ChatRuns,
    Audit,
    IdempotencyKeys,
}

impl Kept {
    pub const ALL: [Self; 5] = [Self::Events, Self::Runs, Self::ChatRuns, Self::Audit, Self::IdempotencyKeys];
}
