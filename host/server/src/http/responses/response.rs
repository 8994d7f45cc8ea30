//! Responses as clients read them.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use moxxy_types::{
    clock,
    ids::Name,
    messages::ToolCall,
    runs::{Run, RunUsage, Status},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::response_id;
use crate::{
    http::api::{answer::ApiError, reply::Body},
    services::chat::Answer,
};

/// An agent's response.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ModelResponse {
    /// The response's id, `resp_…`. With `run_` in the place of `resp_` it is the id of its run.
    pub(super) id: String,
    /// Always `response`.
    object: &'static str,
    /// When the run was queued, in seconds since 1970 (UTC).
    created_at: i64,
    /// `queued`, `in_progress`, `completed`, `incomplete`, `failed` or `cancelled`.
    status: &'static str,
    /// Why it failed; otherwise `null`.
    error: Option<Failure>,
    /// Why the answer is cut off; otherwise `null`.
    incomplete_details: Option<Incomplete>,
    /// What the client wanted beside the agent's persona. Only the request that creates the response shows it.
    instructions: Option<String>,
    /// The agent.
    model: Name,
    /// One message with all that the agent said in the run, and the calls of the client's own tools; empty before the end.
    output: Vec<Output>,
    /// The response that it follows.
    previous_response_id: Option<String>,
    /// What the run used, once it has ended.
    usage: Option<Tokens>,
    /// Always `true`.
    store: bool,
    /// Always `true`.
    parallel_tool_calls: bool,
    /// Always `auto`: an agent has its own tools.
    tool_choice: &'static str,
    /// Always empty.
    tools: Vec<Value>,
    /// The form of the answer.
    text: Value,
    /// Always empty.
    metadata: Map<String, Value>,
    /// Always `null`: the agent has its own.
    temperature: Option<f64>,
    /// The same.
    top_p: Option<f64>,
}

/// Why a response failed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseFailure")]
struct Failure {
    /// For a program.
    code: String,
    /// For a person.
    message: String,
}

/// Why an answer is cut off.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseIncomplete")]
struct Incomplete {
    /// `max_output_tokens` or `content_filter`.
    reason: &'static str,
}

/// A message, or a call of a tool that the client carries out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ResponseOutput")]
pub(super) enum Output {
    Message(Item),
    Call(Call),
}

/// A call of a tool that the client carries out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseCall")]
pub(super) struct Call {
    /// The item's id, `fc_…`.
    pub(super) id: String,
    /// Always `function_call`.
    r#type: &'static str,
    /// Always `completed`.
    status: &'static str,
    /// Id by which the client says what came of it.
    call_id: String,
    /// The tool.
    pub(super) name: String,
    /// Its arguments, as JSON text.
    pub(super) arguments: String,
}

/// What an agent said.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseMessage")]
pub(super) struct Item {
    /// The message's id, `msg_…`.
    id: String,
    /// Always `message`.
    r#type: &'static str,
    /// `in_progress`, `completed` or `incomplete`.
    status: &'static str,
    /// Always `assistant`.
    role: &'static str,
    /// One part with the text.
    content: Vec<Part>,
}

/// The text of a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseText")]
pub(super) struct Part {
    /// Always `output_text`.
    r#type: &'static str,
    /// All that the agent said in the run, with an empty line between its messages.
    text: String,
    /// Always empty.
    annotations: Vec<Value>,
    /// Always empty.
    logprobs: Vec<Value>,
}

/// What the run used, in tokens.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseUsage")]
struct Tokens {
    /// What its model calls read.
    input_tokens: u64,
    input_tokens_details: Read,
    /// What they wrote.
    output_tokens: u64,
    output_tokens_details: Written,
    /// Both.
    total_tokens: u64,
}

/// Of the tokens that were read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseTokensRead")]
struct Read {
    /// Those that the service had in its cache.
    cached_tokens: u64,
    /// Always 0: they are among the others.
    cache_write_tokens: u64,
}

/// Of the tokens that were written.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ResponseTokensWritten")]
struct Written {
    /// Always 0: they are among the others.
    reasoning_tokens: u64,
}

/// A response that was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeletedResponse {
    /// The response's id.
    id: String,
    /// Always `response`.
    object: &'static str,
    /// Always `true`.
    deleted: bool,
}

