//! A skill that breaks when it is asked who it is.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct TrapInManifest;

impl Skill for TrapInManifest {
    #[expect(clippy::panic, reason = "the trap is the point")]
    fn manifest() -> Manifest {
        panic!("no manifest today")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("nothing")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(TrapInManifest);
