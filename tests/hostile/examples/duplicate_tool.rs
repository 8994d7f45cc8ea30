//! A skill with two tools of one name.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct DuplicateTool;

impl Skill for DuplicateTool {
    fn manifest() -> Manifest {
        hostile::manifest("duplicate-tool")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("twin"), hostile::tool("twin")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(DuplicateTool);
