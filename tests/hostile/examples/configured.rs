//! A skill that is configured: it fetches what its configuration says, from the host that it says.

use moxxy_sdk::{
    config, http,
    skill::{Error, Manifest, Output, Skill, Tool},
};
use serde_json::{Value, json};

struct Configured;

impl Skill for Configured {
    fn manifest() -> Manifest {
        let units = json!({ "enum": ["metric", "imperial"], "default": "metric" });
        let properties = json!({ "base_url": { "type": "string" }, "units": units });
        hostile::manifest("configured")
            .host("config:base_url", &["GET"], "To look things up.")
            .config_schema(json!({ "type": "object", "properties": properties, "additionalProperties": false }))
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("units"), hostile::tool("look")]
    }

    fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
        if tool == "units" {
            return Ok(Output::text(config::get("units").unwrap_or_else(|| "metric".to_owned())));
        }
        let base = config::get("base_url").unwrap_or_default();
        let answer = http::get(format!("{base}/look")).send()?;
        Ok(Output::text(answer.text()?))
    }
}

moxxy_sdk::export_skill!(Configured);
