//! A skill that never says who it is.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct LoopInManifest;

impl Skill for LoopInManifest {
    fn manifest() -> Manifest {
        hostile::spin()
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("nothing")]
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(LoopInManifest);
