//! Words as they are compared: lower case, without a plural's `s`, without words that say nothing.

use std::collections::BTreeSet;

/// Words that stand in every sentence and therefore choose no tool.
const EMPTY: &[&str] = &[
    "a", "all", "an", "and", "are", "as", "at", "be", "by", "can", "could", "do", "doe", "for", "from", "how", "i",
    "in", "is", "it", "its", "many", "me", "my", "of", "on", "or", "please", "such", "that", "the", "there", "these",
    "thi", "this", "those", "to", "we", "what", "which", "with", "you", "your",
];

/// The words of a text that say something, each once.
pub(crate) fn meaningful(text: &str) -> BTreeSet<String> {
    all(text).filter(|word| !is_empty(word)).collect()
}

/// The words of a text.
pub(crate) fn all(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(normalise)
}

/// Whether a normalised word says nothing about a task.
pub(crate) fn is_empty(word: &str) -> bool {
    EMPTY.contains(&word)
}

fn normalise(word: &str) -> String {
    let word = word.to_lowercase();
    match word.strip_suffix('s') {
        Some(singular) if word.len() > 3 && !singular.ends_with('s') => singular.to_owned(),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_in_any_case_and_number() {
        assert_eq!(meaningful("Words of the TEXTS"), meaningful("text, word"));
    }

    #[test]
    fn an_s_that_is_no_plural_stays() {
        assert_eq!(all("class bus is").collect::<Vec<_>>(), ["class", "bus", "is"]);
    }

    #[test]
    fn names_with_underscores_are_words() {
        let words: Vec<_> = meaningful("text__word_count").into_iter().collect();
        assert_eq!(words, ["count", "text", "word"]);
    }
}
