//! A skill that calls a function which no host has.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

mod bindings {
    #![allow(unsafe_code, clippy::all, reason = "generated code; what it needs changes with the generator")]
    wit_bindgen::generate!({
        inline: "
            package evil:thing@1.0.0;
            interface door {
                open: func(key: string) -> string;
            }
            world visitor {
                import door;
            }
        ",
    });
}

use bindings::evil::thing::door;

struct UnknownImport;

impl Skill for UnknownImport {
    fn manifest() -> Manifest {
        hostile::manifest("unknown-import")
    }

    fn tools() -> Vec<Tool> {
        vec![hostile::tool("nothing")]
    }

    fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
        // The call keeps the import: an unused one would not be in the component.
        Ok(Output::text(door::open(tool)))
    }
}

moxxy_sdk::export_skill!(UnknownImport);
