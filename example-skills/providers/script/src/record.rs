//! A request as JSON, so that a test sees what the model was shown.

use moxxy_sdk::provider::{Message, Part, Request, Role};
use serde_json::{Map, Value, json};

/// Writes a request down. What a message does not have is left out.
pub(crate) fn record(request: &Request) -> String {
    let tools: Vec<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
    let messages: Vec<Value> = request.messages.iter().map(message).collect();
    json!({
        "model": request.model,
        "system": request.system,
        "messages": messages,
        "tools": tools,
        "temperature": request.options.temperature,
        "options": options(request),
        "response_schema": request.response_schema,
        "adaptations": request.adaptations,
        "max_output_tokens": request.max_output_tokens,
        "idempotency_key": request.idempotency_key,
    })
    .to_string()
}

fn message(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".to_owned(), role(message.role).into());
    for part in &message.parts {
        match part {
            Part::Text(text) => add(&mut fields, "texts", json!(text)),
            Part::Image(image) => add(&mut fields, "images", json!(image.media_type)),
            Part::Thinking(thinking) => add(&mut fields, "thinking", json!(thinking.text)),
            Part::Other(part) => add(&mut fields, "others", json!([part.kind, lossy(&part.data)])),
            Part::ToolCall(call) => {
                let mut shown = json!({ "id": call.id, "name": call.name, "arguments": call.arguments });
                if let (false, Some(shown)) = (call.opaque.is_empty(), shown.as_object_mut()) {
                    shown.insert("opaque".to_owned(), lossy(&call.opaque));
                }
                add(&mut fields, "tool_calls", shown);
            }
            Part::ToolResult(result) => {
                let result = json!({
                    "call_id": result.call_id,
                    "content": result.content,
                    "is_error": result.is_error,
                });
                add(&mut fields, "tool_results", result);
            }
        }
    }
    if !message.opaque.is_empty() {
        fields.insert("opaque".to_owned(), lossy(&message.opaque));
    }
    if fields.remove("texts").is_some() {
        fields.insert("text".to_owned(), message.text().into());
    }
    Value::Object(fields)
}

/// The options that are set, without the temperature.
fn options(request: &Request) -> Value {
    let options = &request.options;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if let Some(top_p) = options.top_p {
        set("top_p", json!(top_p));
    }
    if !options.stop.is_empty() {
        set("stop", json!(options.stop));
    }
    if let Some(effort) = &options.reasoning_effort {
        set("reasoning_effort", json!(effort));
    }
    if let Some(thinking) = options.thinking {
        set("thinking", json!(thinking));
    }
    if let Some(extra) = &options.extra {
        set("extra", json!(extra));
    }
    Value::Object(fields)
}

fn lossy(data: &[u8]) -> Value {
    String::from_utf8_lossy(data).into()
}

fn add(fields: &mut Map<String, Value>, name: &str, value: Value) {
    let list = fields.entry(name).or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.push(value);
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::provider::{ToolCall, ToolResult};

    use super::*;

    #[test]
    fn a_conversation_is_written_down() {
        let call = ToolCall::new("1", "t", "{}");
        let result = ToolResult { call_id: "1".to_owned(), content: "done".to_owned(), is_error: false };
        let said = [
            (Role::User, Part::Text("do it".to_owned())),
            (Role::Assistant, Part::ToolCall(call)),
            (Role::Tool, Part::ToolResult(result)),
        ];
        let request = Request {
            system: Some("Be brief.".to_owned()),
            messages: said.map(|(role, part)| Message::new(role, vec![part])).into(),
            ..Request::new("script")
        };
        let recorded: Value = serde_json::from_str(&record(&request)).unwrap();
        assert_eq!(recorded["system"], "Be brief.");
        assert_eq!(
            recorded["messages"],
            json!([
                { "role": "user", "text": "do it" },
                { "role": "assistant", "tool_calls": [{ "id": "1", "name": "t", "arguments": "{}" }] },
                {
                    "role": "tool",
                    "tool_results": [{ "call_id": "1", "content": "done", "is_error": false }],
                },
            ])
        );
    }
}
