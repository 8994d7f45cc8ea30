//! Suggestions for unknown names.

/// Returns the name with the smallest edit distance to `written`, if it is close enough. `written` and each of
/// `names` consist of a full name and its most significant part.
pub(super) fn suggest(written: (&str, &str), names: impl IntoIterator<Item = (String, String)>) -> Option<String> {
    let distance = |(name, part): (String, String)| {
        let whole = if name.starts_with(written.0) { 1 } else { strsim::osa_distance(written.0, &name) };
        (strsim::osa_distance(written.1, &part).min(whole), whole, name)
    };
    let best = names.into_iter().map(distance).min_by_key(|(least, whole, _)| (*least, *whole));
    best.filter(|(least, ..)| least * 4 <= written.1.len().max(4)).map(|(.., name)| name)
}
