//! Agents: named configurations of provider, model, persona and limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ids::Name, money::Dollars};

/// Database key of an agent. Unlike the name, it is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct AgentKey(pub i64);

/// An agent: a persona, a model and limits, under a name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Agent {
    #[serde(skip)]
    pub key: AgentKey,
    pub name: Name,
    #[serde(flatten)]
    pub settings: Settings,
    /// Always `null`: this version has no templates.
    pub template: Option<Name>,
    /// `running` while a run is, `waiting` while one waits for a person, `error` if its last one failed,
    /// `idle` otherwise.
    pub status: &'static str,
    /// What may be wrong with it, after it was created or changed. Absent if nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
    /// When it was last changed (RFC 3339, UTC).
    pub updated_at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    pub provider: Name,
    /// A model of the provider, as `/v1/providers/{provider_id}/models` names it.
    pub model: String,
    /// Models that a run goes on with when the one before fails, in this order.
    pub fallbacks: Vec<Fallback>,
    /// What the model is told of itself before each conversation, at most 64 KiB. `null`:
    /// nothing.
    pub persona: Option<String>,
    /// How freely the model chooses its words, 0 to 2. `null`: as the provider has it.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub options: ModelOptions,
    pub limits: Limits,
}

/// How the model answers, beside its temperature. An option that the provider or its service does not know is left out,
/// with a warning in the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelOptions {
    /// How much a reasoning model thinks: `none`, `minimal`, `low`, `medium`, `high`, or what else its service knows. At
    /// most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Whether the model thinks before it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// The probability mass of the words that the model considers, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts at which the answer ends: at most 16 of 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// More fields of the service's request, at most 16 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// An installed provider.
    pub provider: Name,
    /// A model of the provider, as `/v1/providers/{provider_id}/models` names it.
    pub model: String,
}

/// Limits of each of its runs. One that is absent or `null` is as the server's configuration says.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Model calls in a run, at least 1. By default 24.
    #[schemars(range(min = 1))]
    pub max_steps: Option<u32>,
    /// Tokens in and out in a run, at least 1. By default 500000.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Seconds that a run takes, at least 1. By default 600.
    #[schemars(range(min = 1))]
    pub max_seconds: Option<u64>,
    /// Tool calls in a run, at least 1. By default 100.
    #[schemars(range(min = 1))]
    pub max_tool_calls: Option<u32>,
    /// US dollars that a run may cost, more than 0. By default as much as it does.
    pub max_cost: Option<Dollars>,
    /// Tokens in and out in a day (UTC), of all runs together, at least 1. By default any number.
    #[schemars(range(min = 1))]
    pub max_tokens_per_day: Option<u64>,
    /// US dollars that all runs of a day (UTC) may cost together, more than 0. By default as much as they do.
    pub max_cost_per_day: Option<Dollars>,
}

impl Settings {
    /// Returns the model that a run uses first.
    pub fn first(&self) -> Fallback {
        Fallback { provider: self.provider.clone(), model: self.model.clone() }
    }

    /// Returns every model that a run may use: the first one, then the fallbacks in order.
    pub fn models(&self) -> impl Iterator<Item = Fallback> {
        std::iter::once(self.first()).chain(self.fallbacks.iter().cloned())
    }
}
