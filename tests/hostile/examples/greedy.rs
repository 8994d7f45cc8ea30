//! A skill that asks for all the memory and time in the world, and uses it.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct Greedy;

impl Skill for Greedy {
    fn manifest() -> Manifest {
        hostile::manifest("greedy").memory(1 << 40).cpu_time(u64::MAX).wall_time(u64::MAX)
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("bomb"), hostile::tool("spin")]
    }

    fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
        if tool == "bomb" { hostile::bomb() } else { hostile::spin() }
    }
}

moxxy_sdk::export_skill!(Greedy);
