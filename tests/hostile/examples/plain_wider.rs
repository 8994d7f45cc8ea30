//! The same skill in its second version, which asks for a host and a secret, and takes its time.

use std::time::Duration;

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

struct Plain;

impl Skill for Plain {
    fn manifest() -> Manifest {
        let host = "api.example.com";
        Manifest::new("plain", "2.0.0", "Tells its version.").host(host, &["GET", "POST"], "To tell it there.").secret(
            "key",
            &[host],
            "header:Authorization",
            "To be let in there.",
        )
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("version"), hostile::tool("slowly")]
    }

    fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
        if tool == "slowly" {
            std::thread::sleep(Duration::from_millis(1500));
        }
        Ok(Output::text("2"))
    }
}

moxxy_sdk::export_skill!(Plain);
