//! Forms of a value to redact: as it is, and as common libraries encode it.

use base64::{
    Engine,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use super::json;

/// Minimum length of a form, in bytes: shorter ones occur in too many texts by chance.
pub const MIN_FORM_BYTES: usize = 4;

/// RFC 3986's unreserved characters.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// JavaScript's `encodeURIComponent`.
const URI_COMPONENT: AsciiSet = unescaping(UNRESERVED, b"!*'()");
/// Everything but letters and digits: no library encodes all of that, but some people do.
const NOT_ALPHANUMERIC: AsciiSet = NON_ALPHANUMERIC.add(b'%');
/// Queries and paths of the WHATWG URL standard.
const QUERY: AsciiSet = CONTROLS.add(b'%').add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
const PATH: AsciiSet = QUERY.add(b'?').add(b'`').add(b'{').add(b'}');

/// Percent-encode sets of common encoders.
static PERCENT_ENCODE_SETS: [AsciiSet; 13] = [
    NOT_ALPHANUMERIC,
    UNRESERVED,
    URI_COMPONENT,
    // Python's `quote`.
    unescaping(UNRESERVED, b"/"),
    // Injection into requests.
    unescaping(UNRESERVED, b":"),
    // JavaScript's `encodeURI`.
    unescaping(URI_COMPONENT, b";,/?:@&=+$#"),
    // Go's `PathEscape`, and all of RFC 3986's segments.
    unescaping(UNRESERVED, b"$&+=:@"),
    unescaping(URI_COMPONENT, b"$&+,;=:@"),
    // RFC 3986's queries.
    unescaping(URI_COMPONENT, b"$&+,;=:@/?"),
    QUERY,
    QUERY.add(b'\''),
    PATH,
    PATH.add(b'^'),
];
/// Percent-encode sets of form encoders, which write `+` for a space.
static FORM_ENCODE_SETS: [AsciiSet; 3] = [UNRESERVED, UNRESERVED.add(b'~'), UNRESERVED.add(b'~').remove(b'*')];

const HTML_QUOTES: [(&str, &str); 5] =
    [("&quot;", "&#39;"), ("&#34;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&apos;"), ("\"", "'")];

const fn unescaping(mut set: AsciiSet, mut bytes: &[u8]) -> AsciiSet {
    while let Some((first, rest)) = bytes.split_first() {
        set = set.remove(*first);
        bytes = rest;
    }
    set
}

/// Returns every form of a value, in an order that does not depend on the value. Some may be equal.
pub fn encoded_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let latin = value.iter().copied().map(char::from).collect::<String>();
    // Many programs decode a non-ASCII header byte by byte.
    for reading in [value, latin.as_bytes()] {
        forms.push(reading.to_vec());
        // Names of hosts and headers are lower-cased.
        forms.push(reading.to_ascii_lowercase());
        forms.extend(PERCENT_ENCODE_SETS.iter().flat_map(|set| percent_forms(reading, set, false)));
        forms.extend(FORM_ENCODE_SETS.iter().flat_map(|set| percent_forms(reading, set, true)));
        forms.extend(all_bytes_percent_forms(reading));
        forms.extend([hex::encode(reading).into_bytes(), hex::encode_upper(reading).into_bytes()]);
        forms.extend([STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().flat_map(|engine| base64_forms(engine, reading)));
        if let Ok(text) = std::str::from_utf8(reading) {
            forms.extend(json::escaped_forms(text).map(String::into_bytes));
            forms.extend(html_forms(text));
        }
    }
    forms.retain(|form| form.len() >= MIN_FORM_BYTES);
    forms
}

/// Returns the value percent-encoded, with upper-case and with lower-case digits.
fn percent_forms(value: &[u8], set: &'static AsciiSet, plus: bool) -> [Vec<u8>; 2] {
    let (mut upper, mut lower) = (String::new(), String::new());
    for piece in percent_encode(value, set) {
        match piece {
            "%20" if plus => [&mut upper, &mut lower].into_iter().for_each(|text| text.push('+')),
            _ => {
                upper.push_str(piece);
                // Each escape is a separate piece, and every `%` is escaped.
                lower.push_str(&if piece.starts_with('%') { piece.to_ascii_lowercase() } else { piece.to_owned() });
            }
        }
    }
    [upper.into_bytes(), lower.into_bytes()]
}

fn all_bytes_percent_forms(value: &[u8]) -> [Vec<u8>; 2] {
    let all = |digits: fn(&u8) -> String| value.iter().map(digits).collect::<String>().into_bytes();
    [all(|b| format!("%{b:02X}")), all(|b| format!("%{b:02x}"))]
}

/// Returns the base64 forms of a value: alone, with and without padding and line breaks, and inside larger data,
/// at each offset in a group of three bytes. Inside larger data, the characters at the ends also encode
/// neighbouring bytes and stay.
fn base64_forms(engine: &GeneralPurpose, value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let bytes = [vec![0; before].as_slice(), value].concat();
        let text = engine.encode(&bytes);
        let whole = text.get(skipped..).unwrap_or_default();
        let inside = text.get(skipped..bytes.len() * 8 / 6).unwrap_or_default();
        let padding = "=".repeat((3 - bytes.len() % 3) % 3);
        forms.extend([inside.to_owned(), whole.to_owned(), format!("{whole}{padding}")]);
        if before == 0 {
            forms.extend(wrapped_forms(&format!("{whole}{padding}")));
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Wraps a text in the lines of PEM and of MIME.
fn wrapped_forms(text: &str) -> impl Iterator<Item = String> {
    let lines = |(width, end): (usize, &str)| {
        let lines: Vec<_> = text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
        (lines.len() > 1).then(|| lines.join(end))
    };
    [(64, "\n"), (64, "\r\n"), (76, "\n"), (76, "\r\n")].into_iter().filter_map(lines).collect::<Vec<_>>().into_iter()
}

fn html_forms(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let angles = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    HTML_QUOTES.map(|(double, single)| angles.replace('"', double).replace('\'', single).into_bytes()).into_iter()
}
