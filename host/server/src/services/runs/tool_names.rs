//! Mapping of tool names to names that services accept: 1 to 64 of A-Z, a-z, 0-9, _ and -. Other names are replaced by
//! their beginning and part of their hash, and mapped back when the model calls them. The names of a request follow
//! from the tools that it offers, so they are the same after a restart.

use std::collections::HashMap;

use moxxy_runtime::models;
use moxxy_types::digest;

/// Maximum length of a name, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Length of the hash, in hex digits.
const HASH: usize = 12;
/// Number of similar names that are suggested for an unknown tool.
const MAX_SUGGESTIONS: usize = 5;

/// Tool names of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct ToolNameMap {
    /// Replaced names, by the tool's own name.
    wire_names: HashMap<String, String>,
}

impl ToolNameMap {
    pub(super) fn new<'n>(tools: impl Iterator<Item = &'n str> + Clone) -> Self {
        let mut long: Vec<_> = tools.clone().filter(|name| !is_accepted(name)).collect();
        long.sort_unstable();
        let mut names = Self::default();
        for name in long {
            // Another tool may have this name already.
            let is_free = |wire_name: &String| {
                !tools.clone().any(|other| other == wire_name) && names.from_wire(wire_name) == *wire_name
            };
            let wire_name = (0..).map(|attempt| shortened(name, attempt)).find(is_free);
            names.wire_names.extend(wire_name.map(|wire_name| (name.to_owned(), wire_name)));
        }
        names
    }

    /// Returns the name of a tool for services. Histories may still contain a tool that was removed.
    pub(super) fn to_wire(&self, name: &str) -> String {
        match self.wire_names.get(name) {
            Some(wire_name) => wire_name.clone(),
            None if is_accepted(name) => name.to_owned(),
            None => shortened(name, 0),
        }
    }

    /// Returns the tool with a name that a model called.
    #[expect(clippy::wrong_self_convention, reason = "the name comes from the wire, through this map")]
    pub(super) fn from_wire(&self, wire_name: &str) -> String {
        let found = self.wire_names.iter().find(|(_, known)| *known == wire_name);
        found.map_or(wire_name, |(name, _)| name).to_owned()
    }

    /// Replaces the tool names in a request.
    pub(super) fn rename_request(&self, request: &mut models::Request) {
        for tool in &mut request.tools {
            tool.name = self.to_wire(&tool.name);
        }
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let models::Part::ToolCall(call) = part {
                call.name = self.to_wire(&call.name);
            }
        }
    }

    /// Returns the message for a model that called an unknown tool.
    pub(super) fn unknown<'n>(&self, name: &str, tools: impl Iterator<Item = &'n str>) -> String {
        let nearness = |tool: &str| strsim::jaro_winkler(name, tool);
        let mut near: Vec<_> = tools.map(|tool| (nearness(tool), self.to_wire(tool))).collect();
        near.sort_by(|one, other| other.0.total_cmp(&one.0));
        let near: Vec<_> = near.into_iter().take(MAX_SUGGESTIONS).map(|(_, tool)| format!("`{tool}`")).collect();
        match near.is_empty() {
            true => format!("There is no tool named {name:?}."),
            false => format!("There is no tool named {name:?}. Nearest to it are: {}.", near.join(", ")),
        }
    }
}

/// Whether services accept a name unchanged.
fn is_accepted(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_fit)
}

fn is_fit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Returns the beginning of a name and part of its hash, which differs for each `executor`.
fn shortened(name: &str, executor: u32) -> String {
    let mut hash = hex::encode(digest::sha256(name.as_bytes()));
    for _ in 0..executor {
        hash = hex::encode(digest::sha256(hash.as_bytes()));
    }
    hash.truncate(HASH);
    let fitting = name.chars().map(|c| if c.is_ascii() && is_fit(c as u8) { c } else { '_' });
    let beginning: String = fitting.take(MAX_NAME_BYTES - HASH - 1).collect();
    format!("{beginning}_{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_is_shown_leads_back_to_the_tool() {
        let long = |end: &str| format!("{}__{}", "s".repeat(64), "t".repeat(60) + end);
        let (one, other) = (long("one"), long("two"));
        let twin = shortened(&one, 0);
        let tools = ["notes__add", &one, &other, &twin, "ä tool", "", "a.b", "a_b"];
        for order in [tools.to_vec(), tools.iter().rev().copied().collect()] {
            let names = ToolNameMap::new(order.iter().copied());
            let mut shown: Vec<_> = tools.iter().map(|tool| names.to_wire(tool)).collect();
            assert!(shown.iter().all(|name| is_accepted(name)), "{shown:?}");
            assert_eq!(shown.iter().map(|name| names.from_wire(name)).collect::<Vec<_>>(), tools);
            assert_eq!((&*shown[0], &*shown[3], &*shown[7]), ("notes__add", &*twin, "a_b"));
            shown.sort();
            shown.dedup();
            assert_eq!(shown.len(), tools.len());
        }
        // A name that a model invented is also replaced by a valid one.
        assert!(is_accepted(&ToolNameMap::default().to_wire("what ever?")));
    }

    #[test]
    fn the_nearest_names_are_told() {
        let names = ToolNameMap::default();
        let tools = ["text__word_count", "notes__add"];
        let told = names.unknown("text__count_words", tools.into_iter());
        assert_eq!(
            told,
            "There is no tool named \"text__count_words\". Nearest to it are: `text__word_count`, `notes__add`."
        );
        assert_eq!(names.unknown("x", std::iter::empty()), "There is no tool named \"x\".");
    }
}
