//! Every event there is, with its payload.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    digest::Digest,
    error::{Error, Result},
    ids::{Name, SecretId, SecretName, SessionId, StepId, TokenId},
};

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = $type:literal { $($(#[$about:meta])* $field:ident: $of:ty),* $(,)? }),* $(,)?) => {
        /// An event, with its payload.
        #[derive(Debug, Clone, Serialize)]
        #[serde(tag = "event_type", content = "payload")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $type)] $event { $($(#[$about])* $field: $of),* },)*
        }

        impl Event {
            /// Every type of event.
            pub const TYPES: &[&str] = &[$($type),*];
        }
    };
}

events! {
    AgentCreated = "agent.created" { provider: Name, model: String },
    AgentUpdated = "agent.updated" { changed: Vec<&'static str> },
    AgentDeleted = "agent.deleted" {},
    AgentReset = "agent.reset" { session_id: SessionId },

    ProviderInstalled = "provider.installed" { provider_id: Name, digest: Digest, version: String },
    ProviderRemoved = "provider.removed" { provider_id: Name },
    ProviderFailed = "provider.failed" { provider_id: Name, code: String, message: String },

    SkillInstalled = "skill.installed" {
        skill_id: Name,
        digest: Digest,
        version: String,
        tools: Vec<String>,
        accepted: BTreeSet<String>,
    },
    SkillUpgraded = "skill.upgraded" {
        skill_id: Name,
        from: Digest,
        to: Digest,
        version: String,
        accepted: BTreeSet<String>,
    },
    SkillRolledBack = "skill.rolled_back" { skill_id: Name, from: Digest, to: Digest },
    SkillRemoved = "skill.removed" { skill_id: Name },
    SkillInvoked = "skill.invoked" { step_id: Option<StepId>, skill_id: Name, tool: String, arguments: Value },
    SkillCompleted = "skill.completed" {
        step_id: Option<StepId>,
        skill_id: Name,
        tool: String,
        output: Value,
        usage: Usage,
    },
    SkillFailed = "skill.failed" {
        step_id: Option<StepId>,
        skill_id: Name,
        tool: String,
        code: String,
        message: String,
        /// Unknown when it was cut off.
        usage: Option<Usage>,
    },
    SkillProgress = "skill.progress" { step_id: Option<StepId>, skill_id: Name, message: String, done: Option<f64> },
    SkillLog = "skill.log" { step_id: Option<StepId>, skill_id: Name, level: &'static str, context: String, message: String },
    LimitExceeded = "sandbox.limit_exceeded" { component: Name, limit: String, message: String },

    TokenCreated = "token.created" { token_id: TokenId, scopes: Vec<String>, by: String },
    TokenRevoked = "token.revoked" { token_id: TokenId, by: String },
    /// An unknown token, or a known one that lacks a scope.
    TokenDenied = "token.denied" { token_id: Option<TokenId>, scope: Option<String>, reason: &'static str },

    SecretCreated = "vault.secret_created" { secret_id: SecretId, name: SecretName, by: String },
    SecretRotated = "vault.secret_rotated" { secret_id: SecretId, name: SecretName, by: String },
    SecretDeleted = "vault.secret_deleted" { secret_id: SecretId, name: SecretName, by: String },

    RunQueued = "run.queued" { session_id: SessionId, task: String },
    RunStarted = "run.started" {},
    RunResumed = "run.resumed" { interrupted: Vec<Interrupted> },
    RunCompleted = "run.completed" { output: String },
    RunFailed = "run.failed" { code: String, message: String },
    RunCancelled = "run.cancelled" { mode: &'static str },

    MessageUser = "message.user" { message_id: String, content: String },
    MessageDelta = "message.delta" { step_id: StepId, text: String },
    MessageAssistant = "message.assistant" { message_id: String, content: String, tool_calls: Value },

    ModelRequest = "model.request" { step_id: StepId, provider_id: Name, model: String, messages: usize, tools: usize },
    ModelResponse = "model.response" { step_id: StepId, stop_reason: String, input_tokens: u64, output_tokens: u64, usage: Usage },
    ModelFailed = "model.failed" { step_id: StepId, provider_id: Name, code: String, message: String, usage: Option<Usage> },
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
