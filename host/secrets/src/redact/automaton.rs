//! Automaton that finds all forms of all secrets of a call.

use std::collections::BTreeMap;

use aho_corasick::{
    Anchored, BuildError, MatchError,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};

use super::{super::value::Value, forms, stream::is_line_end};

/// Maximum length of a pattern, in bytes. A longer form is found by its first bytes; otherwise a few long keys
/// would exhaust the memory.
pub const MAX_PATTERN_BYTES: usize = 1024;

pub(super) struct Automaton {
    nfa: NFA,
    start: StateID,
    patterns: Vec<Pattern>,
    /// Replacement of each secret.
    pub markers: Vec<String>,
    /// Whether a value has a line break.
    pub has_line_breaks: bool,
}

/// A form, or the first bytes of forms that are longer.
pub(super) struct Pattern {
    pub length: usize,
    /// Bytes to replace from the pattern's first byte: the length of its longest form, whatever follows in
    /// the text.
    pub replaced_bytes: usize,
    pub secret: usize,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Start(#[from] MatchError),
}

impl Automaton {
    pub(super) fn new(secrets: &[(String, Value)]) -> Result<Self, Failure> {
        let mut patterns: BTreeMap<Vec<u8>, Pattern> = BTreeMap::new();
        for (secret, (_, value)) in secrets.iter().enumerate() {
            for mut form in forms::encoded_forms(value.expose()) {
                let replaced_bytes = form.len();
                form.truncate(MAX_PATTERN_BYTES);
                let length = form.len();
                let pattern = patterns.entry(form).or_insert(Pattern { length, replaced_bytes, secret });
                pattern.replaced_bytes = pattern.replaced_bytes.max(replaced_bytes);
            }
        }
        let nfa = NFA::new(patterns.keys())?;
        let start = nfa.start_state(Anchored::No)?;
        let markers = secrets.iter().map(|(name, _)| format!("[secret {name}]")).collect();
        let has_line_breaks = secrets.iter().any(|(_, value)| value.expose().iter().any(is_line_end));
        Ok(Self { nfa, start, patterns: patterns.into_values().collect(), markers, has_line_breaks })
    }

    pub(super) fn start(&self) -> StateID {
        self.start
    }

    pub(super) fn next(&self, state: StateID, byte: u8) -> StateID {
        self.nfa.next_state(Anchored::No, state, byte)
    }

    /// Returns the longest pattern that ends in this state.
    pub(super) fn longest_match(&self, state: StateID) -> Option<&Pattern> {
        if !self.nfa.is_match(state) {
            return None;
        }
        let pattern = |index| self.patterns.get(self.nfa.match_pattern(state, index).as_usize());
        (0..self.nfa.match_len(state)).filter_map(pattern).max_by_key(|pattern| pattern.length)
    }

    /// Returns how many of the last bytes a match may begin with. It is the smallest number of bytes that lead to
    /// this state from the start.
    pub(super) fn depth(&self, state: StateID, seen: &[u8]) -> usize {
        let leads_to_state = |count: usize| {
            let tail = seen.len().checked_sub(count).and_then(|from| seen.get(from..)).unwrap_or(seen);
            tail.iter().fold(self.start, |state, byte| self.next(state, *byte)) == state
        };
        let (mut low, mut high) = (0, 1);
        if leads_to_state(low) {
            return 0;
        }
        while !leads_to_state(high) && high < seen.len() {
            (low, high) = (high, high * 2);
        }
        while low + 1 < high {
            let middle = low.midpoint(high);
            if leads_to_state(middle) { high = middle } else { low = middle }
        }
        high.min(seen.len())
    }
}
