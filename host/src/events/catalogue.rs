//! Every event there is, with its payload.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    digest::Digest,
    error::{Error, Result},
    ids::{Name, SessionId, StepId, TokenId},
};

/// An event. Its type is the text in `rename`, its payload the fields.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event_type", content = "payload")]
pub enum Event {
    #[serde(rename = "agent.created")]
    AgentCreated { provider: Name, model: String },
    #[serde(rename = "agent.updated")]
    AgentUpdated { changed: Vec<&'static str> },
    #[serde(rename = "agent.deleted")]
    AgentDeleted {},
    #[serde(rename = "agent.reset")]
    AgentReset { session_id: SessionId },

    #[serde(rename = "provider.installed")]
    ProviderInstalled { provider_id: Name, digest: Digest, version: String },
    #[serde(rename = "provider.removed")]
    ProviderRemoved { provider_id: Name },
    #[serde(rename = "provider.failed")]
    ProviderFailed { provider_id: Name, code: String, message: String },

    #[serde(rename = "skill.installed")]
    SkillInstalled { skill_id: Name, digest: Digest, version: String, tools: Vec<String>, accepted: BTreeSet<String> },
    #[serde(rename = "skill.upgraded")]
    SkillUpgraded { skill_id: Name, from: Digest, to: Digest, version: String, accepted: BTreeSet<String> },
    #[serde(rename = "skill.rolled_back")]
    SkillRolledBack { skill_id: Name, from: Digest, to: Digest },
    #[serde(rename = "skill.removed")]
    SkillRemoved { skill_id: Name },
    #[serde(rename = "skill.invoked")]
    SkillInvoked { step_id: Option<StepId>, skill_id: Name, tool: String, arguments: Value },
    #[serde(rename = "skill.completed")]
    SkillCompleted { step_id: Option<StepId>, skill_id: Name, tool: String, output: Value, usage: Usage },
    #[serde(rename = "skill.failed")]
    SkillFailed {
        step_id: Option<StepId>,
        skill_id: Name,
        tool: String,
        code: String,
        message: String,
        /// Unknown when it was cut off.
        usage: Option<Usage>,
    },
    #[serde(rename = "skill.progress")]
    SkillProgress { step_id: Option<StepId>, skill_id: Name, message: String, done: Option<f64> },
    #[serde(rename = "skill.log")]
    SkillLog { step_id: Option<StepId>, skill_id: Name, level: &'static str, context: String, message: String },
    #[serde(rename = "sandbox.limit_exceeded")]
    LimitExceeded { component: Name, limit: String, message: String },

    #[serde(rename = "token.created")]
    TokenCreated { token_id: TokenId, scopes: Vec<String>, by: String },
    #[serde(rename = "token.revoked")]
    TokenRevoked { token_id: TokenId, by: String },
    /// An unknown token, or a known one that lacks a scope.
    #[serde(rename = "token.denied")]
    TokenDenied { token_id: Option<TokenId>, scope: Option<String>, reason: &'static str },

    #[serde(rename = "run.queued")]
    RunQueued { session_id: SessionId, task: String },
    #[serde(rename = "run.started")]
    RunStarted {},
    #[serde(rename = "run.resumed")]
    RunResumed { interrupted: Vec<Interrupted> },
    #[serde(rename = "run.completed")]
    RunCompleted { output: String },
    #[serde(rename = "run.failed")]
    RunFailed { code: String, message: String },
    #[serde(rename = "run.cancelled")]
    RunCancelled { mode: &'static str },

    #[serde(rename = "message.user")]
    MessageUser { message_id: String, content: String },
    #[serde(rename = "message.delta")]
    MessageDelta { step_id: StepId, text: String },
    #[serde(rename = "message.assistant")]
    MessageAssistant { message_id: String, content: String, tool_calls: Value },

    #[serde(rename = "model.request")]
    ModelRequest { step_id: StepId, provider_id: Name, model: String, messages: usize, tools: usize },
    #[serde(rename = "model.response")]
    ModelResponse { step_id: StepId, stop_reason: String, input_tokens: u64, output_tokens: u64, usage: Usage },
    #[serde(rename = "model.failed")]
    ModelFailed { step_id: StepId, provider_id: Name, code: String, message: String, usage: Option<Usage> },
}

/// What a call of a component used.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// The most memory it held, in bytes.
    pub memory: usize,
    /// How often it called the server's functions.
    pub host_calls: u64,
    /// What it was given and read, in bytes: arguments and kept values.
    pub received: usize,
    /// What it gave and wrote, in bytes: its result, values, lines, output.
    pub sent: usize,
}

/// A step that a stop of the server cut off, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Interrupted {
    pub step_id: String,
    pub kind: String,
    pub outcome: &'static str,
}

impl Event {
    /// The type and the payload.
    pub(super) fn parts(&self) -> Result<(String, Value)> {
        let mut whole = serde_json::to_value(self).map_err(Error::internal)?;
        let fields = whole.as_object_mut().map(std::mem::take).unwrap_or_default();
        split(fields).ok_or_else(|| Error::internal("an event without a type"))
    }
}

fn split(mut fields: Map<String, Value>) -> Option<(String, Value)> {
    let event_type = fields.remove("event_type")?.as_str()?.to_owned();
    Some((event_type, fields.remove("payload").unwrap_or_else(|| json!({}))))
}
