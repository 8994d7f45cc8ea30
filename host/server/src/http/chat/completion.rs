//! Answer that is not streamed, and the schemas of answers.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use moxxy_types::{
    ids::{Name, RunId},
    runs::{Run, RunUsage},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{client_tools, created, finish};
use crate::{http::api::reply::Body, services::chat::Answer};

/// An agent's answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletion")]
pub(crate) struct Completion {
    /// The run's id.
    id: RunId,
    /// Always `chat.completion`.
    object: &'static str,
    /// When the run was begun, in seconds since 1970 (UTC).
    created: i64,
    /// The agent.
    model: Name,
    /// One.
    choices: Vec<Choice>,
    usage: Tokens,
}

/// What was answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatChoice")]
struct Choice {
    /// Always 0.
    index: u32,
    message: Message,
    /// Always `null`.
    logprobs: Option<()>,
    /// `stop`, `length` if the model had no room for more, `tool_calls` or `content_filter`.
    finish_reason: &'static str,
}

/// What the agent said.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatAnswer")]
struct Message {
    /// Always `assistant`.
    role: &'static str,
    /// All that the agent said in the run, with an empty line between its messages.
    content: String,
    /// Always `null`.
    refusal: Option<()>,
    /// Calls of the client's own tools, which it carries out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
}

/// What the run used, in tokens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatUsage")]
pub(super) struct Tokens {
    /// What its model calls read.
    prompt_tokens: u64,
    /// What they wrote.
    completion_tokens: u64,
    /// Both.
    total_tokens: u64,
    prompt_tokens_details: Cached,
}

/// Of the tokens that were read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCached")]
struct Cached {
    /// Those that the service had in its cache.
    cached_tokens: u64,
}

/// Answer, whole or streamed.
#[derive(Debug)]
pub(crate) enum Completed {
    Whole(HeaderMap, Completion),
    Stream(HeaderMap, Response),
}

impl Completion {
    pub(crate) fn new(run: &Run, answer: Answer) -> Self {
        let (finish_reason, tool_calls) = (finish(&answer), client_tools::render(&answer.calls));
        let message = Message { role: "assistant", content: answer.content, refusal: None, tool_calls };
        Self {
            id: run.run_id.clone(),
            object: "chat.completion",
            created: created(run),
            model: run.agent_id.clone(),
            choices: vec![Choice { index: 0, message, logprobs: None, finish_reason }],
            usage: answer.usage.into(),
        }
    }
}

impl From<RunUsage> for Tokens {
    fn from(spent: RunUsage) -> Self {
        Self {
            prompt_tokens: spent.input_tokens,
            completion_tokens: spent.output_tokens,
            total_tokens: spent.input_tokens.saturating_add(spent.output_tokens),
            prompt_tokens_details: Cached { cached_tokens: spent.cached_input_tokens },
        }
    }
}

impl IntoResponse for Completed {
    fn into_response(self) -> Response {
        match self {
            Self::Whole(headers, completion) => (headers, Body(completion)).into_response(),
            Self::Stream(headers, stream) => (headers, stream).into_response(),
        }
    }
}
