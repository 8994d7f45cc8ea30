//! Tools of a client, which carries them out itself.

use moxxy_types::{
    components::{Hints, Tool},
    error::{Error, Result},
    messages::ToolCall,
};
use serde_json::{Map, Value, json};

/// Maximum number of tools, and the maximum size of them all, in bytes.
const MAX_TOOLS: usize = 128;
const MAX_BYTES: usize = 256 * 1024;
/// Maximum length of a tool's name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Returns the tools of a request, and a sentence for the model if the client wants it to call one. A definition stands in
/// `function`, or beside `type`.
pub(in crate::http) fn parse(
    tools: Option<Vec<Map<String, Value>>>,
    choice: Option<&Value>,
) -> Result<(Vec<Tool>, Option<String>)> {
    let tools = tools.unwrap_or_default();
    let size: usize = tools.iter().map(|tool| json!(tool).to_string().len()).sum();
    if tools.len() > MAX_TOOLS || size > MAX_BYTES {
        let reason = format!("there are at most {MAX_TOOLS} tools, of at most {MAX_BYTES} bytes together");
        return Err(Error::invalid_field("tools", reason));
    }
    let tools: Vec<_> = tools.iter().enumerate().map(|(index, tool)| definition(index, tool)).collect::<Result<_>>()?;
    let choice = choice.unwrap_or(&Value::Null);
    let is_wanted = |tool: &&Tool| {
        let name = choice.pointer("/function/name").or_else(|| choice.get("name"));
        choice == "required" || name.is_some_and(|name| *name == tool.name)
    };
    let names: Vec<_> = tools.iter().filter(is_wanted).map(|tool| format!("`{}`", tool.name)).collect();
    if choice == "none" {
        return Ok((Vec::new(), None));
    }
    if choice == "auto" || choice.is_null() {
        return Ok((tools, None));
    }
    if names.is_empty() {
        let reason = "it is `auto`, `none`, `required` or the name of one of the `tools`";
        return Err(Error::invalid_field("tool_choice", reason));
    }
    let note = format!(
        "[The program through which the user talks to you wants you to call one of its tools now: {}.]",
        names.join(", ")
    );
    Ok((tools, Some(note)))
}

fn definition(index: usize, tool: &Map<String, Value>) -> Result<Tool> {
    let invalid = |field: &str, reason: &str| Error::invalid_field(&format!("tools[{index}].{field}"), reason);
    if tool.get("type").is_some_and(|kind| kind != "function") {
        return Err(invalid("type", "a client has tools of the type `function` alone; the agent's own are skills"));
    }
    let function = tool.get("function").and_then(Value::as_object).unwrap_or(tool);
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_fit) {
        return Err(invalid("name", "it has 1 to 64 of A-Z, a-z, 0-9, _ and -"));
    }
    let parameters = match function.get("parameters") {
        None | Some(Value::Null) => json!({ "type": "object", "properties": {} }),
        Some(schema) if schema.is_object() => schema.clone(),
        Some(_) => return Err(invalid("parameters", "it is a JSON Schema")),
    };
    let description = function.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let hints = Hints { read_only: true, idempotent: true, requires_approval: false };
    Ok(Tool { name: name.to_owned(), description, parameters, hints })
}

/// Returns calls as chat completions show them.
pub(super) fn render(calls: &[ToolCall]) -> Vec<Value> {
    let render = |call: &ToolCall| {
        let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
        json!({ "id": call.id, "type": "function", "function": function })
    };
    calls.iter().map(render).collect()
}
