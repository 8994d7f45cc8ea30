//! Thoughts that stand in tags at the beginning of the text.

/// Separates the thought that some models write in `<think>…</think>` before their answer. Feed it the pieces of the text
/// as they come.
///
/// ```
/// use moxxy_sdk::provider::{ThinkTags, Tagged};
///
/// let mut tags = ThinkTags::default();
/// assert_eq!(tags.push("<thi"), []);
/// assert_eq!(tags.push("nk>Hm."), [Tagged::Thought("Hm.".into())]);
/// assert_eq!(tags.push("</think>\n\n2"), [Tagged::Text("2".into())]);
/// assert_eq!(tags.finish(), []);
/// ```
#[derive(Debug, Default)]
pub struct ThinkTags {
    state: State,
    /// What may be the beginning of a tag.
    held: String,
}

/// A piece of a text with [`ThinkTags`].
///
/// ```
/// # use moxxy_sdk::provider::{ThinkTags, Tagged};
/// assert_eq!(ThinkTags::default().push("Hello"), [Tagged::Text("Hello".into())]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// What the model thought.
    Thought(String),
    /// What it answered.
    Text(String),
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Start,
    /// Within the tag of this index.
    Thought(usize),
    /// Behind a thought, before the answer.
    Between,
    Text,
}

const TAGS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

impl ThinkTags {
    /// Takes a piece. See [`ThinkTags`] for an example.
    pub fn push(&mut self, text: &str) -> Vec<Tagged> {
        self.held.push_str(text);
        let mut found = Vec::new();
        loop {
            match self.state {
                State::Start => {
                    let start = self.held.trim_start();
                    if let Some(tag) = TAGS.iter().position(|(open, _)| start.starts_with(open)) {
                        let opened = TAGS.get(tag).map_or(0, |(open, _)| open.len());
                        self.held = start.get(opened..).unwrap_or_default().trim_start_matches('\n').to_owned();
                        self.state = State::Thought(tag);
                    } else if TAGS.iter().any(|(open, _)| open.starts_with(start)) {
                        return found;
                    } else {
                        self.state = State::Text;
                    }
                }
                State::Thought(tag) => {
                    let close = TAGS.get(tag).map_or("", |(_, close)| close);
                    if let Some((thought, rest)) = self.held.split_once(close) {
                        let (thought, rest) = (thought.trim_end_matches('\n').to_owned(), rest.to_owned());
                        push(&mut found, Tagged::Thought(thought));
                        (self.held, self.state) = (rest, State::Between);
                    } else {
                        let keep = held_back(&self.held, close);
                        let rest = self.held.split_off(self.held.len() - keep);
                        push(&mut found, Tagged::Thought(std::mem::replace(&mut self.held, rest)));
                        return found;
                    }
                }
                State::Between => {
                    self.held = self.held.trim_start().to_owned();
                    if self.held.is_empty() {
                        return found;
                    }
                    self.state = State::Text;
                }
                State::Text => {
                    push(&mut found, Tagged::Text(std::mem::take(&mut self.held)));
                    return found;
                }
            }
        }
    }

    /// Returns what was held back. See [`ThinkTags`] for an example.
    pub fn finish(&mut self) -> Vec<Tagged> {
        let rest = std::mem::take(&mut self.held);
        let mut found = Vec::new();
        match self.state {
            State::Thought(_) => push(&mut found, Tagged::Thought(rest)),
            State::Between => {}
            State::Start | State::Text => push(&mut found, Tagged::Text(rest)),
        }
        found
    }
}

fn push(found: &mut Vec<Tagged>, piece: Tagged) {
    let (Tagged::Thought(text) | Tagged::Text(text)) = &piece;
    if !text.is_empty() {
        found.push(piece);
    }
}

/// Returns the length of the end of a text that may begin the tag, or the line ends before it, in bytes.
fn held_back(text: &str, tag: &str) -> usize {
    let partial = (1..tag.len()).rev().find(|&length| text.ends_with(tag.get(..length).unwrap_or(tag))).unwrap_or(0);
    let before = text.get(..text.len() - partial).unwrap_or(text);
    partial + before.len() - before.trim_end_matches('\n').len()
}
