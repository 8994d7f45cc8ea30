//! A skill that never says what it can do.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct LoopInListTools;

impl Skill for LoopInListTools {
    fn manifest() -> Manifest {
        hostile::manifest("loop-in-list-tools")
    }

    fn tools() -> Vec<Tool> {
        hostile::spin()
    }

    fn call(_tool: &str, _arguments: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(LoopInListTools);
