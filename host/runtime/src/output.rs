//! Validates the results of components and maps their errors to codes.

use moxxy_secrets::Redactor;
use moxxy_system::json;
use moxxy_types::ids::Name;
use serde_json::Value;

use std::borrow::Cow;

use super::{
    Failure, Learned,
    bindings::{models::exports::moxxy::plugin::models, tools::exports::moxxy::plugin::tools},
};

/// Maximum length of an adaptation's name, in bytes.
const MAX_ADAPTATION_BYTES: usize = 64;

/// A tool's result.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Text(String),
    /// The value, and its text as the tool wrote it.
    Json(Value, String),
}

impl Output {
    /// Returns the output with secrets redacted.
    pub fn redacted(self, redactor: &Redactor) -> Self {
        match self {
            Self::Text(mut text) => {
                redactor.replace(&mut text);
                Self::Text(text)
            }
            Self::Json(mut value, text) => {
                let before = value.clone();
                redactor.json(&mut value);
                // The text may contain more than the parsed value, such as duplicate fields or extra digits.
                let clean = value == before && matches!(redactor.text(&text), Cow::Borrowed(_));
                let text = if clean { text } else { value.to_string() };
                Self::Json(value, text)
            }
        }
    }

    /// Returns the text for the model.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Json(_, text) => text,
        }
    }

    /// Returns the value for programs. Text becomes a JSON string.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Json(value, _) => value.clone(),
        }
    }
}

/// Validates a tool's result. `question` is the call's last unanswered question to the user.
pub(super) fn validate(
    skill: &Name,
    result: Result<tools::Output, tools::Error>,
    question: Option<String>,
) -> Result<Output, Failure> {
    let contract_violation = |how: String| Failure::Trapped { message: format!("`{skill}` broke its contract: {how}") };
    match result {
        Ok(output) if output.media_type == "application/json" => match serde_json::from_str(&output.content) {
            Ok(value) if json::is_shallow(&value) => Ok(Output::Json(value, output.content)),
            Ok(_) => Err(contract_violation(format!("its result nests more than {} levels deep", json::MAX_DEPTH))),
            Err(error) => Err(contract_violation(format!("its result is not the JSON that it says it is: {error}"))),
        },
        Ok(output) if output.media_type == "text/plain" => Ok(Output::Text(output.content)),
        Ok(output) => {
            Err(contract_violation(format!("a result is text/plain or application/json, not {:?}", output.media_type)))
        }
        Err(tools::Error::Invalid(message)) => Err(Failure::component_error("invalid_arguments", message)),
        Err(tools::Error::Failed(message) | tools::Error::Other(message)) => {
            Err(Failure::component_error("tool_failed", message))
        }
        Err(tools::Error::Pending) => Err(match question {
            Some(question) => Failure::Pending { question },
            None => contract_violation("it waits for an answer to a question that it did not ask".into()),
        }),
    }
}

/// Returns the model with secrets redacted from its names.
pub(super) fn redact_model(mut model: models::Model, redactor: &Redactor) -> models::Model {
    redactor.replace(&mut model.id);
    if let Some(name) = &mut model.display_name {
        redactor.replace(name);
    }
    model
}

pub(super) fn provider_error(error: models::Error) -> Failure {
    use models::Error as E;
    let component_error = Failure::component_error;
    match error {
        E::Authentication(message) => component_error("provider_authentication", message),
        E::RateLimited(retry) => retryable_error("provider_rate_limited", retry),
        E::Overloaded(retry) => retryable_error("provider_overloaded", retry),
        E::Loading(retry) => retryable_error("provider_loading", retry),
        E::ContextTooLong(exceeded) => {
            learned("context_too_long", exceeded.message, exceeded.limit.map(Learned::ContextWindow))
        }
        E::OutputTooLong(exceeded) => {
            learned("output_too_long", exceeded.message, exceeded.limit.map(Learned::OutputLimit))
        }
        E::Unsupported(unsupported) => {
            let name = Some(unsupported.adaptation).filter(|name| is_adaptation(name));
            learned("provider_rejected_request", unsupported.message, name.map(Learned::Adaptation))
        }
        E::Refused(message) => component_error("content_refused", message),
        E::InvalidRequest(message) => component_error("provider_rejected_request", message),
        E::Transport(message) => component_error("provider_unreachable", message),
        E::Other(message) => component_error("provider_failed", message),
    }
}

fn retryable_error(code: &'static str, retry: models::Retry) -> Failure {
    Failure::ComponentError { code, message: retry.message, retry_after: retry.retry_after, learned: None }
}

fn learned(code: &'static str, message: String, learned: Option<Learned>) -> Failure {
    Failure::ComponentError { code, message, retry_after: None, learned }
}

fn is_adaptation(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ADAPTATION_BYTES).contains(&name.len()) && name.bytes().all(is_part)
}
