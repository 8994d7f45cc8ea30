//! Manifests and tools of components, as they are validated, stored and returned.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::{digest::Digest, ids::Name};

/// Kind of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Kind")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum World {
    /// Has tools that models can call.
    Skill,
    /// Has models.
    Provider,
}

/// Metadata of an installed component, fixed by its digest.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    pub digest: Digest,
    pub world: World,
    pub manifest: Manifest,
    /// Tools of a skill; empty for other components.
    pub tools: Vec<Tool>,
    /// Imported interfaces without their versions. `None` if the component was installed before they were
    /// recorded.
    pub imports: Option<Vec<String>>,
    /// Size of the upload, in bytes.
    pub size: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub name: Name,
    pub version: String,
    pub description: String,
    pub hosts: Vec<HostRequest>,
    pub secrets: Vec<SecretRequest>,
    pub limits: LimitRequests,
    pub config_schema: Option<Value>,
}

/// A host that a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRequest {
    /// A name (`api.example.com`), a suffix (`*.example.com`), `config:NAME` for the host in that value
    /// of its configuration, or `*` for those that `accept` names.
    pub host: String,
    /// The HTTP methods used there.
    pub methods: Vec<String>,
    /// What for, in its author's words.
    pub reason: String,
}

/// A secret that a component asks for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretRequest {
    /// What the component calls it.
    pub name: String,
    /// Where it is sent to.
    pub hosts: Vec<String>,
    /// Where in a request it stands.
    pub place: String,
    /// What for, in its author's words.
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LimitRequests {
    pub memory: Option<u64>,
    pub cpu_time: Option<u64>,
    pub wall_time: Option<u64>,
}

/// A tool of a skill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// What it is called by.
    pub name: String,
    /// What it does, as the model is told.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
    pub hints: Hints,
}

/// What its author says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ToolHints")]
pub struct Hints {
    /// It changes nothing, so it may run beside others.
    pub read_only: bool,
    /// To call it twice does no more than once.
    pub idempotent: bool,
    /// Someone should agree before it is called.
    #[serde(alias = "wants_approval")]
    pub requires_approval: bool,
}

/// Storage writes of a call: a value for each key, or `None` if the key was removed.
pub type Staged = BTreeMap<String, Option<Vec<u8>>>;