/// A new response, whole or streamed.
#[derive(Debug)]
pub(crate) enum Created {
    Whole(HeaderMap, Box<ModelResponse>),
    Stream(HeaderMap, Response),
}

impl ModelResponse {
    /// Returns the response of a run that has not ended.
    pub(super) fn new(run: &Run) -> Self {
        Self {
            id: response_id(&run.run_id),
            object: "response",
            created_at: clock::parse(&run.created_at).map_or(0, |created| created.unix_timestamp()),
            status: status(run.status),
            error: None,
            incomplete_details: None,
            instructions: None,
            model: run.agent_id.clone(),
            output: Vec::new(),
            previous_response_id: run.options.previous.as_ref().map(response_id),
            usage: None,
            store: true,
            parallel_tool_calls: true,
            tool_choice: "auto",
            tools: Vec::new(),
            text: json!({ "format": format(run.options.output_schema.as_ref()) }),
            metadata: Map::new(),
            temperature: None,
            top_p: None,
        }
    }

    pub(super) fn with_instructions(self, instructions: Option<String>) -> Self {
        Self { instructions, ..self }
    }

    pub(super) fn completed(mut self, answer: Answer) -> Self {
        let reason = match &*answer.stop_reason {
            "max_tokens" => Some("max_output_tokens"),
            "refusal" => Some("content_filter"),
            _ => None,
        };
        self.status = if reason.is_some() { "incomplete" } else { "completed" };
        self.incomplete_details = reason.map(|reason| Incomplete { reason });
        let message = Item::new(&self.id, self.status, vec![Part::new(answer.content)]);
        self.output = vec![Output::Message(message)];
        self.output.extend(Call::list(&self.id, &answer.calls).map(Output::Call));
        self.usage = Some(answer.usage.into());
        self
    }

    pub(super) fn is_complete(&self) -> bool {
        self.incomplete_details.is_none()
    }

    pub(super) fn failed(mut self, error: &ApiError) -> Self {
        let problem = error.problem();
        if self.status != "cancelled" {
            self.status = "failed";
        }
        self.error = Some(Failure { code: problem.code.clone().into_owned(), message: problem.message.clone() });
        self
    }
}

impl Item {
    pub(super) fn id(response: &str) -> String {
        response.replacen(super::PREFIX, "msg_", 1)
    }

    pub(super) fn new(response: &str, status: &'static str, content: Vec<Part>) -> Self {
        Self { id: Self::id(response), r#type: "message", status, role: "assistant", content }
    }
}

impl Call {
    /// Returns the calls of a response.
    pub(super) fn list(response: &str, calls: &[ToolCall]) -> impl Iterator<Item = Self> {
        let prefix = response.replacen(super::PREFIX, "fc_", 1);
        calls.iter().enumerate().map(move |(index, call)| Self {
            id: format!("{prefix}_{index}"),
            r#type: "function_call",
            status: "completed",
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.to_string(),
        })
    }
}

impl Part {
    pub(super) fn new(text: String) -> Self {
        Self { r#type: "output_text", text, annotations: Vec::new(), logprobs: Vec::new() }
    }
}

impl From<RunUsage> for Tokens {
    fn from(used: RunUsage) -> Self {
        Self {
            input_tokens: used.input_tokens,
            input_tokens_details: Read { cached_tokens: used.cached_input_tokens, cache_write_tokens: 0 },
            output_tokens: used.output_tokens,
            output_tokens_details: Written { reasoning_tokens: 0 },
            total_tokens: used.input_tokens.saturating_add(used.output_tokens),
        }
    }
}

impl DeletedResponse {
    pub(super) fn new(id: String) -> Self {
        Self { id, object: "response", deleted: true }
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        match self {
            Self::Whole(headers, response) => (headers, Body(*response)).into_response(),
            Self::Stream(headers, stream) => (headers, stream).into_response(),
        }
    }
}

/// Returns the form of an answer.
fn format(schema: Option<&Value>) -> Value {
    match schema {
        None => json!({ "type": "text" }),
        Some(schema) => json!({ "type": "json_schema", "name": "output", "schema": schema, "strict": true }),
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running | Status::Waiting => "in_progress",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}
