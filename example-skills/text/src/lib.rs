//! A skill about texts: counts words, compares two texts, and queries JSON.

mod tools;

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool, arguments};
use serde_json::Value;

struct Text;

impl Skill for Text {
    fn manifest() -> Manifest {
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Counts the words of a text, compares two texts, and queries JSON with JSONPath.",
        )
    }

    fn tools() -> Vec<Tool> {
        tools::list()
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        match tool {
            "word_count" => tools::word_count(arguments(input)?),
            "diff" => tools::diff(arguments(input)?),
            "json_path" => tools::json_path(arguments(input)?),
            _ => Err(Error::unknown_tool(tool)),
        }
    }
}

moxxy_sdk::export_skill!(Text);
