//! Requests for responses, and their conversion to a conversation with an agent.

use moxxy_types::{
    error::{Error, Result},
    ids::{Name, RunId},
    runs::RunOptions,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    http::{
        chat::{
            agent, client_tools,
            conversation::{Content, Message, Speaker, conversation},
            output_schema,
        },
        responses::ResponseId,
    },
    services::chat::Conversation,
};

/// What an agent is to answer. What is not named here is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseRequest")]
pub(crate) struct Request {
    /// The agent's name.
    model: String,
    /// A text, or a list of items: messages, and calls and results of tools of the client's own. The last one becomes the
    /// run's task.
    input: Option<Input>,
    /// What the client wants beside the agent's persona, which it does not replace.
    instructions: Option<String>,
    /// The response that this one follows, whose session it continues.
    previous_response_id: Option<String>,
    /// Whether the answer is to come in pieces, as server-sent events.
    stream: Option<bool>,
    /// Whether to return at once. `GET /v1/responses/{response_id}` shows the answer once it is there.
    background: Option<bool>,
    text: Option<TextOptions>,
    /// Tools that the client carries out itself, if the agent's tool policy allows them (`client_tools`). The output ends
    /// with the calls of them.
    tools: Option<Vec<Map<String, Value>>>,
    /// `auto`, `none`, `required` or one of the `tools`. The model reads it as a wish of the client.
    tool_choice: Option<Value>,
    /// None: name the response before with `previous_response_id`.
    conversation: Option<Value>,
    /// None: an agent has a persona.
    prompt: Option<Value>,
}

/// The form of the answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseTextOptions")]
struct TextOptions {
    /// `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema", "name", "schema"}`.
    format: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is a text, or a list of items")]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// A message, or a call or result of a tool of the client's own. Other types of items are passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseItem")]
struct Item {
    /// `message`, which is the default, `function_call` or `function_call_output`.
    r#type: Option<String>,
    /// Of a message: who said it.
    role: Option<Speaker>,
    /// Of a message: a text, or a list of parts.
    content: Option<Content>,
    /// Id of a call.
    call_id: Option<String>,
    /// Of a call: the tool.
    name: Option<String>,
    /// Of a call: its arguments, as JSON text.
    arguments: Option<String>,
    /// Of the result of a call: a text, or a list of parts.
    output: Option<Value>,
}

/// Validated request.
pub(super) struct Parsed {
    pub agent: Name,
    pub conversation: Conversation,
    pub instructions: Option<String>,
    pub is_streamed: bool,
    pub in_background: bool,
}

impl Request {
    pub(super) fn parse(self) -> Result<Parsed> {
        self.refuse()?;
        let agent = agent(&self.model)?;
        let previous = self.previous_response_id.map(previous).transpose()?;
        let instructions = self.instructions.filter(|text| !text.trim().is_empty());
        let mut messages: Vec<_> = instructions.iter().map(|text| message(Speaker::Developer, text.clone())).collect();
        match self.input {
            None => {}
            Some(Input::Text(text)) => messages.push(message(Speaker::User, text)),
            Some(Input::Items(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    let invalid = |reason| Error::invalid_field(&format!("input[{index}]"), reason);
                    messages.extend(item.into_message().map_err(invalid)?);
                }
            }
        }
        if messages.len() == usize::from(instructions.is_some()) {
            return Err(Error::invalid_field("input", "it is empty"));
        }
        let (tools, note) = client_tools::parse(self.tools, self.tool_choice.as_ref())?;
        let format = self.text.and_then(|text| text.format);
        let schema = format.map(|format| output_schema("text.format", format)).transpose()?.flatten();
        let options = RunOptions { previous, client_tools: tools, output_schema: schema, ..RunOptions::default() };
        Ok(Parsed {
            agent,
            conversation: conversation("input", messages, options)?.with_note(note),
            instructions,
            is_streamed: self.stream == Some(true),
            in_background: self.background == Some(true),
        })
    }

    /// Rejects unsupported parameters that would change the answer.
    fn refuse(&self) -> Result<()> {
        let checks = [
            ("conversation", self.conversation.is_none(), "name the response before with `previous_response_id`"),
            ("prompt", self.prompt.is_none(), "an agent has a persona"),
            (
                "stream",
                !(self.stream == Some(true) && self.background == Some(true)),
                "a response in the background is not streamed: ask for it later",
            ),
        ];
        match checks.into_iter().find(|(_, is_fine, _)| !is_fine) {
            Some((field, _, reason)) => Err(Error::invalid_field(field, reason)),
            None => Ok(()),
        }
    }
}

impl Item {
    fn into_message(self) -> Result<Option<Message>, &'static str> {
        let Self { r#type, role, content, call_id, name, arguments, output } = self;
        Ok(match r#type.as_deref() {
            None | Some("message") => {
                let role = role.ok_or("a message has a `role`")?;
                Some(Message { role, content, tool_calls: None, tool_call_id: None })
            }
            Some("function_call") => {
                let call = json!({
                    "id": call_id, "type": "function", "function": { "name": name, "arguments": arguments },
                });
                let calls = call.as_object().cloned().into_iter().collect();
                Some(Message { tool_calls: Some(calls), ..message(Speaker::Assistant, String::new()) })
            }
            Some("function_call_output") => {
                let output = match output {
                    Some(Value::String(text)) => text,
                    other => other.unwrap_or_default().to_string(),
                };
                Some(Message { tool_call_id: call_id, ..message(Speaker::Tool, output) })
            }
            // Thoughts, and references to items that the server has.
            Some(_) => None,
        })
    }
}

fn message(role: Speaker, text: String) -> Message {
    Message { role, content: Some(Content::Text(text)), tool_calls: None, tool_call_id: None }
}

fn previous(id: String) -> Result<RunId> {
    let invalid = |reason| Error::invalid_field("previous_response_id", reason);
    ResponseId::try_from(id).map(|ResponseId(run)| run).map_err(invalid)
}
