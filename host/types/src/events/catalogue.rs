//! Catalogue of all events with their payloads.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use super::{COMPONENT_ACTOR_PREFIX, SERVER_ACTOR};
use crate::{
    digest::Digest,
    error::{Error, Result},
    ids::{GrantId, InstallationId, JobId, Name, QuestionId, RunId, SecretId, SecretName, SessionId, StepId, TokenId},
    money::Dollars,
};

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = $type:literal { $($(#[$attr:meta])* $field:ident: $ty:ty),* $(,)? }),* $(,)?) => {
        /// An event, with its payload.
        #[derive(Debug, Clone, Serialize)]
        #[serde(tag = "event_type", content = "payload")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $type)] $event { $($(#[$attr])* $field: $ty),* },)*
        }

        impl Event {
            /// Every type of event.
            pub const TYPES: &[&str] = &[$($type),*];
        }
    };
}

events! {
    AgentCreated = "agent.created" { provider: Name, model: String },
    /// Includes the new tool policy if it was set.
    AgentUpdated = "agent.updated" {
        changed: Vec<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_policy: Option<Value>,
    },
    AgentDeleted = "agent.deleted" {},
    AgentReset = "agent.reset" { session_id: SessionId },

    ProviderInstalled = "provider.installed" { provider_id: Name, digest: Digest, version: String },
    /// Changed configuration options, concurrency of completions, and permissions beyond its public hosts.
    ProviderUpdated = "provider.updated" {
        provider_id: Name,
        changed: Vec<String>,
        concurrency: Option<u32>,
        accepted: BTreeSet<String>,
    },
    ProviderUpgraded = "provider.upgraded" {
        provider_id: Name,
        from: Digest,
        to: Digest,
        version: String,
        accepted: BTreeSet<String>,
    },
    ProviderRolledBack = "provider.rolled_back" { provider_id: Name, from: Digest, to: Digest },
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
    /// `changed` lists the changed options, `accepted` all permissions with consent.
    SkillConfigured = "skill.configured" { skill_id: Name, changed: Vec<String>, accepted: BTreeSet<String> },
    /// The agents that may use a skill of the server changed.
    SkillEnabled = "skill.enabled" {
        installation_id: InstallationId,
        skill_id: Name,
        all_agents: bool,
        /// The agents that may use it now; empty if all may.
        agents: Vec<Name>,
        added: Vec<Name>,
        removed: Vec<Name>,
    },
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
        /// `None` if the call was aborted.
        usage: Option<Usage>,
    },
    SkillProgress = "skill.progress" { step_id: Option<StepId>, skill_id: Name, message: String, done: Option<f64> },
    SkillLog = "skill.log" { step_id: Option<StepId>, skill_id: Name, level: &'static str, context: String, message: String },
    /// A tool call of the model that the policy or a person denied.
    SkillDenied = "skill.denied" { skill_id: Option<Name>, tool: String, reason: String },
    LimitExceeded = "sandbox.limit_exceeded" { component: Name, limit: String, message: String },

    /// A request of a component that no rule allows.
    EgressDenied = "egress.denied" { component: Name, host: String, method: String, reason: String },

    TokenCreated = "token.created" { token_id: TokenId, scopes: Vec<String>, by: String },
    TokenRevoked = "token.revoked" { token_id: TokenId, by: String },
    /// Rejection of a known token that lacks a scope, or of all unknown tokens since the last such event, at
    /// least a minute ago.
    TokenDenied = "token.denied" {
        token_id: Option<TokenId>,
        scope: Option<String>,
        reason: &'static str,
        /// Number of rejections since `since`.
        count: u64,
        since: String,
        /// Rejections by network, for up to 16 networks; `other_count` has the rest of `count`.
        sources: Vec<RejectionCount>,
        other_count: u64,
    },

    SecretCreated = "vault.secret_created" { secret_id: SecretId, name: SecretName, by: String },
    SecretRotated = "vault.secret_rotated" { secret_id: SecretId, name: SecretName, by: String },
    SecretDeleted = "vault.secret_deleted" { secret_id: SecretId, name: SecretName, by: String },

    Granted = "vault.granted" {
        grant_id: GrantId,
        secret_id: SecretId,
        name: SecretName,
        skill_id: Option<Name>,
        provider_id: Option<Name>,
        digest: Digest,
        mode: &'static str,
        hosts: Vec<String>,
        place: String,
        expires_at: Option<String>,
        max_uses: Option<i64>,
        by: String,
    },
    /// A component used a secret.
    SecretAccessed = "vault.accessed" {
        grant_id: GrantId,
        secret_id: SecretId,
        name: SecretName,
        component: Name,
        mode: &'static str,
        /// Host that the secret was sent to, if any.
        host: Option<String>,
    },
    /// A component tried to use a secret in a way that no grant allows.
    SecretDenied = "vault.denied" { name: Option<SecretName>, component: Name, reason: String },
    Revoked = "vault.revoked" {
        grant_id: GrantId,
        secret_id: SecretId,
        name: SecretName,
        skill_id: Option<Name>,
        provider_id: Option<Name>,
        by: String,
    },

    /// Events at positions `from` to `to`, inclusive, expired and were removed before a subscriber read them.
    /// Sent only to that subscriber, and not stored.
    StreamGap = "stream.gap" { from: i64, to: i64 },

    /// `origin` is what started the run; `origin_id` is the id of the automation, if one started it.
    RunQueued = "run.queued" {
        session_id: SessionId,
        task: String,
        origin: &'static str,
        origin_id: Option<String>,
    },
    RunStarted = "run.started" {},
    RunResumed = "run.resumed" { interrupted: Vec<Interrupted> },
    /// The run waits until a person answers.
    RunWaiting = "run.waiting" { question_ids: Vec<QuestionId> },
    RunCompleted = "run.completed" {
        output: String,
        /// Whether the output ends at the limit of output tokens.
        output_truncated: bool,
        /// The value that the output is, of a run with an `output_schema`; `None` if its text has more than 64 KiB.
        output_json: Option<Value>,
    },
    RunFailed = "run.failed" { code: String, message: String },
    RunCancelled = "run.cancelled" { mode: &'static str },
    /// An ended run was deleted, with its messages, steps and events.
    RunDeleted = "run.deleted" { deleted_run_id: RunId },
    /// A session was deleted, with its runs.
    SessionDeleted = "session.deleted" { session_id: SessionId },

    /// `kind` is `question` or `approval`. `tool` is the tool that asks, or the one to be approved.
    AskRequested = "ask.requested" {
        question_id: QuestionId,
        kind: &'static str,
        question: String,
        tool: String,
        arguments: Option<Value>,
        expires_at: String,
    },
    /// For an approval, includes the digest of the component and the SHA-256 of the arguments as JSON text.
    /// `ask.requested` has the arguments.
    AskAnswered = "ask.answered" {
        question_id: QuestionId,
        tool: String,
        digest: Option<Digest>,
        arguments_digest: Option<Digest>,
        answer: Option<String>,
        decision: Option<&'static str>,
        scope: Option<&'static str>,
        by: String,
    },
    /// `reason` is `time`, `run_ended`, or `superseded` (the policy or the component has changed).
    AskExpired = "ask.expired" { question_id: QuestionId, reason: &'static str },

    /// An attempt of a job failed. The next one begins at `retry_at`.
    JobFailed = "job.failed" {
        job_id: JobId,
        kind: String,
        origin: Option<String>,
        attempt: i64,
        message: String,
        retry_at: String,
    },
    /// The last attempt of a job failed.
    JobDead = "job.dead" { job_id: JobId, kind: String, origin: Option<String>, attempts: i64, message: String },

    MessageUser = "message.user" { message_id: String, content: String },
    /// `at` is the offset of the text in the message, in bytes, so that clients can detect a missed delta.
    MessageDelta = "message.delta" { step_id: StepId, at: usize, text: String },
    MessageAssistant = "message.assistant" {
        message_id: String,
        content: String,
        tool_calls: Value,
        /// Why the message broke off, if it did: `output_limit`, `failed` or `stopped`.
        partial: Option<&'static str>,
    },

    ModelRequest = "model.request" {
        step_id: StepId,
        provider_id: Name,
        model: String,
        messages: usize,
        tools: usize,
        /// Number of omitted earlier messages (`left_out`) and of truncated results (`shortened`).
        left_out: usize,
        shortened: usize,
        max_output_tokens: u32,
        /// Tokens and cost that count towards limits until the call ends. The cost is `None` if the price is
        /// unknown.
        reserved_tokens: u64,
        reserved_cost: Option<Dollars>,
    },
    ModelResponse = "model.response" {
        step_id: StepId,
        stop_reason: String,
        input_tokens: u64,
        cached_input_tokens: u64,
        cache_write_tokens: u64,
        output_tokens: u64,
        /// Whether the tokens are estimated, because the service did not report its usage.
        is_estimated: bool,
        /// In US dollars, if the price is known.
        cost: Option<Dollars>,
        usage: Usage,
    },
    /// A model call is retried: with less input, after a transient failure, or with another model.
    ModelRetried = "model.retried" {
        step_id: StepId,
        provider_id: Name,
        model: String,
        reason: String,
        attempt: usize,
        /// Provider and model that failed, separated by a slash, if another model is used now.
        instead_of: Option<String>,
    },
    ModelFailed = "model.failed" {
        step_id: StepId,
        provider_id: Name,
        model: String,
        code: String,
        message: String,
        usage: Option<Usage>,
    },
}

/// Resources that a call of a component used.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Peak memory, in bytes.
    pub memory: usize,
    /// Number of calls to host functions.
    pub host_calls: u64,
    /// Bytes that the component received: arguments and stored values.
    pub received: usize,
    /// Bytes that the component sent: its result, values, lines and output.
    pub sent: usize,
}

/// Step that a stop of the server interrupted, and its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Interrupted {
    pub step_id: String,
    pub kind: String,
    pub outcome: &'static str,
}

