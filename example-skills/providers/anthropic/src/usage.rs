//! What a completion cost so far. The service counts what it read from its cache, what it wrote to it,
//! and the rest of the input apart; each event replaces what it names.

use moxxy_sdk::provider::{Chunk, Usage};
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Counted {
    uncached: u64,
    written: u64,
    read: u64,
    output: u64,
}

impl Counted {
    pub(crate) fn update(&mut self, usage: &Value) -> Chunk {
        let count = |name: &str, known: u64| usage.get(name).and_then(Value::as_u64).unwrap_or(known);
        self.uncached = count("input_tokens", self.uncached);
        self.written = count("cache_creation_input_tokens", self.written);
        self.read = count("cache_read_input_tokens", self.read);
        self.output = count("output_tokens", self.output);
        Chunk::Usage(Usage {
            input_tokens: self.uncached.saturating_add(self.written).saturating_add(self.read),
            cached_input_tokens: self.read,
            cache_write_tokens: self.written,
            output_tokens: self.output,
            // Thoughts are among the output, and nobody says how many.
            reasoning_tokens: 0,
        })
    }
}
