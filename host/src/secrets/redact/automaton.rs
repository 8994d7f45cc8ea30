//! One automaton for all forms of all secrets of a call.

use std::collections::BTreeMap;

use aho_corasick::{
    Anchored, BuildError, MatchError,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};
use zeroize::Zeroizing;

use super::{super::value::Value, forms};

/// Of a form, how many bytes the automaton looks for: who finds these has found the secret, and the
/// rest is compared from there on. Without it, a few long keys would take all memory.
pub const HEAD: usize = 1024;

pub struct Automaton {
    nfa: NFA,
    start: StateID,
    heads: Vec<Head>,
    /// For each secret.
    pub markers: Vec<String>,
}

/// What the automaton looks for.
pub struct Head {
    pub length: usize,
    pub secret: usize,
    /// How the forms go on that begin so.
    pub rests: Vec<Zeroizing<Vec<u8>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Start(#[from] MatchError),
}

impl Automaton {
    pub fn new(secrets: &[(String, Value)]) -> Result<Self, Failure> {
        let mut heads: BTreeMap<Vec<u8>, Head> = BTreeMap::new();
        for (secret, (_, value)) in secrets.iter().enumerate() {
            for mut form in forms::of(value.expose()) {
                let rest = form.split_off(form.len().min(HEAD));
                let length = form.len();
                let head = heads.entry(form).or_insert(Head { length, secret, rests: Vec::new() });
                if !rest.is_empty() {
                    head.rests.push(Zeroizing::new(rest));
                }
            }
        }
        let nfa = NFA::new(heads.keys())?;
        let start = nfa.start_state(Anchored::No)?;
        let markers = secrets.iter().map(|(name, _)| format!("[secret {name}]")).collect();
        Ok(Self { nfa, start, heads: heads.into_values().collect(), markers })
    }

    pub fn start(&self) -> StateID {
        self.start
    }

    pub fn next(&self, state: StateID, byte: u8) -> StateID {
        self.nfa.next_state(Anchored::No, state, byte)
    }

    /// The longest head that ends in this state.
    pub fn found(&self, state: StateID) -> Option<(usize, &Head)> {
        if !self.nfa.is_match(state) {
            return None;
        }
        let number = |index| self.nfa.match_pattern(state, index).as_usize();
        let found = (0..self.nfa.match_len(state)).map(number);
        found.filter_map(|number| Some((number, self.heads.get(number)?))).max_by_key(|(_, head)| head.length)
    }

    /// The most that follows a head.
    pub fn longest_rest(&self) -> usize {
        self.heads.iter().flat_map(|head| &head.rests).map(|rest| rest.len()).max().unwrap_or_default()
    }

    pub fn rest(&self, head: usize, number: usize) -> Option<&[u8]> {
        self.heads.get(head)?.rests.get(number).map(|rest| rest.as_slice())
    }

    /// How many of the last bytes a match may begin with. A state stands for them, so they are as few
    /// as lead to it from the start.
    pub fn depth(&self, state: StateID, seen: &[u8]) -> usize {
        let leads = |count: usize| {
            let tail = seen.len().checked_sub(count).and_then(|from| seen.get(from..)).unwrap_or(seen);
            tail.iter().fold(self.start, |state, byte| self.next(state, *byte)) == state
        };
        let (mut low, mut high) = (0, 1);
        if leads(low) {
            return 0;
        }
        while !leads(high) && high < seen.len() {
            (low, high) = (high, high * 2);
        }
        while low + 1 < high {
            let middle = low.midpoint(high);
            if leads(middle) { high = middle } else { low = middle }
        }
        high.min(seen.len())
    }
}
