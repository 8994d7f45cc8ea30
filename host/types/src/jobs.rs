//! Jobs: work that is done later, once for each key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::{
    agents::AgentKey,
    ids::{JobId, Name},
};

/// Kind of the job that expires a question.
pub const QUESTION_EXPIRY: &str = "question.expire";
/// Kind of the job that removes the rows of a deleted agent.
pub const AGENT_REMOVAL: &str = "agent.remove";
/// Kind of the job that removes the key-value data of a removed skill.
pub const KEYVALUE_REMOVAL: &str = "keyvalue.remove";
/// Kind of the job that removes old events.
pub const EVENT_RETENTION: &str = "events.prune";
/// Kind of the job that removes old runs.
pub const RUN_RETENTION: &str = "runs.prune";
/// Kind of the job that removes old idempotency keys.
pub const IDEMPOTENCY_RETENTION: &str = "idempotency.prune";
/// Kind of the job that removes old entries of the audit log, and logs its head.
pub const AUDIT_RETENTION: &str = "audit.prune";

/// Durable background work with a due time, attempts and a lease.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// What is done, such as `question.expire`.
    pub kind: String,
    /// There is one job of each key.
    #[serde(skip)]
    pub key: String,
    /// The agent that it is for.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "agent_name"))]
    pub agent_id: Option<Name>,
    /// Id or name of its subject, such as a question.
    pub origin: Option<String>,
    #[serde(skip)]
    #[cfg_attr(feature = "sqlx", sqlx(json))]
    pub payload: Value,
    pub status: Status,
    /// When it is due (RFC 3339, UTC); while it runs, when its lease expires.
    pub due_at: String,
    /// Number of attempts so far, including the current one.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// A token's id, `local`, or `server`.
    pub created_by: String,
    /// When it was created (RFC 3339, UTC).
    pub created_at: String,
}

/// A job to be inserted.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub kind: &'static str,
    pub key: String,
    pub agent: Option<AgentKey>,
    pub origin: Option<String>,
    pub payload: Value,
    pub due_at: String,
    pub created_by: String,
}

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "JobStatus")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Status {
    /// Starts at `due_at`.
    Due,
    Running,
    /// All its attempts failed. It stays until it is retried or deleted.
    Dead,
}

/// Filter of a list of jobs. An absent field matches every job.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub agent: Option<AgentKey>,
    pub status: Option<Status>,
    pub kind: Option<String>,
}
