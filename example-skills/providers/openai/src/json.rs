//! JSON as services write it. Halves of surrogate pairs that stand alone, because a stream was cut between them, are kept
//! apart and joined again.

use serde_json::Value;

/// First character of a range that no text uses, for the halves of surrogate pairs.
const FIRST_MARK: u32 = 0x0010_F800;
const FIRST_SURROGATE: u32 = 0xD800;

/// Parses JSON in which halves of surrogate pairs may stand alone. They become marks, which [`Joiner`] removes.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    match serde_json::from_str(text) {
        Err(_) if text.contains("\\ud") || text.contains("\\uD") => serde_json::from_str(&marked(text)),
        parsed => parsed,
    }
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
pub(crate) struct Joiner(Option<u16>);

impl Joiner {
    /// Takes a piece of a text, and returns it without marks.
    pub(crate) fn push(&mut self, text: String) -> String {
        let is_mark = |c: char| u32::from(c) >= FIRST_MARK;
        if self.0.is_none() && !text.contains(is_mark) {
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
}
