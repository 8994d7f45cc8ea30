//! A skill that asks for half the world.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct BadHost;

impl Skill for BadHost {
    fn manifest() -> Manifest {
        hostile::manifest("bad-host").host("*.com", &[], "To go anywhere.")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("nothing")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(BadHost);
