//! Patterns of untrusted schemas, matched by lazy DFAs. The first use of a transition costs steps in proportion
//! to the size of the automaton; then it is cached. A match therefore costs at most the length of the text times
//! the number of states, and usually little more than the length of the text.

use std::{collections::HashMap, sync::Arc};

use regex_automata::{
    Input,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson::{self, WhichCaptures},
    util::syntax,
};

use super::budget::{Budget, BudgetResult};

/// Maximum number of patterns of a component that are compiled.
const MAX_PATTERNS: usize = 64;
/// Maximum total length of a component's patterns, in bytes: some classes take long to parse.
const MAX_PATTERNS_BYTES: usize = 16 * 1024;
/// Maximum size of the NFA of a pattern, in bytes: about twenty times that of ordinary patterns.
const MAX_NFA_BYTES: usize = 256 * 1024;
/// Maximum nesting depth of groups in a pattern.
const MAX_NESTING: u32 = 64;
/// Capacity of the transition cache of a pattern in an evaluation, in bytes. When it is full, it is cleared and
/// the evaluation continues.
const CACHE_BYTES: usize = 256 * 1024;
/// Number of bytes of an automaton that are traversed in one step.
const NFA_BYTES_PER_STEP: usize = 512;
/// Number of bytes of a text that are matched in one step by cached transitions.
const TEXT_BYTES_PER_STEP: usize = 16;

/// Patterns of a component's schemas; `None` for those that cannot be matched.
#[derive(Debug, Default)]
pub struct Patterns {
    compiled: HashMap<String, Option<Arc<Pattern>>>,
    /// Total length of the patterns, in bytes.
    total_bytes: usize,
}

#[derive(Debug)]
pub struct Pattern {
    /// Unique among the patterns of the component.
    id: usize,
    automaton: DFA,
    /// Cost of computing a transition, in steps.
    transition_cost: usize,
}

/// Transitions that an evaluation has computed so far.
#[derive(Debug, Default)]
pub struct Transitions(HashMap<usize, Cache>);

impl Patterns {
    pub fn get(&mut self, text: &str) -> Option<Arc<Pattern>> {
        if let Some(compiled) = self.compiled.get(text) {
            return compiled.clone();
        }
        self.total_bytes = self.total_bytes.saturating_add(text.len());
        if self.total_bytes > MAX_PATTERNS_BYTES || self.compiled.len() >= MAX_PATTERNS {
            return None;
        }
        let pattern = Pattern::new(self.compiled.len(), text).map(Arc::new);
        self.compiled.insert(text.to_owned(), pattern.clone());
        pattern
    }
}

impl Pattern {
    /// Returns `None` if the text is no pattern, is too large, or has another meaning in ECMA-262.
    fn new(id: usize, text: &str) -> Option<Self> {
        let lazy =
            DFA::config().cache_capacity(CACHE_BYTES).skip_cache_capacity_check(true).unicode_word_boundary(true);
        let nfa = thompson::Config::new().nfa_size_limit(Some(MAX_NFA_BYTES)).which_captures(WhichCaptures::None);
        let nesting = syntax::Config::new().nest_limit(MAX_NESTING);
        let automaton = DFA::builder().configure(lazy).thompson(nfa).syntax(nesting).build(&translate(text)?).ok()?;
        let transition_cost = 1 + automaton.get_nfa().memory_usage() / NFA_BYTES_PER_STEP;
        Some(Self { id, automaton, transition_cost })
    }

    /// Returns whether a text matches. `None` if the automaton cannot decide, for example at word boundaries next
    /// to non-ASCII letters.
    pub fn matches(
        &self,
        text: &str,
        transitions: &mut Transitions,
        budget: &mut Budget,
    ) -> BudgetResult<Option<bool>> {
        budget.spend(1 + text.len() / TEXT_BYTES_PER_STEP)?;
        if !transitions.0.contains_key(&self.id) {
            // Memory for all states, and the start states.
            budget.spend(2 * self.transition_cost)?;
        }
        let cache = transitions.0.entry(self.id).or_insert_with(|| self.automaton.create_cache());
        let Ok(mut state) = self.automaton.start_state_forward(cache, &Input::new(text)) else { return Ok(None) };
        for byte in text.bytes() {
            if state.is_tagged() {
                return Ok(match_result(state));
            }
            let mut next = self.automaton.next_state_untagged(cache, state, byte);
            if next.is_unknown() {
                budget.spend(self.transition_cost)?;
                let Ok(computed) = self.automaton.next_state(cache, state, byte) else { return Ok(None) };
                next = computed;
            }
            state = next;
        }
        if state.is_tagged() {
            return Ok(match_result(state));
        }
        // Computed once for each state, and paid for when the state was computed.
        let end = self.automaton.next_eoi_state(cache, state);
        Ok(end.ok().filter(|end| !end.is_quit()).map(|end| end.is_match()))
    }
}

/// Returns the result in a state that decides it, whatever text follows. `None` if the automaton gave up.
fn match_result(state: LazyStateID) -> Option<bool> {
    (!state.is_quit()).then(|| state.is_match())
}

/// Translates a pattern to the syntax of `regex`. Returns `None` if ECMA-262 reads a part of it differently: `\<`
/// and `\>` as word boundaries, nested sets, and set operations.
fn translate(pattern: &str) -> Option<String> {
    let (mut chars, mut in_set, mut translated) = (pattern.chars().peekable(), false, String::new());
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' if matches!(next, Some('<' | '>')) => return None,
            // Words consist of ASCII letters in ECMA-262.
            '\\' if next == Some('b') && !in_set => {
                chars.next();
                translated.push_str(r"(?-u:\b)");
                continue;
            }
            '[' if in_set || next == Some(']') => return None,
            '[' => in_set = true,
            ']' => in_set = false,
            '&' | '-' | '~' if in_set && next == Some(c) => return None,
            _ => {}
        }
        translated.push(c);
        if c == '\\' {
            translated.extend(chars.next());
        }
    }
    Some(translated)
}
