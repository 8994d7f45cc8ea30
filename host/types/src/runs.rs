//! Runs, their steps and their usage.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::{
    agents::AgentKey,
    components::Tool,
    ids::{self, ModelCallId, Name, RunId, SessionId, StepId},
    money::Dollars,
};

/// How soon a stop takes effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Stop {
    /// When the step that runs has ended.
    #[default]
    Step,
    /// At once: the call under way is interrupted.
    Now,
}

/// What a step used; of a tool call all is 0.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "StepUsage")]
pub struct StepUsage {
    /// Tokens that the model read; 0 for a tool.
    pub input_tokens: u64,
    /// Those of them that the service had in its cache.
    pub cached_input_tokens: u64,
    /// Those of them that the service wrote to its cache.
    pub cache_write_tokens: u64,
    /// Tokens that the model wrote; 0 for a tool.
    pub output_tokens: u64,
    /// Whether the tokens are estimated, because the service did not report its usage.
    pub is_estimated: bool,
    /// In US dollars; `null` where the model's price is not known, and for a tool.
    pub cost: Option<Dollars>,
    /// Tokens that limits count beside these: of a call under way, or whose usage never became known.
    pub reserved_tokens: u64,
    /// The same in US dollars.
    pub reserved_cost: Dollars,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "RunUsage")]
pub struct RunUsage {
    /// Model calls.
    pub steps: u32,
    /// Tool calls that were made.
    pub tool_calls: u32,
    /// Tokens that the model read.
    pub input_tokens: u64,
    /// Those of them that the service had in its cache.
    pub cached_input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// In US dollars, without the calls whose price is not known.
    pub cost: Dollars,
    /// Tokens that limits count beside these: of calls under way, or whose usage never became known.
    pub reserved_tokens: u64,
    /// The same in US dollars.
    pub reserved_cost: Dollars,
}

/// What an agent used in a day.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "DayUsage")]
pub struct DailyUsage {
    /// The day (UTC), as 2026-11-27. A call belongs to the day on which it began.
    pub day: String,
    #[serde(flatten)]
    pub usage: RunUsage,
}

impl RunUsage {
    /// Returns the tokens that count towards limits.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.reserved_tokens)
    }

    /// Returns the cost that counts towards limits.
    pub fn counted_cost(&self) -> Dollars {
        self.cost + self.reserved_cost
    }
}

/// Separator between the names of a skill and its tool in the names that models see. No skill's name has an
/// underscore.
pub const TOOL_NAME_SEPARATOR: &str = "__";

/// A task that an agent was given, and what became of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Run {
    /// The run's id.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "id"))]
    #[serde(flatten, serialize_with = "ids::OwnRunId::serialize")]
    #[schemars(with = "ids::OwnRunId")]
    pub run_id: RunId,
    #[serde(skip)]
    pub agent: AgentKey,
    #[cfg_attr(feature = "sqlx", sqlx(rename = "agent_name"))]
    pub agent_id: Name,
    /// The session that it belongs to.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "session"))]
    pub session_id: SessionId,
    pub status: Status,
    /// How it was asked to stop, if it was.
    #[serde(skip)]
    pub stop: Option<Stop>,
    /// A token's id, or `local`.
    #[serde(skip)]
    pub started_by: String,
    /// Whether the output ends at the limit of output tokens.
    pub output_truncated: bool,
    /// Whether nobody is there whom it could ask.
    #[serde(skip)]
    pub unattended: bool,
    #[serde(skip)]
    #[cfg_attr(feature = "sqlx", sqlx(json))]
    pub options: RunOptions,
    /// Tool calls that the model requested, made or not.
    #[serde(skip)]
    pub requested_tool_calls: i64,
    /// How long it waited for people.
    #[serde(skip)]
    #[cfg_attr(feature = "sqlx", sqlx(rename = "waited_ms", try_from = "Milliseconds"))]
    pub waited: Duration,
    /// What started it.
    pub origin: Origin,
    /// Id of the automation that started the run, if one did.
    pub origin_id: Option<String>,
    /// What was to be done.
    pub task: String,
    /// The model's last words, once it has completed.
    pub output: Option<String>,
    /// The value that the output is, of a completed run with an `output_schema`, which it fits.
    #[cfg_attr(feature = "sqlx", sqlx(try_from = "JsonText"))]
    pub output_json: Option<Value>,
    /// Why it failed, if it did.
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub error: Option<Failure>,
    /// When it was queued (RFC 3339, UTC).
    pub created_at: String,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended, in whatever way.
    pub ended_at: Option<String>,
}

