//! Redaction of a stream of bytes.

use std::sync::Arc;

use aho_corasick::automaton::StateID;
use bytes::Bytes;

use super::automaton::{Automaton, MAX_PATTERN_BYTES};

/// Replacement for data that cannot be redacted.
pub(super) const WITHHELD: &str = "[redacted]";

/// When a stream releases bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// As soon as no secret can begin with them. The sizes of the chunks reveal whether a text is the beginning
    /// of a secret, so no component may see them.
    Early,
    /// [`MAX_PATTERN_BYTES`] − 1 bytes later, or at the end.
    Late,
    /// At each line end, and as with `Late` inside a long line. Each line is searched separately. If a value has
    /// a line break, this behaves like `Late`.
    Lines,
}

/// Target of a search.
#[derive(Clone)]
pub(super) enum Search {
    NoSecrets,
    Secrets(Arc<Automaton>),
    /// Everything is withheld.
    WithholdAll,
}

/// Range of bytes to replace, relative to the first held byte. The end may lie after the last one.
struct Span {
    start: usize,
    end: usize,
    secret: usize,
    /// Whether the marker was already released.
    marked: bool,
}

/// Releases everything but secrets. With [`Release::Late`] and [`Release::Lines`], the released chunks depend on
/// a secret only where all of it was replaced. Overlapping forms are replaced with one marker: that of the form
/// that begins first.
pub struct Stream {
    search: Search,
    release: Release,
    state: StateID,
    held: Vec<u8>,
    spans: Vec<Span>,
}

impl Stream {
    pub(super) fn new(search: Search, release: Release) -> Self {
        let (state, has_line_breaks) = match &search {
            Search::Secrets(automaton) => (automaton.start(), automaton.has_line_breaks),
            Search::NoSecrets | Search::WithholdAll => (StateID::ZERO, false),
        };
        let release = if release == Release::Lines && has_line_breaks { Release::Late } else { release };
        Self { search, release, state, held: Vec::new(), spans: Vec::new() }
    }

    /// Takes a chunk and returns the bytes that can be released.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let automaton = match &self.search {
            Search::Secrets(automaton) => Arc::clone(automaton),
            Search::NoSecrets => return chunk,
            Search::WithholdAll => return Bytes::new(),
        };
        match self.release {
            Release::Lines => self.scan_lines(&automaton, &chunk),
            Release::Early | Release::Late => self.scan(&automaton, &chunk, self.held.len()),
        }
        if self.held.is_empty() && self.spans.is_empty() {
            // Nothing was found, so no copy is needed.
            let releasable = self.releasable(&automaton, &chunk);
            self.held.extend_from_slice(chunk.get(releasable..).unwrap_or_default());
            return chunk.slice(..releasable);
        }
        self.held.extend_from_slice(&chunk);
        let releasable = self.releasable(&automaton, &self.held);
        self.release(&automaton, releasable).into()
    }

    /// Returns the bytes that were held until the end.
    pub fn finish(mut self) -> Bytes {
        match self.search.clone() {
            Search::Secrets(automaton) => self.release(&automaton, self.held.len()).into(),
            Search::NoSecrets => Bytes::new(),
            Search::WithholdAll => WITHHELD.into(),
        }
    }

    /// Returns the redacted text, or `None` if there is nothing to redact.
    pub(super) fn redact_all(mut self, text: &[u8]) -> Option<Vec<u8>> {
        match self.search.clone() {
            Search::Secrets(automaton) => {
                self.scan(&automaton, text, 0);
                if self.spans.is_empty() {
                    return None;
                }
                self.held = text.to_vec();
                Some(self.release(&automaton, text.len()))
            }
            Search::NoSecrets => None,
            Search::WithholdAll => Some(WITHHELD.into()),
        }
    }

    /// Returns the number of leading bytes that can be released.
    fn releasable(&self, automaton: &Automaton, text: &[u8]) -> usize {
        let late_releasable = text.len().saturating_sub(MAX_PATTERN_BYTES - 1);
        match self.release {
            Release::Early => text.len() - automaton.depth(self.state, text),
            Release::Late => late_releasable,
            Release::Lines => {
                memchr::memrchr2(b'\n', b'\r', text).map_or(late_releasable, |end| late_releasable.max(end + 1))
            }
        }
    }

    /// Finds the spans in a text that begins at offset `from` from the first held byte.
    fn scan(&mut self, automaton: &Automaton, text: &[u8], from: usize) {
        let mut state = self.state;
        for (index, byte) in text.iter().enumerate() {
            state = automaton.next(state, *byte);
            if let Some(pattern) = automaton.longest_match(state) {
                let start = from + index + 1 - pattern.length;
                self.add(Span { start, end: start + pattern.replaced_bytes, secret: pattern.secret, marked: false });
            }
        }
        self.state = state;
    }

    /// Finds the spans in each line of a chunk that follows the held bytes.
    fn scan_lines(&mut self, automaton: &Automaton, chunk: &[u8]) {
        let mut end = self.held.len();
        for line in chunk.split_inclusive(is_line_end) {
            self.scan(automaton, line, end);
            end += line.len();
            if line.last().is_some_and(is_line_end) {
                self.state = automaton.start();
                // No value continues in the next line.
                if let Some(span) = self.spans.last_mut() {
                    span.end = span.end.min(end - 1);
                }
            }
        }
    }

    /// Adds a span and merges it with those that it overlaps.
    fn add(&mut self, mut span: Span) {
        while let Some(last) = self.spans.pop_if(|last| span.start < last.end) {
            let end = span.end.max(last.end);
            span = if last.start <= span.start { last } else { Span { marked: span.marked || last.marked, ..span } };
            span.end = end;
        }
        self.spans.push(span);
    }

    /// Releases the first bytes, with markers for the spans that begin there.
    fn release(&mut self, automaton: &Automaton, releasable: usize) -> Vec<u8> {
        let (mut out, mut done) = (Vec::with_capacity(releasable), 0);
        for span in self.spans.iter_mut().filter(|span| span.start < releasable) {
            out.extend_from_slice(self.held.get(done..span.start).unwrap_or_default());
            if !span.marked {
                out.extend_from_slice(automaton.markers.get(span.secret).map_or(&[], |marker| marker.as_bytes()));
            }
            span.marked = true;
            done = span.end.min(releasable);
        }
        out.extend_from_slice(self.held.get(done..releasable).unwrap_or_default());
        self.held.drain(..releasable);
        self.spans.retain(|span| span.end > releasable);
        for span in &mut self.spans {
            (span.start, span.end) = (span.start.saturating_sub(releasable), span.end - releasable);
        }
        out
    }
}

/// Returns whether a byte ends a line in a stream of events or JSON values.
pub(super) fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
