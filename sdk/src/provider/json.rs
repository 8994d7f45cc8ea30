//! JSON as services write it: halves of surrogate pairs that stand alone, and fields of unexpected types.

use serde::{Deserialize as _, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::Error;

/// First character of a range that no text uses, for the halves of surrogate pairs.
const FIRST_MARK: u32 = 0x0010_F800;
const FIRST_SURROGATE: u32 = 0xD800;

/// Parses an event or a line of a service's stream.
///
/// Services cut a stream between the two halves of a surrogate pair, which is no JSON by itself. Such halves become
/// marks, which [`Chunks`](super::Chunks) joins again in texts, thoughts and arguments.
///
/// ```
/// use moxxy_sdk::provider::parse_json;
///
/// let event: serde_json::Value = parse_json(r#"{ "text": "hi" }"#).unwrap();
/// assert_eq!(event["text"], "hi");
/// assert!(parse_json::<serde_json::Value>(r#"{ "text": "\ud83d" }"#).is_ok());
/// ```
///
/// # Errors
///
/// [`Error::Transport`] if it is no JSON, or no `T`.
pub fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let parsed = match serde_json::from_str(text) {
        Err(_) if text.contains("\\ud") || text.contains("\\uD") => serde_json::from_str(&marked(text)),
        parsed => parsed,
    };
    parsed.map_err(|error| Error::Transport(format!("the service sent what makes no sense: {error:.200}")))
}

/// Joins halves of surrogate pairs that [`parse_json`] marked, in a text that is complete. A half that stands alone
/// becomes `�`. Use it for what goes past [`Chunks`](super::Chunks), such as opaque data.
///
/// ```
/// use moxxy_sdk::provider::{join_surrogates, parse_json};
///
/// let pieces: [String; 2] = parse_json(r#"["\ud83d", "\ude00"]"#).unwrap();
/// assert_eq!(join_surrogates(pieces.concat()), "😀");
/// ```
pub fn join_surrogates(text: String) -> String {
    let mut joiner = Joiner::default();
    let mut joined = joiner.push(text);
    joined.extend(joiner.finish());
    joined
}

/// Deserializes a field whose unexpected types count as absent, for `deserialize_with`.
///
/// ```
/// use moxxy_sdk::provider::{or_absent, parse_json};
///
/// #[derive(serde::Deserialize)]
/// struct Event {
///     #[serde(default, deserialize_with = "or_absent")]
///     text: Option<String>,
/// }
///
/// assert_eq!(parse_json::<Event>(r#"{ "text": 7 }"#).unwrap().text, None);
/// ```
///
/// # Errors
///
/// If it is no JSON.
pub fn or_absent<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Replaces the escapes of lone halves by marks.
fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, behind) = rest.split_at(at);
        marked.push_str(before);
        let escape = surrogate(behind);
        let length = match escape {
            Some(high) if high < 0xDC00 && behind.get(6..).and_then(surrogate).is_some_and(|low| low >= 0xDC00) => 12,
            Some(half) => {
                marked.extend(char::from_u32(FIRST_MARK + half - FIRST_SURROGATE));
                rest = behind.get(6..).unwrap_or_default();
                continue;
            }
            // The escaped character too, which may be a backslash.
            None => 1 + behind.chars().nth(1).map_or(0, char::len_utf8),
        };
        marked.push_str(behind.get(..length).unwrap_or(behind));
        rest = behind.get(length..).unwrap_or_default();
    }
    marked.push_str(rest);
    marked
}

/// Returns the half of a surrogate pair whose escape a text begins with.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..0xE000).contains(unit))
}

/// Joins the halves of a surrogate pair that came in two pieces.
#[derive(Debug, Default)]
pub(super) struct Joiner(Option<u16>);

impl Joiner {
    /// Takes a piece of a text, and returns it without marks. A half at its end is kept for the next piece.
    pub(super) fn push(&mut self, text: String) -> String {
        let is_mark = |c: char| u32::from(c) >= FIRST_MARK;
        if text.is_empty() || (self.0.is_none() && !text.contains(is_mark)) {
            return text;
        }
        let mut units: Vec<u16> = self.0.take().into_iter().collect();
        for c in text.chars() {
            match u16::try_from(u32::from(c).wrapping_sub(FIRST_MARK).wrapping_add(FIRST_SURROGATE)) {
                Ok(half) if is_mark(c) => units.push(half),
                _ => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        self.0 = units.pop_if(|last| (0xD800..0xDC00).contains(last));
        String::from_utf16_lossy(&units)
    }

    /// Returns the replacement of a half that no other followed.
    pub(super) fn finish(&mut self) -> Option<char> {
        self.0.take().map(|_| char::REPLACEMENT_CHARACTER)
    }
}
