//! The provider against services that answer what each test says.

mod errors;
mod listing;
mod requests;
mod streams;

use moxxy_sdk::{
    provider::{Chunk, Error, Message, Part, Provider as _, Request, Role},
    testing::Host,
};
use serde_json::Value;

use super::*;

const CHAT: &str = "https://api.openai.com/v1/chat/completions";

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message::new(role, parts)
}

fn request() -> Request {
    Request { messages: vec![message(Role::User, vec![text("Hello")])], ..Request::new("gpt-5") }
}

/// The chunks of a completion, and why it failed if it did.
fn completed(host: &mut Host, request: Request) -> (Vec<Chunk>, Option<Error>) {
    host.run(|| match OpenAi::complete(request) {
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

/// What was sent last, as JSON.
fn sent(host: &Host) -> Value {
    serde_json::from_slice(host.requests().last().unwrap().sent_body()).unwrap()
}
