//! Messages of a session's history, and their conversion for providers.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use moxxy_runtime::models;
use moxxy_types::{
    error::Result,
    messages::{Message, Role, Thinking, ToolCall},
};

/// Returns the calls of the last assistant message that have no result yet.
pub fn unanswered(messages: &[Message]) -> Vec<ToolCall> {
    let Some(asked) = messages.iter().rposition(|message| message.role == Role::Assistant) else { return Vec::new() };
    let (before, after) = messages.split_at(asked + 1);
    let answered = |call: &&ToolCall| !after.iter().any(|m| m.tool_call_id.as_deref() == Some(&*call.id));
    before.last().map(Message::calls).unwrap_or_default().iter().filter(answered).cloned().collect()
}

/// Converts a history for providers. The results of a message's calls follow it in one message. A call that a stopped
/// run left without a result gets an error as its result.
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
            // A result without its call, which providers cannot use.
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
        let opaque = BASE64.decode(&thought.opaque).map_err(moxxy_types::error::Error::internal)?;
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

/// Converts a model's thinking for storage.
pub fn thinking(thinking: models::Thinking) -> Thinking {
    Thinking { text: thinking.text, opaque: BASE64.encode(thinking.opaque) }
}
