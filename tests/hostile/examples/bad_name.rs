//! A skill whose name would be a way out of a directory.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct BadName;

impl Skill for BadName {
    fn manifest() -> Manifest {
        hostile::manifest("../evil")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("nothing")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(BadName);
