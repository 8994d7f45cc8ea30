//! Chat completion requests, and their conversion to a conversation with an agent.

use moxxy_types::{
    error::{Error, Result},
    ids::Name,
    messages::Role,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::chat::stream::StreamFormat;
use crate::services::{
    chat::{Conversation, EarlierMessage},
    runs,
};

/// Maximum number of messages in a conversation.
const MESSAGES: usize = 4096;
/// Maximum length of the name of an unknown agent in an error, in characters.
const NAME: usize = 64;

/// A conversation that an agent is to go on with. What is not named here is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatRequest")]
pub(crate) struct Request {
    /// The agent's name.
    model: String,
    /// The conversation, oldest first: 1 to 4096 messages. The last one is from the user and becomes the
    /// run's task.
    messages: Vec<Message>,
    /// Whether the answer is to come in pieces, as server-sent events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// How many answers; at most 1.
    n: Option<u64>,
    /// None: an agent has its own.
    tools: Option<Vec<Map<String, Value>>>,
    /// None: an agent has its own tools.
    functions: Option<Vec<Map<String, Value>>>,
    /// `auto` or `none`, which change nothing.
    tool_choice: Option<Value>,
    /// The same.
    function_call: Option<Value>,
    /// `{"type": "text"}`: an agent answers in words.
    response_format: Option<Value>,
    /// None: an agent says all that it has to say.
    stop: Option<Value>,
    /// `false`: nothing is known of them.
    logprobs: Option<bool>,
    /// `text` alone.
    modalities: Option<Vec<String>>,
    /// None: an agent does not speak.
    audio: Option<Value>,
}

/// What a stream is to tell.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatStreamOptions")]
struct StreamOptions {
    /// Whether its last piece tells what the run used.
    include_usage: Option<bool>,
}

/// A message of the conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
struct Message {
    role: Speaker,
    /// A text, or a list of parts of the type `text`.
    content: Option<Content>,
    /// Calls of tools of the client's own. The agent is told of them as something that its client says.
    tool_calls: Option<Vec<Map<String, Value>>>,
    /// Of a tool's message: the call that it answers.
    tool_call_id: Option<String>,
}

/// Who said it, by the client's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ChatRole")]
enum Speaker {
    /// The client itself. The agent is told so: it does not replace the persona.
    System,
    /// The same.
    Developer,
    /// The user.
    User,
    /// The agent, earlier.
    Assistant,
    /// A tool of the client's own. The agent is told of it as something that its client says.
    Tool,
    /// The same.
    Function,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is a text, or a list of parts with a `type`")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatPart")]
struct Part {
    /// `text`.
    r#type: String,
    /// The text.
    text: Option<String>,
    /// The text of a refusal, in an earlier answer.
    refusal: Option<String>,
}

/// Validated request.
pub(crate) struct ParsedRequest {
    pub agent: Name,
    pub conversation: Conversation,
    /// `None` for an answer that is not streamed.
    pub format: Option<StreamFormat>,
}

impl Request {
    pub(crate) fn parse(self) -> Result<ParsedRequest> {
        self.refuse()?;
        let unknown = |_| Error::not_found("agent", self.model.chars().take(NAME).collect::<String>());
        let agent = Name::try_from(self.model.clone()).map_err(unknown)?;
        let usage = self.stream_options.and_then(|options| options.include_usage) == Some(true);
        let format = (self.stream == Some(true)).then_some(StreamFormat { usage });
        Ok(ParsedRequest { agent, conversation: conversation(self.messages)?, format })
    }

    /// Rejects unsupported parameters that would change the answer. Clients send many whose value requests nothing, and
    /// those are accepted.
    fn refuse(&self) -> Result<()> {
        let is = |value: &Option<Value>, known: &[&str]| {
            value.as_ref().is_none_or(|value| value.as_str().is_some_and(|value| known.contains(&value)))
        };
        let own_tools = "an agent uses its own tools, and takes none from a client: install them as skills";
        let stops = match &self.stop {
            None => true,
            Some(Value::Array(list)) => list.is_empty(),
            Some(stop) => stop == "",
        };
        let is_text = self.response_format.as_ref().is_none_or(|format| format["type"] == "text");
        let choices = ["auto", "none"];
        let checks = [
            ("tools", self.tools.as_ref().is_none_or(Vec::is_empty), own_tools),
            ("functions", self.functions.as_ref().is_none_or(Vec::is_empty), own_tools),
            ("tool_choice", is(&self.tool_choice, &choices), own_tools),
            ("function_call", is(&self.function_call, &choices), own_tools),
            ("n", self.n.is_none_or(|n| n == 1), "an agent gives one answer"),
            ("response_format", is_text, "an agent answers in words: ask for a form in its persona or in the message"),
            ("stop", stops, "an agent's answer is not cut off at a word"),
            ("logprobs", self.logprobs != Some(true), "nothing is known of them"),
            ("modalities", self.modalities.iter().flatten().all(|kind| kind == "text"), "an agent answers in text"),
            ("audio", self.audio.is_none(), "an agent answers in text"),
        ];
        match checks.into_iter().find(|(_, is_fine, _)| !is_fine) {
            Some((field, _, reason)) => Err(Error::invalid_field(field, reason)),
            None => Ok(()),
        }
    }
}

