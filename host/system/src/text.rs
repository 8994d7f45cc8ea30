//! What is in texts of strangers that nobody is to be shown.

/// Whether a character shows nothing by itself, but changes how what is around it is shown: it controls a
/// terminal, turns the direction of writing, or breaks the line.
pub fn is_hidden(c: char) -> bool {
    let direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || direction
}
