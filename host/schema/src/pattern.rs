//! Patterns that strangers wrote. A pattern becomes an automaton that is made as it is used: each transition that
//! a text needs first costs steps by the automaton's size, and is known from then on. So a match costs its text
//! times the states at most, and ordinary ones little more than their text.

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

use super::budget::{Budget, Spent};

/// The most patterns of a component that are looked at.
const PATTERNS: usize = 64;
/// How long they may be in all, in bytes: some classes take long to read.
const TEXTS: usize = 16 * 1024;
/// The most room that one takes, in bytes: about twenty times what ordinary ones take.
const PATTERN: usize = 256 * 1024;
/// How deeply groups nest in one.
const NESTING: u32 = 64;
/// The most room for the transitions that a look needs, in bytes. It forgets them and goes on where that is full.
const CACHE: usize = 256 * 1024;
/// How much of an automaton is gone through in a step, in bytes.
const SIZE: usize = 512;
/// How many bytes of a text are matched in a step by transitions that are known.
const BYTES: usize = 16;

/// The patterns of a component's schemas, with those that no answer is known of.
#[derive(Debug, Default)]
pub struct Patterns {
    known: HashMap<String, Option<Arc<Pattern>>>,
    /// In bytes.
    texts: usize,
}

#[derive(Debug)]
pub struct Pattern {
    /// Unique among those of the component.
    number: usize,
    automaton: DFA,
    /// Of one transition that is not known yet, in steps.
    price: usize,
}

/// The transitions that a look has needed so far.
#[derive(Debug, Default)]
pub struct Transitions(HashMap<usize, Cache>);

impl Patterns {
    pub fn get(&mut self, text: &str) -> Option<Arc<Pattern>> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        self.texts = self.texts.saturating_add(text.len());
        if self.texts > TEXTS || self.known.len() >= PATTERNS {
            return None;
        }
        let pattern = Pattern::new(self.known.len(), text).map(Arc::new);
        self.known.insert(text.to_owned(), pattern.clone());
        pattern
    }
}

impl Pattern {
    /// `None` if it is none, too large, or of another meaning than in ECMA-262.
    fn new(number: usize, text: &str) -> Option<Self> {
        let lazy = DFA::config().cache_capacity(CACHE).skip_cache_capacity_check(true).unicode_word_boundary(true);
        let nfa = thompson::Config::new().nfa_size_limit(Some(PATTERN)).which_captures(WhichCaptures::None);
        let nesting = syntax::Config::new().nest_limit(NESTING);
        let automaton = DFA::builder().configure(lazy).thompson(nfa).syntax(nesting).build(&translated(text)?).ok()?;
        let price = 1 + automaton.get_nfa().memory_usage() / SIZE;
        Some(Self { number, automaton, price })
    }

    /// Whether a text matches. `None` where the automaton cannot tell, as within words beside letters that are
    /// not ASCII.
    pub fn matches(&self, text: &str, known: &mut Transitions, budget: &mut Budget) -> Spent<Option<bool>> {
        budget.spend(1 + text.len() / BYTES)?;
        if !known.0.contains_key(&self.number) {
            // Room for all states, and those to begin with.
            budget.spend(2 * self.price)?;
        }
        let cache = known.0.entry(self.number).or_insert_with(|| self.automaton.create_cache());
        let Ok(mut state) = self.automaton.start_state_forward(cache, &Input::new(text)) else { return Ok(None) };
        for byte in text.bytes() {
            if state.is_tagged() {
                return Ok(decided(state));
            }
            let mut next = self.automaton.next_state_untagged(cache, state, byte);
            if next.is_unknown() {
                budget.spend(self.price)?;
                let Ok(made) = self.automaton.next_state(cache, state, byte) else { return Ok(None) };
                next = made;
            }
            state = next;
        }
        if state.is_tagged() {
            return Ok(decided(state));
        }
        // Made once for each state, which was paid for when it was made.
        let end = self.automaton.next_eoi_state(cache, state);
        Ok(end.ok().filter(|end| !end.is_quit()).map(|end| end.is_match()))
    }
}

/// What a state says, whatever follows.
fn decided(state: LazyStateID) -> Option<bool> {
    (!state.is_quit()).then(|| state.is_match())
}

/// A pattern as `regex` reads it. `None` if it has what ECMA-262 reads in another way: ends of words by other
/// names, and sets within sets.
fn translated(pattern: &str) -> Option<String> {
    let (mut chars, mut in_set, mut translated) = (pattern.chars().peekable(), false, String::new());
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' if matches!(next, Some('<' | '>')) => return None,
            // Words are of ASCII letters.
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