/// Options of a run beside those of its agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Words at which an answer ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Whether it goes on without the client that started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// Run that it continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RunId>,
    /// Tools that the client carries out itself. The run ends with the calls of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_tools: Vec<Tool>,
    /// JSON Schema that the output has to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// A duration as the database stores it.
#[cfg(feature = "sqlx")]
#[derive(Debug, sqlx::Type)]
#[sqlx(transparent)]
pub struct Milliseconds(i64);

#[cfg(feature = "sqlx")]
impl From<Milliseconds> for Duration {
    fn from(Milliseconds(number): Milliseconds) -> Self {
        Self::from_millis(number.unsigned_abs())
    }
}

/// Text of an output, as the database stores it. It is JSON, unless the run ended before the final answer.
#[cfg(feature = "sqlx")]
#[derive(Debug, sqlx::Type)]
#[sqlx(transparent)]
pub struct JsonText(Option<String>);

#[cfg(feature = "sqlx")]
impl From<JsonText> for Option<Value> {
    fn from(JsonText(text): JsonText) -> Self {
        serde_json::from_str(&text?).ok()
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RunStatus")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Status {
    /// Waits for those before it in its session.
    Queued,
    /// Is carried out.
    Running,
    /// Waits for a person, who is asked something or has to approve a call.
    Waiting,
    /// The model had nothing more to do; see `output`.
    Completed,
    /// See `error`.
    Failed,
    /// Was stopped.
    Cancelled,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RunOrigin")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Origin {
    /// A request for a run.
    Api,
    /// A chat completion.
    ChatCompletions,
    /// A response of OpenAI's Responses API.
    Responses,
}

impl Origin {
    /// Whether a client of OpenAI's API started the run.
    pub fn is_chat(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Responses)
    }
}

/// A run to be inserted.
#[derive(Debug)]
pub struct QueuedRun<'r> {
    pub id: &'r RunId,
    pub agent: AgentKey,
    pub session: &'r SessionId,
    pub task: &'r str,
    pub started_by: &'r str,
    /// Whether nobody is there whom it could ask.
    pub unattended: bool,
    pub origin: Origin,
    pub options: &'r RunOptions,
}

/// Filter of a list of runs. An absent field matches every run.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub agent: Option<AgentKey>,
    pub status: Option<Status>,
    pub origin: Option<Origin>,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RunFailure")]
pub struct Failure {
    /// Why, for a program.
    pub code: String,
    /// Why, for a person.
    pub message: String,
}

/// Returns the name by which the model calls a skill's tool.
pub fn tool_name(skill: &Name, tool: &str) -> String {
    format!("{skill}{TOOL_NAME_SEPARATOR}{tool}")
}

impl Status {
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }
}

/// A call of the model or of a tool.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// The step's id; events name it.
    #[serde(flatten, serialize_with = "ids::OwnStepId::serialize")]
    #[schemars(with = "ids::OwnStepId")]
    pub step_id: StepId,
    pub kind: StepKind,
    /// `running`, `completed`, `failed`, `cancelled`, `interrupted`, or `pending`: it asked the user
    /// something, and is made again with the answer.
    pub status: String,
    /// The model, or the tool.
    pub name: String,
    /// What it began with; for a tool its `arguments`.
    pub input: Option<Value>,
    /// What it ended with, or why it failed; and which model is asked `next`, if another is.
    pub output: Option<Value>,
    /// The model call that the step makes, if it is one.
    #[serde(skip)]
    pub model_call: Option<ModelCallId>,
    #[serde(flatten)]
    pub usage: StepUsage,
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum StepKind {
    /// The model.
    Model,
    /// A tool of a skill.
    Tool,
}

impl Step {
    /// Returns the provider of a model call.
    pub fn provider(&self) -> Name {
        let id = self.input.as_ref().and_then(|input| input.get("provider")).and_then(Value::as_str);
        Name::from_db(id.unwrap_or_default().to_owned())
    }

    /// Returns the skill and the tool of a tool call.
    pub fn tool(&self) -> (Name, String) {
        let (skill, tool) = self.name.split_once(TOOL_NAME_SEPARATOR).unwrap_or((&self.name, ""));
        (Name::from_db(skill.to_owned()), tool.to_owned())
    }

    /// Returns the id that the model gave a tool call.
    pub fn call_id(&self) -> Option<&str> {
        self.input.as_ref()?.get("call_id")?.as_str()
    }
}
