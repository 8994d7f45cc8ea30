//! Forms of a text inside a JSON string, with the escapes of different encoders.

use std::fmt::Write;

/// Characters that an encoder escapes by number, in addition to those that all encoders escape.
const NUMERIC_ESCAPE_RULES: [fn(char) -> bool; 6] = [
    |_| false,
    |c| !c.is_ascii(),
    // Go, whose output is safe inside HTML.
    |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    |c| !c.is_ascii() || matches!(c, '<' | '>' | '&'),
    // .NET.
    |c| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '"' | '\'' | '+' | '`' | '\u{7f}'),
    |_| true,
];

pub(super) fn escaped_forms(text: &str) -> impl Iterator<Item = String> {
    let mut forms = Vec::new();
    for escapes_numerically in NUMERIC_ESCAPE_RULES {
        for upper_case in [false, true] {
            let escaped = escape(text, escapes_numerically, upper_case);
            forms.push(escaped.replace('/', "\\/"));
            forms.push(escaped);
        }
    }
    // Some programs print a quoted text and escape nothing but the quotes.
    forms.push(text.replace('"', "\\\""));
    // A JSON text as a string inside another.
    let plain = escape(text, |_| false, false);
    forms.push(escape(&plain, |_| false, false));
    forms.into_iter()
}

fn escape(text: &str, escapes_numerically: fn(char) -> bool, upper_case: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if escapes_numerically(c) => push_unicode_escape(&mut escaped, c, upper_case),
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            c if c < ' ' => push_unicode_escape(&mut escaped, c, upper_case),
            c => escaped.push(c),
        }
    }
    escaped
}

fn push_unicode_escape(text: &mut String, c: char, upper_case: bool) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = if upper_case { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
    }
}
