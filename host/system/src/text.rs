//! Detection of characters in untrusted text that must not be displayed.

/// Returns whether a character is invisible but changes how the text around it is displayed: it controls a
/// terminal, changes the writing direction or breaks the line.
pub fn is_hidden(c: char) -> bool {
    let direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || direction
}
