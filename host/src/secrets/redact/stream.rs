//! Redaction of bytes that come in pieces.

use std::sync::Arc;

use aho_corasick::automaton::StateID;
use bytes::Bytes;

use super::automaton::Automaton;

/// What stands for something that cannot be cleaned.
pub const WITHHELD: &str = "[redacted]";

/// What is looked for.
#[derive(Clone)]
pub enum Search {
    Nothing,
    For(Arc<Automaton>),
    /// Nothing is passed on.
    Everything,
}

/// What is to be replaced: from `start` to before `end`, of the bytes held back.
struct Span {
    start: usize,
    end: usize,
    secret: usize,
    /// Whether the marker went out already, and more of the secret may follow.
    told: bool,
}

/// A form that is longer than what the automaton finds, and how much of the rest was there yet.
struct Tail {
    head: usize,
    rest: usize,
    position: usize,
}

/// Passes on everything but secrets, at once: only bytes that a secret may begin with are held back.
/// Where forms overlap, all that they cover is replaced, by the marker of the one that begins first.
pub struct Stream {
    search: Search,
    state: StateID,
    held: Vec<u8>,
    spans: Vec<Span>,
    tails: Vec<Tail>,
    /// How many bytes are covered whatever they are: of a text with more beginnings than are followed.
    flood: usize,
}

/// So many forms that may go on are followed at once.
const FOLLOWED: usize = 64;

impl Stream {
    pub(super) fn new(search: Search) -> Self {
        let state = match &search {
            Search::For(automaton) => automaton.start(),
            Search::Nothing | Search::Everything => StateID::ZERO,
        };
        Self { search, state, held: Vec::new(), spans: Vec::new(), tails: Vec::new(), flood: 0 }
    }

    /// Takes a piece, and returns what can be passed on.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let automaton = match &self.search {
            Search::For(automaton) => Arc::clone(automaton),
            Search::Nothing => return chunk,
            Search::Everything => return Bytes::new(),
        };
        self.scan(&automaton, &chunk);
        if self.held.is_empty() && self.spans.is_empty() {
            // Nothing was found, and nothing need be copied.
            let free = chunk.len() - automaton.depth(self.state, &chunk);
            self.held.extend_from_slice(chunk.get(free..).unwrap_or_default());
            return chunk.slice(..free);
        }
        self.held.extend_from_slice(&chunk);
        let free = self.held.len() - automaton.depth(self.state, &self.held);
        self.release(&automaton, free).into()
    }

    /// What was held back to the end.
    pub fn finish(mut self) -> Bytes {
        match self.search.clone() {
            Search::For(automaton) => self.release(&automaton, self.held.len()).into(),
            Search::Nothing => Bytes::new(),
            Search::Everything => WITHHELD.into(),
        }
    }

    /// All of a text, or none if there is nothing to remove.
    pub(super) fn whole(mut self, text: &[u8]) -> Option<Vec<u8>> {
        match self.search.clone() {
            Search::For(automaton) => {
                self.scan(&automaton, text);
                if self.spans.is_empty() {
                    return None;
                }
                self.held = text.to_vec();
                Some(self.release(&automaton, text.len()))
            }
            Search::Nothing => None,
            Search::Everything => Some(WITHHELD.into()),
        }
    }

    /// Finds the spans in a piece that is about to follow what is held.
    fn scan(&mut self, automaton: &Automaton, chunk: &[u8]) {
        let (mut state, before) = (self.state, self.held.len());
        for (index, byte) in chunk.iter().enumerate() {
            if self.goes_on() {
                self.follow(automaton, *byte);
            }
            state = automaton.next(state, *byte);
            if let Some((number, head)) = automaton.found(state) {
                let end = before + index + 1;
                self.add(Span { start: end - head.length, end, secret: head.secret, told: false });
                let tails = (0..head.rests.len()).map(|rest| Tail { head: number, rest, position: 0 });
                self.tails.extend(tails);
                if self.tails.len() > FOLLOWED {
                    self.tails.clear();
                    self.flood = automaton.longest_rest();
                }
            }
        }
        self.state = state;
    }

    /// Whether the last span may grow with the next byte.
    fn goes_on(&self) -> bool {
        self.flood > 0 || !self.tails.is_empty()
    }

    /// Covers one byte more, if a form that was found goes on with it.
    fn follow(&mut self, automaton: &Automaton, byte: u8) {
        self.tails.retain_mut(|tail| {
            let next = automaton.rest(tail.head, tail.rest).and_then(|rest| rest.get(tail.position));
            tail.position += 1;
            next == Some(&byte)
        });
        let flooded = self.flood > 0;
        self.flood = self.flood.saturating_sub(1);
        // The last span is what the tails follow: they are dropped with the first byte that differs.
        if let (true, Some(span)) = (flooded || !self.tails.is_empty(), self.spans.last_mut()) {
            span.end += 1;
        }
    }

    /// Adds a span that ends last, together with those that it overlaps.
    fn add(&mut self, mut span: Span) {
        while let Some(last) = self.spans.pop_if(|last| span.start < last.end) {
            if last.start <= span.start {
                span = Span { end: span.end, ..last };
            } else {
                span.told |= last.told;
            }
        }
        self.spans.push(span);
    }

    /// Lets the first bytes go, with markers for the spans that begin there.
    fn release(&mut self, automaton: &Automaton, free: usize) -> Vec<u8> {
        let (mut out, mut done) = (Vec::with_capacity(free), 0);
        for span in self.spans.iter_mut().filter(|span| span.start < free) {
            out.extend_from_slice(self.held.get(done..span.start).unwrap_or_default());
            if !span.told {
                out.extend_from_slice(automaton.markers.get(span.secret).map_or(&[], |marker| marker.as_bytes()));
            }
            span.told = true;
            done = span.end.min(free);
        }
        out.extend_from_slice(self.held.get(done..free).unwrap_or_default());
        self.held.drain(..free);
        let followed = self.goes_on();
        let last = self.spans.pop_if(|span| followed && span.end == free);
        self.spans.retain(|span| span.end > free);
        self.spans.extend(last);
        for span in &mut self.spans {
            (span.start, span.end) = (span.start.saturating_sub(free), span.end - free);
        }
        out
    }
}
