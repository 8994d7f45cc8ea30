//! A skill whose tools have names that no service takes, and one that looks like such a name when it is
//! shortened. Each tells its own name.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::Value;

/// With the skill's name they have 81 and 82 characters, and begin alike.
const LONG: [&str; 2] = [
    "a-tool-with-a-name-that-nobody-ever-wanted-to-have-to-write-one",
    "a-tool-with-a-name-that-nobody-ever-wanted-to-have-to-write-two-",
];

struct LongNames;

impl Skill for LongNames {
    fn manifest() -> Manifest {
        hostile::manifest("a-skill-of-names")
    }

    fn tools() -> Vec<Tool> {
        // What the first one is shortened to: `a-skill-of-names__` and this.
        let twin = "a-tool-with-a-name-that-nobody-ev_a512692397cf";
        [LONG[0], LONG[1], twin, "-"].map(hostile::tool).into()
    }

    fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
        Ok(Output::text(tool))
    }
}

moxxy_sdk::export_skill!(LongNames);
