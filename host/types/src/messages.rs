//! Messages: the entries of a session's history.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::{
    ids::{MessageId, RunId, SessionId},
    runs::Run,
};

/// A message of a conversation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// The session that it stands in.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "session"))]
    pub session_id: SessionId,
    /// The run that it belongs to.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "run"))]
    pub run_id: RunId,
    pub role: Role,
    /// Its text; of a tool, the result.
    pub content: String,
    /// The tools that the model calls with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Of the call that a tool's message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Whether the tool's call failed. Absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// Whether a client told of it, as said before the run. Absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quoted: bool,
    /// Why it broke off. Absent if it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    #[serde(skip)]
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub thinking: Option<Vec<Thinking>>,
    #[serde(skip)]
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub opaque: Option<Opaque>,
    /// When it was written (RFC 3339, UTC).
    pub created_at: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Role {
    /// Who gave the task.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
}

/// Why an answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Partial {
    /// It reached its limit of output tokens.
    OutputLimit,
    /// The service or the provider failed.
    Failed,
    /// The run was stopped.
    Stopped,
}

/// A tool that the model calls.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// Known to the message that answers it, as `tool_call_id`.
    pub id: String,
    /// As the model was told it: the skill, two underscores, the tool.
    pub name: String,
    /// An object; a string if what the model wrote is not one.
    pub arguments: Value,
}

/// Reasoning of a model, stored for providers that need it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thinking {
    pub text: Option<String>,
    /// Data of the provider, in base64.
    pub opaque: String,
}

/// Data of a provider that belongs to a message and its calls, in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opaque {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// By id of the call.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, String>,
    /// Parts that only the provider understands, each with its kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(String, String)>,
}

impl Message {
    pub fn new(run: &Run, role: Role, content: String, created_at: String) -> Self {
        Self {
            id: MessageId::random(),
            session_id: run.session_id.clone(),
            run_id: run.run_id.clone(),
            role,
            content,
            tool_calls: None,
            tool_call_id: None,
            is_error: false,
            quoted: false,
            partial: None,
            thinking: None,
            opaque: None,
            created_at,
        }
    }

    pub fn calls(&self) -> &[ToolCall] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}
