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

/// Stands after an answer that broke off, before the model's next one.
const CONTINUE: &str = "[Your answer broke off here. Give your complete answer.]";
/// Stands before a conversation that begins with an answer.
const BEGINNING: &str = "[The conversation begins here.]";
/// Stands for the answer of a run that ended after the results of tools.
const NO_ANSWER: &str = "[The run ended before there was an answer.]";

/// Converts a history for providers, so that strict services accept it whatever happened: the results of a message's
/// calls follow it in one message, and a call that a stopped run left without a result gets an error as its result; no
/// message is empty; an answer stands between results and a user's message, and a note between two answers.
pub fn for_provider(messages: &[Message]) -> Result<Vec<models::Message>> {
    let mut shown: Vec<models::Message> = Vec::with_capacity(messages.len());
    let mut rest = messages;
    while let Some((message, behind)) = rest.split_first() {
        let results = behind.iter().take_while(|m| m.role == Role::Tool).count();
        let (results, behind) =
            if message.role == Role::Assistant { behind.split_at(results) } else { (&[][..], behind) };
        rest = behind;
        match message.role {
            Role::User => shown.push(one(models::Role::User, message.content.clone())),
            Role::Assistant => {
                shown.extend(assistant(message)?);
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

/// Joins messages of several groups, so that they alternate as strict services require.
pub fn alternate(messages: Vec<models::Message>) -> Vec<models::Message> {
    use models::Role as R;
    let mut joined: Vec<models::Message> = Vec::with_capacity(messages.len());
    if messages.first().is_some_and(|first| first.role != R::User) {
        joined.push(one(R::User, BEGINNING.to_owned()));
    }
    for message in messages {
        match (joined.last_mut(), message.role) {
            (Some(last), R::User) if last.role == R::User => {
                last.parts.extend(message.parts);
                continue;
            }
            (Some(last), R::User) if last.role == R::Tool => joined.push(one(R::Assistant, NO_ANSWER.to_owned())),
            (Some(last), R::Assistant) if last.role == R::Assistant => joined.push(one(R::User, CONTINUE.to_owned())),
            _ => {}
        }
        joined.push(message);
    }
    if joined.last().is_some_and(|last| last.role == R::Assistant) {
        joined.push(one(R::User, CONTINUE.to_owned()));
    }
    joined
}

pub(super) fn one(role: models::Role, text: String) -> models::Message {
    models::Message { role, parts: vec![models::Part::Text(text)], opaque: Vec::new() }
}

/// Returns `None` if the message says nothing.
fn assistant(message: &Message) -> Result<Option<models::Message>> {
    if message.content.trim().is_empty() && message.calls().is_empty() {
        return Ok(None);
    }
    let opaque = message.opaque.as_ref();
    let mut parts = Vec::new();
    for thought in message.thinking.iter().flatten() {
        let opaque = decode(&thought.opaque)?;
        parts.push(models::Part::Thinking(models::Thinking { text: thought.text.clone(), opaque }));
    }
    if !message.content.is_empty() {
        parts.push(models::Part::Text(message.content.clone()));
    }
    for call in message.calls() {
        let arguments = call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned);
        let (id, name) = (call.id.clone(), call.name.clone());
        let opaque = opaque.and_then(|opaque| opaque.calls.get(&call.id)).map(|data| decode(data)).transpose()?;
        let opaque = opaque.unwrap_or_default();
        parts.push(models::Part::ToolCall(models::ToolCall { id, name, arguments, opaque }));
    }
    for (kind, data) in opaque.iter().flat_map(|opaque| &opaque.parts) {
        parts.push(models::Part::Other(models::OpaquePart { kind: kind.clone(), data: decode(data)? }));
    }
    let opaque = opaque.and_then(|opaque| opaque.message.as_deref()).map(decode).transpose()?.unwrap_or_default();
    Ok(Some(models::Message { role: models::Role::Assistant, parts, opaque }))
}

fn decode(data: &str) -> Result<Vec<u8>> {
    BASE64.decode(data).map_err(moxxy_types::error::Error::internal)
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
    let parts = calls.iter().map(answer).collect();
    models::Message { role: models::Role::Tool, parts, opaque: Vec::new() }
}

/// Converts a model's thinking for storage.
pub fn thinking(thinking: models::Thinking) -> Thinking {
    Thinking { text: thinking.text, opaque: BASE64.encode(thinking.opaque) }
}
