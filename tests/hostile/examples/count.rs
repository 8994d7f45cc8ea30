//! A skill that counts its calls in a variable of its own, which must never get beyond one.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use moxxy_sdk::{
    keyvalue,
    skill::{Error, Manifest, Output, Skill, Tool, arguments},
};
use serde::Deserialize;
use serde_json::{Value, json};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Count;

#[derive(Deserialize)]
struct Text {
    text: String,
}

impl Skill for Count {
    fn manifest() -> Manifest {
        hostile::manifest("count")
    }

    fn tools() -> Vec<Tool> {
        let text = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
        vec![Tool::new("tally", "Count the call, keep a text and repeat it.", text), hostile::tool("kept")]
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        let calls = CALLS.fetch_add(1, Relaxed) + 1;
        if tool == "kept" {
            return Output::json(&keyvalue::keys().map_err(Error::failed)?);
        }
        let Text { text } = arguments(input)?;
        keyvalue::set(&text, b"").map_err(Error::failed)?;
        Output::json(&json!({ "calls": calls, "text": text }))
    }
}

moxxy_sdk::export_skill!(Count);