/// Number of rejected tokens from a network.
#[derive(Debug, Clone, Serialize)]
pub struct RejectionCount {
    pub network: String,
    pub count: u64,
}

/// Payload fields that the audit log omits: texts of users, which are deleted with an agent.
const AUDIT_OMITTED_FIELDS: [&str; 3] = ["task", "arguments", "answer"];

impl Event {
    /// Returns the payload for the audit log, or `None` if the event does not belong there. The audit log has
    /// actions of principals, uses of secrets, denials and exceeded limits.
    pub fn audit_payload(&self, actor: &str) -> Result<Option<Arc<RawValue>>> {
        let by_principal = actor != SERVER_ACTOR && !actor.starts_with(COMPONENT_ACTOR_PREFIX);
        let always_audited = matches!(
            self,
            Self::SecretAccessed { .. }
                | Self::SecretDenied { .. }
                | Self::EgressDenied { .. }
                | Self::TokenDenied { .. }
                | Self::LimitExceeded { .. }
        );
        if !by_principal && !always_audited {
            return Ok(None);
        }
        let (_, mut payload) = self.type_and_payload()?;
        if let Some(fields) = payload.as_object_mut() {
            fields.retain(|name, _| !AUDIT_OMITTED_FIELDS.contains(&name.as_str()));
        }
        Ok(Some(to_raw_value(&payload).map_err(Error::internal)?.into()))
    }

    /// Returns the type and the payload.
    pub(super) fn type_and_payload(&self) -> Result<(String, Value)> {
        let mut object = serde_json::to_value(self).map_err(Error::internal)?;
        let fields = object.as_object_mut().map(std::mem::take).unwrap_or_default();
        split(fields).ok_or_else(|| Error::internal("an event without a type"))
    }
}

fn split(mut fields: Map<String, Value>) -> Option<(String, Value)> {
    let event_type = fields.remove("event_type")?.as_str()?.to_owned();
    Some((event_type, fields.remove("payload").unwrap_or_else(|| json!({}))))
}
