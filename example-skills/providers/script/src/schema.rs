//! The configuration's JSON Schema.

use serde_json::{Value, json};

/// Describes `steps`, `repeat`, `per_task` and `model`.
pub(crate) fn config() -> Value {
    json!({
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "description": "What the model answers, one step for each of its messages.",
                "items": step(),
            },
            "repeat": {
                "type": "boolean",
                "description": "Start over when the steps are used up.",
                "default": false,
            },
            "per_task": {
                "type": "boolean",
                "description": "Begin with the first step for each user message.",
                "default": false,
            },
            "model": {
                "type": "object",
                "description": "What is known of the model.",
                "properties": {
                    "context_window": { "type": "integer", "minimum": 1 },
                    "max_output_tokens": { "type": "integer", "minimum": 1 },
                    "price": { "type": "object" },
                },
            },
        },
        "required": ["steps"],
        "additionalProperties": false,
    })
}

/// The provider itself says what is wrong with a step, and only when it is played: a test may
/// want a broken one.
fn step() -> Value {
    json!({
        "type": "object",
        "properties": {
            "text": { "type": "string" },
            "record": { "type": "boolean" },
            "tool_calls": { "type": "array" },
            "error": { "type": "object" },
            "error_after": { "type": "integer", "minimum": 0 },
            "most_bytes": { "type": "integer", "minimum": 0 },
            "no_usage": { "type": "boolean" },
            "delay_ms": { "type": "integer", "minimum": 0 },
            "token_delay_ms": { "type": "integer", "minimum": 0 },
            "stream": { "type": "boolean" },
            "usage": { "type": "object" },
            "stop": { "type": "string" },
            "trap": { "type": "boolean" },
            "spin": { "type": "boolean" },
            "no_stop": { "type": "boolean" },
        },
    })
}
