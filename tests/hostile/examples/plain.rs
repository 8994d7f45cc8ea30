//! A skill in its first version, which asks for nothing.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct Plain;

impl Skill for Plain {
    fn manifest() -> Manifest {
        Manifest::new("plain", "1.0.0", "Tells its version.")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("version")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        Ok(Output::text("1"))
    }
}

moxxy_sdk::export_skill!(Plain);
