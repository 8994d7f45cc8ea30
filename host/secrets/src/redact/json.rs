//! Forms of a text inside a JSON string, with the escapes of different encoders.

use std::fmt::Write;

/// Characters that an encoder escapes by number, in addition to those that all encoders escape.
const BY_NUMBER: [fn(char) -> bool; 6] = [
    |_| false,
    |c| !c.is_ascii(),
    // Go, whose output is safe inside HTML.
    |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    |c| !c.is_ascii() || matches!(c, '<' | '>' | '&'),
    // .NET.
    |c| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '"' | '\'' | '+' | '`' | '\u{7f}'),
    |_| true,
];

pub fn of(text: &str) -> impl Iterator<Item = String> {
    let mut forms = Vec::new();
    for by_number in BY_NUMBER {
        for capital in [false, true] {
            let once = escaped(text, by_number, capital);
            forms.push(once.replace('/', "\\/"));
            forms.push(once);
        }
    }
    // Some programs print a quoted text and escape nothing but the quotes.
    forms.push(text.replace('"', "\\\""));
    // A JSON text as a string inside another.
    let plain = escaped(text, |_| false, false);
    forms.push(escaped(&plain, |_| false, false));
    forms.into_iter()
}

fn escaped(text: &str, by_number: fn(char) -> bool, capital: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if by_number(c) => number(&mut escaped, c, capital),
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            c if c < ' ' => number(&mut escaped, c, capital),
            c => escaped.push(c),
        }
    }
    escaped
}

fn number(text: &mut String, c: char, capital: bool) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = if capital { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
    }
}
