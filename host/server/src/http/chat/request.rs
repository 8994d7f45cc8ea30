//! Chat completion requests.

use moxxy_types::{
    error::{Error, Result},
    ids::Name,
    runs::RunOptions,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    http::chat::{
        agent, client_tools,
        conversation::{Message, conversation},
        stream::StreamFormat,
    },
    services::chat::Conversation,
};

/// Maximum number of stop words, and their maximum length in bytes.
const STOP_WORDS: usize = 16;
const STOP_WORD_BYTES: usize = 256;

/// A conversation that an agent is to go on with. What is not named here is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatRequest")]
pub(crate) struct Request {
    /// The agent's name.
    model: String,
    /// The conversation, oldest first: 1 to 4096 messages. The last one becomes the run's task.
    messages: Vec<Message>,
    /// Whether the answer is to come in pieces, as server-sent events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// How many answers; at most 1.
    n: Option<f64>,
    /// Tools that the client carries out itself, if the agent's tool policy allows them (`client_tools`). The answer ends
    /// with the calls of them.
    tools: Option<Vec<Map<String, Value>>>,
    /// None: they are replaced by `tools`.
    functions: Option<Vec<Map<String, Value>>>,
    /// `auto`, `none`, `required` or one of the `tools`. The model reads it as a wish of the client.
    tool_choice: Option<Value>,
    /// `auto` or `none`, which change nothing.
    function_call: Option<Value>,
    /// `{"type": "text"}`; `{"type": "json_object"}` for an answer that is a JSON object; or `{"type": "json_schema",
    /// "json_schema": {"schema": …}}` for one that fits the schema. The answer is then the JSON text alone, and comes as
    /// a whole.
    response_format: Option<Value>,
    /// Words at which the answer ends, without them.
    stop: Option<StopWords>,
    /// `false`: nothing is known of them.
    logprobs: Option<bool>,
    /// `text` alone.
    modalities: Option<Vec<String>>,
    /// None: an agent does not speak.
    audio: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is a text, or a list of texts")]
enum StopWords {
    One(String),
    Several(Vec<String>),
}

/// What a stream is to tell.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatStreamOptions")]
struct StreamOptions {
    /// Whether its last piece tells what the run used.
    include_usage: Option<bool>,
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
        let (tools, note) = client_tools::parse(self.tools, self.tool_choice.as_ref())?;
        let output_schema = self.response_format.map(|format| output_schema("response_format", format)).transpose()?;
        let stop = stop_words(self.stop)?;
        let options =
            RunOptions { stop, client_tools: tools, output_schema: output_schema.flatten(), ..RunOptions::default() };
        let agent = agent(&self.model)?;
        let usage = self.stream_options.and_then(|options| options.include_usage) == Some(true);
        let format = (self.stream == Some(true)).then_some(StreamFormat { usage });
        Ok(ParsedRequest {
            agent,
            conversation: conversation("messages", self.messages, options)?.with_note(note),
            format,
        })
    }

    /// Rejects unsupported parameters that would change the answer. Clients send many whose value requests nothing, and
    /// those are accepted.
    fn refuse(&self) -> Result<()> {
        let is = |value: &Option<Value>, known: &[&str]| {
            value.as_ref().is_none_or(|value| value.as_str().is_some_and(|value| known.contains(&value)))
        };
        let own_tools = "it is replaced by `tools`";
        let choices = ["auto", "none"];
        let checks = [
            ("functions", self.functions.as_ref().is_none_or(Vec::is_empty), own_tools),
            ("function_call", is(&self.function_call, &choices), own_tools),
            ("n", self.n.is_none_or(|n| (n - 1.0).abs() < f64::EPSILON), "an agent gives one answer"),
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

/// Returns the schema that an answer has to fit, if it is to be JSON. A schema stands in `json_schema`, or beside `type`.
pub(in crate::http) fn output_schema(field: &str, mut format: Value) -> Result<Option<Value>> {
    let any_object = || json!({ "type": "object" });
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(any_object())),
        Some("json_schema") => {
            let definition = if format.get("json_schema").is_some() { "/json_schema/schema" } else { "/schema" };
            let given = format.pointer_mut(definition).map(Value::take);
            Ok(Some(given.filter(|schema| !schema.is_null()).unwrap_or_else(any_object)))
        }
        _ => Err(Error::invalid_field(field, "its `type` is `text`, `json_object` or `json_schema`")),
    }
}

fn stop_words(given: Option<StopWords>) -> Result<Vec<String>> {
    let words = match given {
        None => Vec::new(),
        Some(StopWords::One(word)) => vec![word],
        Some(StopWords::Several(words)) => words,
    };
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.len() > STOP_WORDS || words.iter().any(|word| word.len() > STOP_WORD_BYTES) {
        let reason = format!("there are at most {STOP_WORDS} stop words, of at most {STOP_WORD_BYTES} bytes each");
        return Err(Error::invalid_field("stop", reason));
    }
    Ok(words)
}
