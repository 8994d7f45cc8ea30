//! What a completion cost, from the words of several services.

use moxxy_sdk::provider::Usage;
use serde_json::Value;

pub(crate) fn read(usage: &Value) -> Usage {
    let count = |pointers: &[&str]| pointers.iter().find_map(|pointer| usage.pointer(pointer)?.as_u64()).unwrap_or(0);
    let (input_tokens, said) = (count(&["/prompt_tokens"]), count(&["/completion_tokens"]));
    let cached = count(&["/prompt_tokens_details/cached_tokens", "/prompt_cache_hit_tokens", "/cached_tokens"]);
    let written = count(&["/prompt_tokens_details/cache_write_tokens", "/cache_creation_input_tokens"]);
    let reasoning_tokens = count(&["/completion_tokens_details/reasoning_tokens", "/reasoning_tokens"]);
    // xAI counts what was thought beside what was said, and the total shows it.
    let apart = input_tokens.saturating_add(said).saturating_add(reasoning_tokens);
    let is_apart = reasoning_tokens > said || count(&["/total_tokens"]) == apart;
    let output_tokens = if is_apart { said.saturating_add(reasoning_tokens) } else { said };
    let cached_input_tokens = cached.min(input_tokens);
    let cache_write_tokens = written.min(input_tokens - cached_input_tokens);
    Usage { input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens }
}
