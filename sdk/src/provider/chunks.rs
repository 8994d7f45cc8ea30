//! A completion made of what a service streams.

use std::collections::{BTreeMap, VecDeque};

use super::{Chunk, Error, join_surrogates, json::Joiner};

/// What a service streams, which [`Chunks`] pulls.
pub trait Source {
    /// Reads the next piece of the stream, and adds the chunks that it makes: none, one or several. A
    /// [`Chunk::Stop`] is the last one.
    ///
    /// # Errors
    ///
    /// When the service says that something is wrong, says what makes no sense, or breaks off: the end of
    /// the stream is an error unless the service has said before that this is all.
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error>;
}

/// The completion that a [`Source`] makes: its chunks until one is a [`Chunk::Stop`], or until it fails.
///
/// ```
/// use std::collections::VecDeque;
/// use moxxy_sdk::{
///     http::{self, Lines, Response},
///     provider::{Chunk, Chunks, Error, Source, StopReason},
///     testing::Host,
/// };
///
/// /// A service that sends a word on each line, and `.` at the end.
/// struct Words(Lines<Response>);
///
/// impl Source for Words {
///     fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
///         let cut = || Error::Transport("the service broke off".into());
///         chunks.push_back(match self.0.next().ok_or_else(cut)?? {
///             end if end == "." => Chunk::Stop(StopReason::EndTurn),
///             word => Chunk::Text(word),
///         });
///         Ok(())
///     }
/// }
///
/// // In a test:
/// let chunks = |body: &str| {
///     let mut host = Host::new().response("POST", "https://example.com/", 200, body);
///     host.run(|| Chunks::of(Words(http::post("https://example.com/").send().unwrap().lines())).collect::<Vec<_>>())
/// };
/// let [one, two] = ["one", "two"].map(|word| Ok(Chunk::Text(word.into())));
/// assert_eq!(chunks("one\ntwo\n.\nthree\n"), [one.clone(), two, Ok(Chunk::Stop(StopReason::EndTurn))]);
/// assert_eq!(chunks("one\n"), [one, Err(Error::Transport("the service broke off".into()))]);
/// ```
#[derive(Debug)]
pub struct Chunks<S> {
    source: S,
    /// What was read and not asked for yet.
    ready: VecDeque<Chunk>,
    failure: Option<Error>,
    has_ended: bool,
    joiners: Joiners,
}

/// Join the characters that came in two pieces: of the text, of the thoughts, and of the arguments of each call.
#[derive(Debug, Default)]
struct Joiners {
    text: Joiner,
    thoughts: Joiner,
    arguments: BTreeMap<u32, Joiner>,
}

impl<S: Source> Chunks<S> {
    /// The chunks of a source. See [`Chunks`] for an example.
    pub fn of(source: S) -> Self {
        Self { source, ready: VecDeque::new(), failure: None, has_ended: false, joiners: Joiners::default() }
    }
}

impl Joiners {
    /// Returns a chunk without halves of characters, or nothing if it is one.
    fn join(&mut self, chunk: Chunk) -> Option<Chunk> {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        match chunk {
            Chunk::Text(piece) => text(self.text.push(piece)).map(Chunk::Text),
            Chunk::ThinkingDelta(piece) => text(self.thoughts.push(piece)).map(Chunk::ThinkingDelta),
            Chunk::Thinking(mut thinking) => {
                thinking.text = thinking.text.map(join_surrogates);
                Some(Chunk::Thinking(thinking))
            }
            Chunk::ToolCall(mut delta) => {
                delta.arguments = self.arguments.entry(delta.index).or_default().push(delta.arguments);
                Some(Chunk::ToolCall(delta))
            }
            other => Some(other),
        }
    }
}

impl<S: Source> Iterator for Chunks<S> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                let is_stop = matches!(chunk, Chunk::Stop(_));
                if is_stop && let Some(half) = self.joiners.text.finish() {
                    self.ready.push_front(chunk);
                    return Some(Ok(Chunk::Text(half.into())));
                }
                self.has_ended |= is_stop;
                match self.joiners.join(chunk) {
                    Some(chunk) => return Some(Ok(chunk)),
                    None => continue,
                }
            }
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            if self.has_ended {
                return None;
            }
            // What was read before it fails counts still.
            self.failure = self.source.advance(&mut self.ready).err();
            self.has_ended = self.failure.is_some();
        }
    }
}
