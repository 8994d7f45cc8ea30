//! Structured output: the final answer of a run with an `output_schema` is JSON that fits it. The model is told about
//! the schema, the provider passes it to services that hold answers to it, and the host validates every answer. After
//! the first wrong one the model is told what is wrong, after the second the run fails.

use moxxy_runtime::{Plugins, models};
use moxxy_schema::describe_mismatches;
use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    error::{Error, Result},
    events::{Event, EventContext},
    messages::{Message, Role},
    runs::{Failure, Run, Status},
};
use serde_json::Value;

use crate::services::{
    completion::answer::Answer,
    runs::executor::{self, RunExecutor},
};

/// Maximum length of a schema, in bytes.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Maximum length of an output whose value is in the event of its run, in bytes.
const MAX_EVENT_BYTES: usize = 64 * 1024;
/// Code of the failure of a run whose answers do not fit.
const OUTPUT_INVALID: &str = "output_invalid";
const MARKDOWN_FENCE: &str = "```";

/// Consequence of an answer without tool calls.
#[derive(Debug, Clone)]
pub(super) enum Conclusion {
    Completed {
        output: String,
        /// The value that the output is, of a run with a schema.
        output_json: Option<Value>,
    },
    /// The message tells the model what is wrong.
    Repair(Box<Message>),
    Failed(Failure),
}

/// Validates the schema that a client sent as `field`. Its depth is limited by that of every body.
pub(in crate::services) async fn check_schema(plugins: &Plugins, field: &str, schema: &Value) -> Result<()> {
    let bytes = schema.to_string().len();
    if bytes > MAX_SCHEMA_BYTES {
        let reason = format!("it has {bytes} bytes; the limit is {MAX_SCHEMA_BYTES}");
        return Err(Error::invalid_field(field, reason));
    }
    plugins.check_schema(schema.clone()).await?.map_err(|reason| Error::invalid_field(field, reason))
}

/// Returns the instruction for an answer that fits a schema.
pub(super) fn instruction(schema: &Value) -> String {
    format!(
        "[A program reads your final answer. Make it one JSON value that fits this JSON Schema, without any other text and \
         without Markdown: {schema}]"
    )
}

/// Adds an instruction to the last message of the user. It comes from the run's client, like the task, so it does not
/// stand beside the persona.
pub(super) fn instruct(messages: &mut [models::Message], instruction: String) {
    if let Some(last) = messages.iter_mut().rfind(|message| message.role == models::Role::User) {
        last.parts.push(models::Part::Text(instruction));
    }
}

/// Returns the schema for the provider. Services take schemas of objects only.
pub(super) fn response_schema(schema: Option<&Value>) -> Option<String> {
    schema.filter(|schema| schema["type"] == "object").map(Value::to_string)
}

/// Decides what follows an answer. Returns `None` if it has tool calls.
pub(super) async fn conclude(executor: &RunExecutor<'_>, answer: &Answer) -> Result<Option<Conclusion>> {
    if answer.has_calls() {
        return Ok(None);
    }
    let Some(schema) = &executor.run.options.output_schema else {
        return Ok(Some(Conclusion::Completed { output: answer.text.clone(), output_json: None }));
    };
    let plugins = &executor.runs.components.plugins;
    let problem = match plugins.parse_json(schema.clone(), without_fence(&answer.text).to_owned()).await? {
        Ok(value) => return Ok(Some(completed(answer, value))),
        Err(mismatches) => describe_mismatches(&mismatches),
    };
    // The names of fields come from the answer.
    let problem = answer.redactor.text(&problem);
    let cut = if answer.is_cut() { " (it was cut off at the limit of output tokens)" } else { "" };
    let mut db = executor.runs.store.read().await?;
    let is_repaired = store::messages::any_behind_task(&mut db, &executor.run.run_id).await?;
    Ok(Some(if is_repaired {
        let message = format!("The model's answer does not fit `output_schema`, for the second time{cut}: {problem}");
        Conclusion::Failed(Failure { code: OUTPUT_INVALID.to_owned(), message })
    } else {
        let text = format!(
            "[Your answer does not fit the JSON Schema{cut}: {problem}. Answer again, with nothing but JSON that fits.]"
        );
        let now = executor.runs.store.clock().timestamp();
        Conclusion::Repair(Box::new(Message::new(&executor.run, Role::User, text, now)))
    }))
}

/// Returns the conclusion from a valid answer, without secrets that escapes in its text have hidden so far.
fn completed(answer: &Answer, value: Value) -> Conclusion {
    let mut redacted = value.clone();
    answer.redactor.json(&mut redacted);
    let output = if redacted == value { without_fence(&answer.text).to_owned() } else { redacted.to_string() };
    Conclusion::Completed { output, output_json: Some(redacted) }
}

/// Returns a text without the white space and the Markdown code fence around it.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let fenced = text.strip_prefix(MARKDOWN_FENCE).and_then(|text| text.strip_suffix(MARKDOWN_FENCE));
    // Behind the first fence stands the name of the language.
    fenced.and_then(|text| text.split_once('\n')).map_or(text, |(_, inner)| inner.trim())
}

impl Conclusion {
    /// Returns the message for the model, if the run goes on.
    pub(super) fn repair(&self) -> Option<&Message> {
        match self {
            Self::Repair(message) => Some(message),
            _ => None,
        }
    }

    /// Ends the run, or adds the message for the model. Returns whether the run has ended.
    pub(super) async fn write(self, tx: &mut Tx, run: &Run, output_truncated: bool) -> Result<bool> {
        let subject = EventContext::run(&run.agent_id, &run.run_id);
        match self {
            Self::Completed { output, output_json } => {
                if output_truncated {
                    store::runs::set_output_truncated(tx, &run.run_id).await?;
                }
                let is_ended = store::runs::end(tx, &run.run_id, Status::Completed, Some(&output), None).await?;
                if is_ended {
                    let output_json = output_json.filter(|_| output.len() <= MAX_EVENT_BYTES);
                    let completed = Event::RunCompleted { output, output_truncated, output_json };
                    events::record(tx, &subject, completed).await?;
                }
                Ok(is_ended)
            }
            Self::Repair(message) => {
                executor::record_user_message(tx, &subject, &message).await?;
                Ok(false)
            }
            Self::Failed(failure) => {
                executor::fail(tx, run, failure, None).await?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fence_around_an_answer_is_removed() {
        for (text, expected) in [
            (" {} \n", "{}"),
            ("```json\n{\"a\": 1}\n```", "{\"a\": 1}"),
            ("\n```\n[1]\n```  ", "[1]"),
            ("```json\n{}", "```json\n{}"),
            ("Here: ```json\n{}\n```", "Here: ```json\n{}\n```"),
            ("``````", "``````"),
            ("\"```\"", "\"```\""),
        ] {
            assert_eq!(without_fence(text), expected);
        }
    }

    #[test]
    fn schemas_of_objects_go_to_the_provider() {
        let schema = serde_json::json!({ "type": "object" });
        assert_eq!(response_schema(Some(&schema)).as_deref(), Some("{\"type\":\"object\"}"));
        assert_eq!(response_schema(Some(&serde_json::json!({ "type": "array" }))), None);
        assert_eq!(response_schema(Some(&serde_json::json!(true))), None);
    }
}
