//! What someone who wrote a name that there is not may have meant.

/// The nearest of some names, if one is near: each with the part of it that says most, as has what was
/// written.
pub fn suggest(written: (&str, &str), names: impl IntoIterator<Item = (String, String)>) -> Option<String> {
    let distance = |(name, part): (String, String)| {
        let whole = if name.starts_with(written.0) { 1 } else { strsim::osa_distance(written.0, &name) };
        (strsim::osa_distance(written.1, &part).min(whole), whole, name)
    };
    let best = names.into_iter().map(distance).min_by_key(|(least, whole, _)| (*least, *whole));
    best.filter(|(least, ..)| least * 4 <= written.1.len().max(4)).map(|(.., name)| name)
}
