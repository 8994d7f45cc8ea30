//! A skill whose schema takes as long as possible to hold arguments against.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct Slow;

impl Skill for Slow {
    fn manifest() -> Manifest {
        hostile::manifest("slow")
    }

    fn tools() -> Vec<Tool> {
        vec![Tool::new("take", "Takes anything, slowly.", hostile::slow_schema())]
    }

    fn call(_: &str, _: Value) -> Result<Output, Error> {
        hostile::nothing()
    }
}

moxxy_sdk::export_skill!(Slow);
