//! A provider without a network: two deterministic models to try agents and tools with.
//!
//! `echo` repeats the last user message, word by word. `planner` chooses a tool by the words that
//! the task shares with it, fills the arguments by their schema, and reports the result in a
//! sentence; `planner`, `task` and `arguments` state its rules.

mod answer;
mod arguments;
mod planner;
mod report;
mod task;
mod words;

use moxxy_sdk::provider::{Chunk, Error, Manifest, Model, Provider, Request, Role};

use answer::Answer;

struct Offline;

impl Provider for Offline {
    type Completion = std::vec::IntoIter<Result<Chunk, Error>>;

    fn manifest() -> Manifest {
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Two models that need no network: `echo` repeats, `planner` chooses tools by rules.",
        )
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(vec![model("echo", "Echo (offline)"), model("planner", "Planner (offline)")])
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let answer = match request.model.as_str() {
            "echo" => echo(&request)?,
            "planner" => planner::answer(&request)?,
            unknown => return Err(Error::unknown_model(unknown)),
        };
        let chunks: Vec<_> = answer.chunks(&request).into_iter().map(Ok).collect();
        Ok(chunks.into_iter())
    }
}

fn model(id: &str, display_name: &str) -> Model {
    Model { display_name: Some(display_name.to_owned()), ..Model::new(id) }
}

fn echo(request: &Request) -> Result<Answer, Error> {
    request
        .messages
        .iter()
        .rfind(|message| message.role == Role::User)
        .map(|message| Answer::Text(message.text()))
        .ok_or_else(|| Error::InvalidRequest("the conversation has no user message".to_owned()))
}

moxxy_sdk::export_provider!(Offline);
