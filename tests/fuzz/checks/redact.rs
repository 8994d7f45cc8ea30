//! Redaction of what comes back.

use bytes::Bytes;
use moxxy_secrets::{Redactor, Release, Value};

/// The first byte is the length of the secret, the second that of the pieces; then come the secret and a
/// text. A 1 in the text stands for the secret.
pub(crate) fn check(data: &[u8]) {
    let [length, piece, rest @ ..] = data else { return };
    let Some((secret, text)) = rest.split_at_checked(usize::from(*length)) else { return };
    let Ok(value) = Value::new(secret.to_vec()) else { return };
    let redactor = Redactor::new([("name".to_owned(), value)]);
    let text: Vec<u8> = text.iter().flat_map(|byte| if *byte == 1 { secret.to_vec() } else { vec![*byte] }).collect();
    let whole = redactor.bytes(&text).into_owned();
    // In pieces it is the same as in one.
    for release in [Release::Early, Release::Late] {
        assert_eq!(in_pieces(&redactor, release, &text, usize::from(*piece).max(1)), whole);
    }
    let lines = in_pieces(&redactor, Release::Lines, &text, text.len().max(1));
    assert_eq!(in_pieces(&redactor, Release::Lines, &text, usize::from(*piece).max(1)), lines);
    // Nothing is left of it, but for what the marker itself has in it.
    if secret.len() >= 4 {
        let marker = b"[secret name]";
        let parts = split(&whole, marker);
        assert!(parts.iter().all(|part| !has(part, secret)), "{whole:?}");
    }
}

fn in_pieces(redactor: &Redactor, release: Release, text: &[u8], size: usize) -> Vec<u8> {
    let mut stream = redactor.stream(release);
    let mut pieces: Vec<u8> =
        text.chunks(size).flat_map(|piece| stream.push(Bytes::copy_from_slice(piece)).to_vec()).collect();
    pieces.extend_from_slice(&stream.finish());
    pieces
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What stands between the markers.
fn split<'t>(mut text: &'t [u8], marker: &[u8]) -> Vec<&'t [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = text.windows(marker.len()).position(|window| window == marker) {
        let (before, rest) = text.split_at(at);
        parts.push(before);
        text = rest.get(marker.len()..).unwrap_or_default();
    }
    parts.push(text);
    parts
}
