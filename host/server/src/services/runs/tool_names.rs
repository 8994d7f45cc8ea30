//! Tools' names as services take them: 1 to 64 of A-Z, a-z, 0-9, _ and -. One that is none of these is
//! shown as its beginning and a piece of its hash; what the model calls is the tool again. The names of
//! a request follow from the tools that it offers, so they are the same after a restart.

use std::collections::HashMap;

use moxxy_runtime::models;
use moxxy_types::digest;

const LONGEST: usize = 64;
/// Digits of the hash.
const HASH: usize = 12;
/// How many names are told to a model that called what there is not.
const NEAR: usize = 5;

/// The names of one request.
#[derive(Debug, Clone, Default)]
pub struct ToolNameMap {
    /// By the tool's own name, those that are shown otherwise.
    shown: HashMap<String, String>,
}

impl ToolNameMap {
    pub fn of<'n>(tools: impl Iterator<Item = &'n str> + Clone) -> Self {
        let mut long: Vec<_> = tools.clone().filter(|name| !is_taken(name)).collect();
        long.sort_unstable();
        let mut names = Self::default();
        for name in long {
            // Another tool may be called what this one would be.
            let is_free =
                |shown: &String| !tools.clone().any(|other| other == shown) && names.from_wire(shown) == *shown;
            let shown = (0..).map(|turn| shortened(name, turn)).find(is_free);
            names.shown.extend(shown.map(|shown| (name.to_owned(), shown)));
        }
        names
    }

    /// What a service is shown. A tool that is gone still stands in histories.
    pub fn to_wire(&self, name: &str) -> String {
        match self.shown.get(name) {
            Some(shown) => shown.clone(),
            None if is_taken(name) => name.to_owned(),
            None => shortened(name, 0),
        }
    }

    /// The tool that a model means.
    #[expect(clippy::wrong_self_convention, reason = "the name comes from the wire, through this map")]
    pub fn from_wire(&self, shown: &str) -> String {
        let found = self.shown.iter().find(|(_, known)| *known == shown);
        found.map_or(shown, |(name, _)| name).to_owned()
    }

    /// Shows a request by these names.
    pub fn show(&self, request: &mut models::Request) {
        for tool in &mut request.tools {
            tool.name = self.to_wire(&tool.name);
        }
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let models::Part::ToolCall(call) = part {
                call.name = self.to_wire(&call.name);
            }
        }
    }

    /// What a model is told that called a tool which there is not.
    pub fn unknown<'n>(&self, name: &str, tools: impl Iterator<Item = &'n str>) -> String {
        let nearness = |tool: &str| strsim::jaro_winkler(name, tool);
        let mut near: Vec<_> = tools.map(|tool| (nearness(tool), self.to_wire(tool))).collect();
        near.sort_by(|one, other| other.0.total_cmp(&one.0));
        let near: Vec<_> = near.into_iter().take(NEAR).map(|(_, tool)| format!("`{tool}`")).collect();
        match near.is_empty() {
            true => format!("There is no tool named {name:?}."),
            false => format!("There is no tool named {name:?}. Nearest to it are: {}.", near.join(", ")),
        }
    }
}

/// Whether services take a name as it is.
fn is_taken(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_fit)
}

fn is_fit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The name's beginning and a piece of its hash, which is another each turn.
fn shortened(name: &str, turn: u32) -> String {
    let mut hash = hex::encode(digest::sha256(name.as_bytes()));
    for _ in 0..turn {
        hash = hex::encode(digest::sha256(hash.as_bytes()));
    }
    hash.truncate(HASH);
    let fitting = name.chars().map(|c| if c.is_ascii() && is_fit(c as u8) { c } else { '_' });
    let beginning: String = fitting.take(LONGEST - HASH - 1).collect();
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
            let names = ToolNameMap::of(order.iter().copied());
            let mut shown: Vec<_> = tools.iter().map(|tool| names.to_wire(tool)).collect();
            assert!(shown.iter().all(|name| is_taken(name)), "{shown:?}");
            assert_eq!(shown.iter().map(|name| names.from_wire(name)).collect::<Vec<_>>(), tools);
            assert_eq!((&*shown[0], &*shown[3], &*shown[7]), ("notes__add", &*twin, "a_b"));
            shown.sort();
            shown.dedup();
            assert_eq!(shown.len(), tools.len());
        }
        // One that a model made up is shown so that the service takes it.
        assert!(is_taken(&ToolNameMap::default().to_wire("what ever?")));
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