fn conversation(mut messages: Vec<Message>) -> Result<Conversation> {
    if messages.len() > MESSAGES {
        let reason = format!("it has {} messages; the limit is {MESSAGES}", messages.len());
        return Err(Error::invalid_field("messages", reason));
    }
    let Some(last) = messages.pop() else { return Err(Error::invalid_field("messages", "it is empty")) };
    let place = |index: usize, field: &str| format!("messages[{index}].{field}");
    let count = messages.len();
    if last.role != Speaker::User {
        let reason = "the last message is from the user: it is what the agent is to do";
        return Err(Error::invalid_field(&place(count, "role"), reason));
    }
    let mut earlier: Vec<EarlierMessage> = Vec::with_capacity(count);
    for (index, message) in messages.into_iter().enumerate() {
        let messages =
            message.into_agent_messages().map_err(|reason| Error::invalid_field(&place(index, "content"), reason))?;
        for said in messages.into_iter().filter(|said| !said.content.trim().is_empty()) {
            match earlier.last_mut() {
                Some(before) if before.role == Role::Assistant && said.role == Role::Assistant => {
                    before.content = format!("{}\n\n{}", before.content, said.content);
                }
                _ => earlier.push(said),
            }
        }
    }
    let task = last.text().map_err(|reason| Error::invalid_field(&place(count, "content"), reason))?;
    if task.trim().is_empty() || task.len() > runs::MAX_TASK_BYTES {
        let reason = format!("the last message has 1 to {} bytes, and not only spaces", runs::MAX_TASK_BYTES);
        return Err(Error::invalid_field(&place(count, "content"), reason));
    }
    Ok(Conversation { earlier, task })
}

impl Message {
    /// Converts the message for the agent's model. The error is the reason why the content is invalid.
    fn into_agent_messages(self) -> Result<Vec<EarlierMessage>, String> {
        let (role, text) = (self.role, self.text()?);
        let user = |content| EarlierMessage { role: Role::User, content };
        let marked = |what: &str| {
            user(format!(
                "[The program through which the user talks to you says {what}]\n{text}\n[So far the program.]"
            ))
        };
        Ok(match role {
            Speaker::User => vec![user(text)],
            Speaker::Assistant => {
                let calls = self.tool_calls.filter(|calls| !calls.is_empty()).map(|calls| {
                    let calls: Value = calls.into();
                    user(format!("[The program through which the user talks to you says that tools of its own were called.]\n{calls}\n[So far the program.]"))
                });
                [EarlierMessage { role: Role::Assistant, content: text }].into_iter().chain(calls).collect()
            }
            _ if text.trim().is_empty() => Vec::new(),
            Speaker::System | Speaker::Developer => {
                vec![marked("this. It goes beside your instructions, and does not replace them.")]
            }
            Speaker::Tool | Speaker::Function => {
                let id = self.tool_call_id.unwrap_or_default();
                vec![marked(&format!("that a tool of its own answered its call {id:?}."))]
            }
        })
    }

    fn text(&self) -> Result<String, String> {
        let parts = match &self.content {
            None => return Ok(String::new()),
            Some(Content::Text(text)) => return Ok(text.clone()),
            Some(Content::Parts(parts)) => parts,
        };
        let texts: Result<Vec<&str>, String> = parts.iter().map(Part::text).collect();
        Ok(texts?.join("\n"))
    }
}

impl Part {
    fn text(&self) -> Result<&str, String> {
        let text = match &*self.r#type {
            "text" => &self.text,
            "refusal" => &self.refusal,
            other => return Err(format!("an agent reads text, and no part of the type {other:?}")),
        };
        Ok(text.as_deref().unwrap_or_default())
    }
}
