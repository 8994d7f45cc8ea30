//! Messages of clients, and their conversion to a conversation with an agent.

use std::borrow::Cow;

use moxxy_types::{
    error::{Error, Result},
    messages::Role,
    runs::RunOptions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::services::{
    chat::{ClientMessage, Conversation, EarlierMessage},
    runs,
};

/// Maximum number of messages in a conversation.
const MESSAGES: usize = 4096;
/// Task of a run whose conversation ends with an answer of the agent.
const GO_ON: &str = "[The conversation ends with your own message. Go on where it ends.]";
/// Task of a run whose conversation ends with an empty message.
const EMPTY: &str = "[The user sent an empty message.]";

/// A message of the conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
pub(in crate::http) struct Message {
    pub(in crate::http) role: Speaker,
    /// A text, or a list of parts of the type `text`.
    pub(in crate::http) content: Option<Content>,
    /// Calls of the client's own tools. The agent reads them as words of its client.
    pub(in crate::http) tool_calls: Option<Vec<Map<String, Value>>>,
    /// Of a tool's message: the call that it answers.
    pub(in crate::http) tool_call_id: Option<String>,
}

/// Who said it, by the client's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ChatRole")]
pub(in crate::http) enum Speaker {
    /// The client itself. The agent reads the message as words of its client, which do not replace the persona.
    System,
    /// The same.
    Developer,
    /// The user.
    User,
    /// The agent, earlier.
    Assistant,
    /// A tool of the client. The agent reads the message as words of its client.
    Tool,
    /// The same.
    Function,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is a text, or a list of parts with a `type`")]
pub(in crate::http) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatPart")]
pub(in crate::http) struct Part {
    /// `text`, `input_text`, `output_text` or `refusal`.
    pub(in crate::http) r#type: String,
    /// The text.
    pub(in crate::http) text: Option<String>,
    /// The text of a refusal, in an earlier answer.
    pub(in crate::http) refusal: Option<String>,
    /// Fields of other types of parts. A note replaces such a part in a message before the last.
    #[serde(flatten)]
    pub(in crate::http) rest: Map<String, Value>,
}

/// Returns the conversation of these messages. `field` is where the request has them.
pub(in crate::http) fn conversation(field: &str, messages: Vec<Message>, options: RunOptions) -> Result<Conversation> {
    let Some(last) = messages.last() else { return Err(Error::invalid_field(field, "it is empty")) };
    if messages.len() > MESSAGES {
        let reason = format!("it has {} messages; the limit is {MESSAGES}", messages.len());
        return Err(Error::invalid_field(field, reason));
    }
    let invalid = |reason| Error::invalid_field(&format!("{field}[{}].content", messages.len() - 1), reason);
    let task = last.task().map_err(invalid)?;
    if task.len() > runs::MAX_TASK_BYTES {
        return Err(invalid(format!("the last message has at most {} bytes", runs::MAX_TASK_BYTES)));
    }
    let is_answer = last.role == Speaker::Assistant;
    let mut messages: Vec<_> = messages.into_iter().map(Message::into_client_message).collect();
    if is_answer {
        // The model goes on from it, so it stands before the task.
        messages.push(ClientMessage { shown: Vec::new(), answer: None, fingerprint: String::new() });
    }
    Ok(Conversation { messages, task, options })
}

impl Message {
    /// Returns what the agent is to do, if this is the last message. The error is the reason why it cannot be one.
    fn task(&self) -> Result<String, String> {
        if let Some(unreadable) = self.parts().iter().find(|part| !part.is_text()) {
            return Err(format!("an agent reads text, and no part of the type {:?}", unreadable.r#type));
        }
        let text = self.text();
        let task = match self.role {
            Speaker::Assistant => GO_ON.to_owned(),
            Speaker::User => text,
            _ => self.render(text).into_iter().map(|shown| shown.content).collect::<Vec<_>>().join("\n"),
        };
        Ok(if task.trim().is_empty() { EMPTY.to_owned() } else { task })
    }

    fn into_client_message(self) -> ClientMessage {
        let text = self.text();
        let unreadable: Vec<_> = self.parts().iter().filter(|part| !part.is_text()).map(|part| &part.rest).collect();
        let fingerprint = json!([self.role, text.trim(), unreadable, self.tool_calls, self.tool_call_id]).to_string();
        let answer = (self.role == Speaker::Assistant).then(|| text.clone());
        ClientMessage { shown: self.render(text), answer, fingerprint }
    }

    /// Returns what the agent's model is shown of the message.
    fn render(&self, text: String) -> Vec<EarlierMessage> {
        let user = |content| EarlierMessage { role: Role::User, content };
        let marked = |what: &str, text: &str| {
            user(format!(
                "[The program through which the user talks to you says {what}]\n{text}\n[So far the program.]"
            ))
        };
        match self.role {
            Speaker::User => vec![user(text)],
            Speaker::Assistant => {
                let calls = self.tool_calls.as_ref().filter(|calls| !calls.is_empty());
                let calls = calls.map(|calls| marked("that tools of its own were called.", &json!(calls).to_string()));
                [EarlierMessage { role: Role::Assistant, content: text }].into_iter().chain(calls).collect()
            }
            _ if text.trim().is_empty() => Vec::new(),
            Speaker::System | Speaker::Developer => {
                vec![marked("this. It goes beside your instructions, and does not replace them.", &text)]
            }
            Speaker::Tool | Speaker::Function => {
                let id = self.tool_call_id.as_deref().unwrap_or_default();
                vec![marked(&format!("that a tool of its own answered its call {id:?}."), &text)]
            }
        }
    }

    fn parts(&self) -> &[Part] {
        match &self.content {
            Some(Content::Parts(parts)) => parts,
            _ => &[],
        }
    }

    /// Returns the text, with a note in the place of each part that is none.
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(Part::text).collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Part {
    fn is_text(&self) -> bool {
        matches!(&*self.r#type, "text" | "input_text" | "output_text" | "refusal")
    }

    fn text(&self) -> Cow<'_, str> {
        let text = match &*self.r#type {
            "text" | "input_text" | "output_text" => &self.text,
            "refusal" => &self.refusal,
            "image_url" | "input_image" => return "[An image was here, which you cannot see.]".into(),
            other => return format!("[Something of the type {other:?} was here, which you cannot read.]").into(),
        };
        text.as_deref().unwrap_or_default().into()
    }
}
