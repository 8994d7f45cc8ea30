//! Words at which an answer ends, for services that do not end it there themselves.

/// Returns a text up to the first of these words.
pub(super) fn cut(mut text: String, words: &[String]) -> String {
    if let Some(at) = first(&text, words) {
        text.truncate(at);
    }
    text
}

/// Returns the place of the first of these words.
fn first(text: &str, words: &[String]) -> Option<usize> {
    words.iter().filter_map(|word| text.find(word.as_str())).min()
}

/// Passes on a text in pieces, up to the first of some words.
#[derive(Debug, Default)]
pub(super) struct StopWords {
    words: Vec<String>,
    /// The end of what came, which may be the beginning of a word.
    held: String,
    is_over: bool,
}

impl StopWords {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words, ..Self::default() }
    }

    /// Returns what may be passed on now that this piece came.
    pub(super) fn pass(&mut self, piece: &str) -> String {
        if self.is_over {
            return String::new();
        }
        self.held.push_str(piece);
        if let Some(at) = first(&self.held, &self.words) {
            self.is_over = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let is_beginning = |at: &usize| self.words.iter().any(|word| word.starts_with(&self.held[*at..]));
        let places = self.held.char_indices().map(|(at, _)| at);
        let kept = places.filter(is_beginning).min().unwrap_or(self.held.len());
        let rest = self.held.split_off(kept);
        std::mem::replace(&mut self.held, rest)
    }

    /// Returns what is left at the end.
    pub(super) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_the_first_word_however_it_is_cut() {
        let words = ["END".to_owned(), "</stop>".to_owned(), "ä".to_owned()];
        for (text, expected) in [
            ("one two END three", "one two "),
            ("EN END", "EN "),
            ("a </stop> END", "a "),
            ("no end E", "no end E"),
            ("</sto </stop", "</sto </stop"),
            ("mäh", "m"),
            ("", ""),
        ] {
            assert_eq!(cut(text.to_owned(), &words), expected);
            for size in 1..4 {
                let characters: Vec<char> = text.chars().collect();
                let mut stop = StopWords::new(words.to_vec());
                let mut passed: String =
                    characters.chunks(size).map(|piece| stop.pass(&piece.iter().collect::<String>())).collect();
                passed.push_str(&stop.rest());
                assert_eq!(passed, expected, "{text:?} in pieces of {size}");
            }
        }
    }
}
