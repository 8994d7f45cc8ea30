//! Messages: what a session's history is made of, and how a provider is shown it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::runs::Run;
use crate::{
    plugins::models,
    types::{
        error::Result,
        ids::{MessageId, RunId, SessionId},
    },
};

/// A message of a conversation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// The session that it stands in.
    pub session_id: SessionId,
    /// The run that it belongs to.
    pub run_id: RunId,
    pub role: Role,
    /// Its text; of a tool, the result.
    pub content: String,
    /// The tools that the model calls with it.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    #[serde(skip)]
    pub thinking: Option<Vec<Thinking>>,
    /// When it was written (RFC 3339, UTC).
    pub created_at: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who gave the task.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
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

/// A thought, kept for providers that want it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thinking {
    pub text: Option<String>,
    /// In base64.
    pub opaque: String,
}

impl Role {
    const ALL: [Self; 3] = [Self::User, Self::Assistant, Self::Tool];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
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
            thinking: None,
            created_at,
        }
    }

    pub fn calls(&self) -> &[ToolCall] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

/// The calls of the last assistant message that no message answers yet.
pub fn unanswered(messages: &[Message]) -> Vec<ToolCall> {
    let Some(asked) = messages.iter().rposition(|message| message.role == Role::Assistant) else { return Vec::new() };
    let (before, after) = messages.split_at(asked + 1);
    let answered = |call: &&ToolCall| !after.iter().any(|m| m.tool_call_id.as_deref() == Some(&*call.id));
    before.last().map(Message::calls).unwrap_or_default().iter().filter(answered).cloned().collect()
}

/// A history as providers take it: the results of a message's calls follow it in one message, and
/// a call that a stopped run left open is answered here.
pub fn for_provider(messages: &[Message]) -> Result<Vec<models::Message>> {
    let mut shown = Vec::with_capacity(messages.len());
    let mut rest = messages;
    while let Some((message, behind)) = rest.split_first() {
        let results = behind.iter().take_while(|m| m.role == Role::Tool).count();
        let (results, behind) =
            if message.role == Role::Assistant { behind.split_at(results) } else { (&[][..], behind) };
        rest = behind;
        match message.role {
            Role::User => shown.push(one(models::Role::User, models::Part::Text(message.content.clone()))),
            Role::Assistant => {
                shown.push(assistant(message)?);
                if !message.calls().is_empty() {
                    shown.push(answers(message.calls(), results));
                }
            }
            // A result without its call: there is nothing it could answer.
            Role::Tool => {}
        }
    }
    Ok(shown)
}

fn one(role: models::Role, part: models::Part) -> models::Message {
    models::Message { role, parts: vec![part] }
}

fn assistant(message: &Message) -> Result<models::Message> {
    let mut parts = Vec::new();
    for thought in message.thinking.iter().flatten() {
        let opaque = BASE64.decode(&thought.opaque).map_err(crate::types::error::Error::internal)?;
        parts.push(models::Part::Thinking(models::Thinking { text: thought.text.clone(), opaque }));
    }
    if !message.content.is_empty() {
        parts.push(models::Part::Text(message.content.clone()));
    }
    for call in message.calls() {
        let arguments = call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned);
        let (id, name) = (call.id.clone(), call.name.clone());
        parts.push(models::Part::ToolCall(models::ToolCall { id, name, arguments }));
    }
    Ok(models::Message { role: models::Role::Assistant, parts })
}

fn answers(calls: &[ToolCall], results: &[Message]) -> models::Message {
    let answer = |call: &ToolCall| {
        let result = results.iter().find(|result| result.tool_call_id.as_deref() == Some(&*call.id));
        let (content, is_error) = match result {
            Some(result) => (result.content.clone(), result.is_error),
            None => ("The run ended before this call was made.".to_owned(), true),
        };
        models::Part::ToolResult(models::ToolResult { call_id: call.id.clone(), content, is_error })
    };
    models::Message { role: models::Role::Tool, parts: calls.iter().map(answer).collect() }
}

impl From<models::Thinking> for Thinking {
    fn from(thinking: models::Thinking) -> Self {
        Self { text: thinking.text, opaque: BASE64.encode(thinking.opaque) }
    }
}
