//! A task taken apart into pieces: quoted texts, JSON, JSONPaths and words.
//!
//! A text is quoted by `"…"`, `'…'`, `“…”` or `` `…` ``. JSON begins with `{` or `[` and is well
//! formed. A path begins with `$` and lasts to the next space outside brackets.

use serde::de::IgnoredAny;

use crate::words;

/// What a piece of a task is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Quoted,
    Json,
    Path,
    Word,
}

/// A piece of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub kind: Kind,
    /// The piece, without its quotes.
    pub text: &'a str,
    /// All that follows the piece in the task.
    after: &'a str,
}

/// What the user wants.
pub(crate) struct Task<'a> {
    pub pieces: Vec<Piece<'a>>,
}

impl<'a> Task<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let piece = json(rest).or_else(|| quoted(rest)).or_else(|| path(rest)).unwrap_or_else(|| word(rest));
            pieces.push(piece);
            rest = piece.after.trim_start();
        }
        Self { pieces }
    }

    /// The words of the task itself, rather than of what it is about.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'a str> {
        let words = self.pieces.iter().filter(|piece| piece.kind == Kind::Word);
        words.map(|piece| piece.text)
    }

    /// The words up to the first colon, or none if there is no colon.
    pub(crate) fn words_before_colon(&self) -> impl Iterator<Item = &'a str> {
        let colon = self.pieces.iter().position(Piece::is_colon);
        let pieces = self.pieces.iter().take(colon.map_or(0, |at| at + 1));
        pieces.filter(|piece| piece.kind == Kind::Word).map(|piece| piece.text)
    }

    /// The text after the first colon.
    pub(crate) fn after_colon(&self) -> Option<&'a str> {
        let colon = self.pieces.iter().find(|piece| piece.is_colon())?;
        Some(colon.after.trim()).filter(|text| !text.is_empty())
    }

    /// The words that are not in a vocabulary, as they were written.
    pub(crate) fn words_outside(&self, vocabulary: impl Fn(&str) -> bool) -> Option<String> {
        let unknown = self.words().filter(|text| words::all(text).any(|word| !vocabulary(&word)));
        // What comes before the first word with a meaning belongs to the instruction.
        let said: Vec<&str> = unknown.skip_while(|text| words::meaningful(text).is_empty()).collect();
        Some(said.join(" ")).filter(|text| !text.is_empty())
    }
}

impl Piece<'_> {
    fn is_colon(&self) -> bool {
        self.kind == Kind::Word && self.text.ends_with(':')
    }

    /// A word without the punctuation around it; anything else as it is.
    pub(crate) fn bare(&self) -> &str {
        match self.kind {
            Kind::Word => self
                .text
                .trim_matches(|c: char| matches!(c, ',' | ';' | ':' | '!' | '?' | '(' | ')'))
                .trim_end_matches('.'),
            _ => self.text,
        }
    }
}

/// Whether a text is a JSON object or list.
pub(crate) fn is_json(text: &str) -> bool {
    json(text.trim()).is_some_and(|piece| piece.after.is_empty())
}

fn json(rest: &str) -> Option<Piece<'_>> {
    if !rest.starts_with(['{', '[']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    split(Kind::Json, rest, values.byte_offset())
}

fn quoted(rest: &str) -> Option<Piece<'_>> {
    let open = rest.chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '“' => '”',
        _ => return None,
    };
    let inner = rest.get(open.len_utf8()..)?;
    let (end, _) = inner.match_indices(close).find(|(at, _)| {
        let next = inner.get(at + close.len_utf8()..).and_then(|after| after.chars().next());
        // An apostrophe inside a word closes nothing.
        close != '\'' || !next.is_some_and(char::is_alphanumeric)
    })?;
    Some(Piece { kind: Kind::Quoted, text: inner.get(..end)?, after: inner.get(end + close.len_utf8()..)? })
}

fn path(rest: &str) -> Option<Piece<'_>> {
    if !rest.starts_with('$') {
        return None;
    }
    let mut depth = 0_i32;
    let end = rest.find(|c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            _ => {}
        }
        c.is_whitespace() && depth <= 0
    });
    let token = rest.get(..end.unwrap_or(rest.len()))?;
    let path = token.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    split(Kind::Path, rest, path.len())
}

/// A word ends at a space, and where a quoted text or JSON begins.
fn word(rest: &str) -> Piece<'_> {
    let end = rest
        .char_indices()
        .skip(1)
        .find(|&(_, c)| c.is_whitespace() || matches!(c, '"' | '“' | '`' | '{'))
        .map_or(rest.len(), |(at, _)| at);
    // An opening bracket is a word of its own, so that what it opens can be a quoted text.
    let end = if rest.starts_with('(') { 1 } else { end };
    split(Kind::Word, rest, end).unwrap_or(Piece { kind: Kind::Word, text: rest, after: "" })
}

fn split(kind: Kind, rest: &str, at: usize) -> Option<Piece<'_>> {
    let (text, after) = rest.split_at_checked(at)?;
    Some(Piece { kind, text, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(Kind, &str)> {
        let task = Task::new(text);
        task.pieces.iter().map(|piece| (piece.kind, piece.text)).collect()
    }

    #[test]
    fn all_quotes_are_read() {
        let texts = pieces(r#"join "a b", 'c d', “e f” (`g h`)"#);
        let quoted: Vec<_> = texts.iter().filter(|(kind, _)| *kind == Kind::Quoted).map(|(_, text)| *text).collect();
        assert_eq!(quoted, ["a b", "c d", "e f", "g h"]);
    }

    #[test]
    fn apostrophes_quote_nothing() {
        assert!(pieces("don't count 'tis").iter().all(|(kind, _)| *kind == Kind::Word));
        assert_eq!(pieces("'it isn't'"), [(Kind::Quoted, "it isn't")]);
    }

    #[test]
    fn json_and_paths_keep_their_spaces() {
        assert_eq!(
            pieces(r#"query {"a": [1, 2]} with $.a[?@ > 1]."#),
            [
                (Kind::Word, "query"),
                (Kind::Json, r#"{"a": [1, 2]}"#),
                (Kind::Word, "with"),
                (Kind::Path, "$.a[?@ > 1]"),
                (Kind::Word, "."),
            ]
        );
    }

    #[test]
    fn malformed_json_is_words() {
        assert!(pieces("{a: 1} [b").iter().all(|(kind, _)| *kind == Kind::Word));
    }

    #[test]
    fn a_colon_in_a_url_is_no_colon() {
        assert_eq!(Task::new("get http://a.example now").after_colon(), None);
        assert_eq!(Task::new("count: a, b").after_colon(), Some("a, b"));
    }
}
