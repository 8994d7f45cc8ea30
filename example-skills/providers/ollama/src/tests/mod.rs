//! The provider against a server that answers what each test says.

mod requests;
mod streams;

use moxxy_sdk::{
    provider::{Chunk, Error, Message, Part, Provider as _, Request, Role},
    testing::Host,
};
use serde_json::Value;

use super::*;

const CHAT: &str = "http://127.0.0.1:11434/api/chat";

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message::new(role, parts)
}

fn request() -> Request {
    Request { messages: vec![message(Role::User, vec![text("Hello")])], ..Request::new("qwen3:8b") }
}

/// The chunks of a completion, and why it failed if it did.
fn completed(host: &mut Host, request: Request) -> (Vec<Chunk>, Option<Error>) {
    host.run(|| match Ollama::complete(request) {
        Err(error) => (Vec::new(), Some(error)),
        Ok(completion) => {
            let (mut chunks, mut failure) = (Vec::new(), None);
            for chunk in completion {
                assert_eq!(failure, None, "nothing comes after an error");
                match chunk {
                    Ok(chunk) => chunks.push(chunk),
                    Err(error) => failure = Some(error),
                }
            }
            (chunks, failure)
        }
    })
}
