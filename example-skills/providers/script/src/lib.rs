//! A provider that plays back a script, for testing hosts and agents.
//!
//! Its configuration lists the steps. Which one is played is the number of assistant messages
//! that the conversation already has, or with `per_task` those behind its last user message, so a
//! script follows the conversation without a memory. `step` says what a step can do, and `about`
//! what is known of the model.

mod about;
mod playback;
mod record;
mod schema;
mod step;

use moxxy_sdk::config;
use moxxy_sdk::provider::{Error, Manifest, Message, Model, Provider, Request, Role};
use serde_json::Value;

use about::About;
use playback::Playback;
use step::Step;

const MODEL: &str = "script";

struct Script;

impl Provider for Script {
    type Completion = Playback;

    fn manifest() -> Manifest {
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Plays back the steps that its configuration lists. For tests.",
        )
        .config_schema(schema::config())
    }

    fn models() -> Result<Vec<Model>, Error> {
        let about: About = config::parse("model").map_err(invalid)?.unwrap_or_default();
        Ok(vec![about.model(MODEL)])
    }

    fn complete(request: Request) -> Result<Playback, Error> {
        if request.model != MODEL {
            return Err(Error::unknown_model(&request.model));
        }
        let steps: Vec<Value> =
            config::parse("steps").map_err(invalid)?.ok_or_else(|| invalid("the configuration has no `steps`"))?;
        let repeat = config::parse("repeat").map_err(invalid)?.unwrap_or(false);
        let per_task = config::parse("per_task").map_err(invalid)?.unwrap_or(false);
        let step = choose(&steps, repeat, if per_task { of_task(&request.messages) } else { &request.messages })?;
        Playback::start(step, &request)
    }
}

/// The messages behind the last user message.
fn of_task(messages: &[Message]) -> &[Message] {
    let asked = messages.iter().rposition(|message| message.role == Role::User);
    asked.and_then(|asked| messages.get(asked..)).unwrap_or(messages)
}

/// Reads the step whose turn it is. The others may be wrong without doing harm.
fn choose(steps: &[Value], repeat: bool, messages: &[Message]) -> Result<Step, Error> {
    let played = messages.iter().filter(|message| message.role == Role::Assistant).count();
    let index = match steps.len() {
        length if repeat && length > 0 => played % length,
        _ => played,
    };
    let number = index + 1;
    let step = steps.get(index).ok_or_else(|| {
        invalid(format!("no step is left: step {number} is asked for, and the script has {}", steps.len()))
    })?;
    serde_json::from_value(step.clone()).map_err(|error| invalid(format!("step {number}: {error}")))
}

fn invalid(message: impl ToString) -> Error {
    Error::InvalidRequest(message.to_string())
}

moxxy_sdk::export_provider!(Script);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(roles: &[Role]) -> Vec<Message> {
        roles.iter().map(|&role| Message::new(role, Vec::new())).collect()
    }

    fn chosen(steps: Value, repeat: bool, roles: &[Role]) -> Result<Option<String>, Error> {
        let steps: Vec<Value> = serde_json::from_value(steps).unwrap();
        choose(&steps, repeat, &messages(roles)).map(|step| step.text)
    }

    #[test]
    fn assistant_messages_count_the_steps() {
        let steps = json!([{ "text": "a" }, { "text": "b" }]);
        let later = [Role::User, Role::Assistant, Role::Tool];
        assert_eq!(chosen(steps.clone(), false, &[Role::User]), Ok(Some("a".to_owned())));
        assert_eq!(chosen(steps, false, &later), Ok(Some("b".to_owned())));
    }

    #[test]
    fn a_task_begins_with_the_last_user_message() {
        let roles = [Role::User, Role::Assistant, Role::User, Role::Assistant, Role::Tool];
        assert_eq!(of_task(&messages(&roles)).len(), 3);
        assert_eq!(of_task(&messages(&[Role::Tool])).len(), 1);
    }

    #[test]
    fn a_script_ends_or_starts_over() {
        let steps = json!([{ "text": "a" }]);
        let later = [Role::User, Role::Assistant, Role::User];
        let Err(Error::InvalidRequest(message)) = chosen(steps.clone(), false, &later) else {
            panic!("there was a step left");
        };
        assert!(message.contains("step 2"), "{message}");
        assert_eq!(chosen(steps, true, &later), Ok(Some("a".to_owned())));
        assert!(chosen(json!([]), true, &later).is_err());
    }

    #[test]
    fn an_unknown_key_is_named_where_it_is_played() {
        let steps = json!([{ "text": "a" }, { "txet": "b" }]);
        assert!(chosen(steps.clone(), false, &[Role::User]).is_ok());
        let Err(Error::InvalidRequest(message)) = chosen(steps, false, &[Role::Assistant]) else {
            panic!("the key was accepted");
        };
        assert!(message.contains("step 2") && message.contains("`txet`"), "{message}");
    }
}
