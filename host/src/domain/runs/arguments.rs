//! What is wrong with the arguments of a call, for the model that wrote them: the call is not made.

use serde_json::Value;

use crate::{app::App, domain::skills::Skill, json, schema};

/// Nothing if they are as the tool says that it takes them.
pub async fn wrong(app: &App, skill: &Skill, tool: &str, arguments: &Value) -> Option<String> {
    if let Value::String(text) = arguments {
        return Some(format!("The arguments are not a JSON object{}.", why(text)));
    }
    let wrong = app.plugins.mismatches(&skill.component.digest, tool, arguments).await;
    (!wrong.is_empty()).then(|| format!("The call was not made, as its arguments are wrong: {}.", schema::told(&wrong)))
}

/// Why a text was not taken for an object.
fn why(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => format!(": they nest more than {} levels deep", json::DEPTH),
        Ok(_) => String::new(),
        Err(error) => format!(": {error}"),
    }
}
