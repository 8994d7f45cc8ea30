//! A skill with a tool whose parameters are JSON but no schema.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::{Value, json};

struct BadSchema;

impl Skill for BadSchema {
    fn manifest() -> Manifest {
        hostile::manifest("bad-schema")
    }

    fn tools() -> Vec<Tool> {
        vec![Tool::new("odd", "Takes who knows what.", json!("anything"))]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(BadSchema);
