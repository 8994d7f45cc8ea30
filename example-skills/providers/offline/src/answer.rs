//! A whole answer, and the stream of chunks that it becomes.

use moxxy_sdk::provider::{Chunk, Part, Request, StopReason, ToolCall, ToolCallDelta, ToolDefinition, Usage};

/// What a model says.
#[derive(Debug)]
pub(crate) enum Answer {
    Text(String),
    Call(ToolCall),
}

impl Answer {
    /// The chunks that say it. A text comes word by word and ends at the request's limit.
    pub(crate) fn chunks(self, request: &Request) -> Vec<Chunk> {
        let input = input_tokens(request);
        match self {
            Self::Text(text) => text_chunks(&text, request.max_output_tokens, input),
            Self::Call(call) => {
                let output = tokens(&call.name) + tokens(&call.arguments);
                let delta = ToolCallDelta {
                    index: 0,
                    id: Some(call.id),
                    name: Some(call.name),
                    arguments: call.arguments,
                    opaque: None,
                };
                vec![Chunk::ToolCall(delta), Chunk::Usage(usage(input, output)), Chunk::Stop(StopReason::ToolUse)]
            }
        }
    }
}

fn text_chunks(text: &str, limit: Option<u32>, input: u64) -> Vec<Chunk> {
    let limit = limit.map_or(u64::MAX, u64::from);
    let mut output = 0;
    let mut stop = StopReason::EndTurn;
    let mut chunks = Vec::new();
    for piece in text.split_inclusive(char::is_whitespace) {
        if output + tokens(piece) > limit {
            stop = StopReason::MaxTokens;
            break;
        }
        output += tokens(piece);
        chunks.push(Chunk::Text(piece.to_owned()));
    }
    chunks.push(Chunk::Usage(usage(input, output)));
    chunks.push(Chunk::Stop(stop));
    chunks
}

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, cached_input_tokens: 0, cache_write_tokens: 0, output_tokens, reasoning_tokens: 0 }
}

/// A token is what stands between spaces.
fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn input_tokens(request: &Request) -> u64 {
    let system = request.system.as_deref().map_or(0, tokens);
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    system + parts.map(part_tokens).sum::<u64>() + request.tools.iter().map(tool_tokens).sum::<u64>()
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => tokens(text),
        Part::Image(_) => 1,
        Part::Other(_) => 0,
        Part::Thinking(thinking) => thinking.text.as_deref().map_or(0, tokens),
        Part::ToolCall(call) => tokens(&call.name) + tokens(&call.arguments),
        Part::ToolResult(result) => tokens(&result.content),
    }
}

fn tool_tokens(tool: &ToolDefinition) -> u64 {
    tokens(&tool.name) + tokens(&tool.description) + tokens(&tool.parameters)
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::provider::{Message, Role};

    use super::*;

    fn request(max_output_tokens: Option<u32>) -> Request {
        Request {
            system: Some("Be brief.".to_owned()),
            messages: vec![Message::new(Role::User, vec![Part::Text("one two  three".to_owned())])],
            max_output_tokens,
            ..Request::new("echo")
        }
    }

    #[test]
    fn a_text_comes_word_by_word_and_whole() {
        let chunks = Answer::Text("one two  three".to_owned()).chunks(&request(None));
        let mut said = String::new();
        for chunk in &chunks {
            if let Chunk::Text(text) = chunk {
                said.push_str(text);
            }
        }
        assert_eq!(said, "one two  three");
        assert!(chunks.contains(&Chunk::Usage(usage(5, 3))), "{chunks:?}");
        assert_eq!(chunks.last(), Some(&Chunk::Stop(StopReason::EndTurn)));
    }

    #[test]
    fn the_limit_ends_a_text() {
        let chunks = Answer::Text("one two three".to_owned()).chunks(&request(Some(2)));
        assert!(chunks.contains(&Chunk::Usage(usage(5, 2))), "{chunks:?}");
        assert_eq!(chunks.last(), Some(&Chunk::Stop(StopReason::MaxTokens)));
    }
}
