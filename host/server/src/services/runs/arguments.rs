//! Validation of tool call arguments. The model gets the errors, and the call is not made.

use moxxy_schema as schema;
use moxxy_system::json;
use moxxy_types::{error::Result, messages::ToolCall};
use serde_json::Value;

use crate::services::{runs::Runs, tools::Tool};

/// Returns what is wrong with the arguments, or `None` if they match the tool's schema.
pub(super) async fn wrong(runs: &Runs, tool: &Tool<'_>, call: &mut ToolCall) -> Result<Option<String>> {
    if let Value::String(text) = &call.arguments {
        return Ok(Some(format!("The arguments are not a JSON object{}.", why(text))));
    }
    let arguments = std::mem::take(&mut call.arguments);
    let (arguments, wrong) = tool.check_arguments(&runs.components.plugins, arguments).await?;
    call.arguments = arguments;
    let why = || format!("The call was not made, as its arguments are wrong: {}.", schema::describe_mismatches(&wrong));
    Ok((!wrong.is_empty()).then(why))
}

/// Returns the reason why a text was not accepted as an object.
fn why(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => format!(": they nest more than {} levels deep", json::MAX_DEPTH),
        Ok(_) => String::new(),
        Err(error) if error.is_eof() => {
            format!(": {error}. The answer was probably cut off at its limit of output tokens: make shorter calls")
        }
        Err(error) => format!(": {error}"),
    }
}
