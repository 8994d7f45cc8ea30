//! The character encoding of a page: by its first bytes, its header, or its own word (WHATWG, "HTML", section 13.2.3.2).

use encoding_rs::{Encoding, UTF_8};

/// How far into a page its own word is searched for, in bytes.
const SEARCHED: usize = 1024;

/// Decodes a body whose `Content-Type`, in small letters, is `media_type`.
pub(crate) fn decode(media_type: &str, body: Vec<u8>) -> String {
    let of_header = label(media_type).and_then(|label| Encoding::for_label(label.as_bytes()));
    let of_page = || {
        let start = String::from_utf8_lossy(body.get(..SEARCHED).unwrap_or(&body)).to_ascii_lowercase();
        let tag = start.split("<meta").skip(1).find_map(|tag| label(tag.split('>').next().unwrap_or_default()));
        let encoding = Encoding::for_label(tag?.as_bytes())?;
        // A page that says so in ASCII is no UTF-16.
        Some(encoding.output_encoding())
    };
    let encoding = of_header.or_else(of_page).unwrap_or(UTF_8);
    // A byte order mark counts before anything else.
    encoding.decode(&body).0.into_owned()
}

/// Returns the value of `charset=` in a header or a tag.
fn label(text: &str) -> Option<String> {
    let (_, value) = text.split_once("charset")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end =
        value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '>' | '/')).unwrap_or(value.len());
    value.get(..end).filter(|label| !label.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_found_wherever_it_stands() {
        let cases: [(&str, &[u8], &str); 9] = [
            ("text/html; charset=gbk", b"\xc4\xe3\xba\xc3", "你好"),
            ("text/html; charset=\"shift_jis\"", b"\x82\xb1\x82\xf1", "こん"),
            ("text/html;charset=iso-8859-1", b"caf\xe9", "café"),
            ("text/html", b"<meta charset=windows-1251>\xcf\xf0", "<meta charset=windows-1251>Пр"),
            (
                "text/html",
                b"<meta http-equiv=content-type content='text/html; charset=latin1'>\xe9",
                "<meta http-equiv=content-type content='text/html; charset=latin1'>é",
            ),
            ("text/html; charset=latin1", b"\xef\xbb\xbf\xc3\xa9", "é"),
            ("text/html; charset=utf-16", b"\xff\xfea\x00", "a"),
            ("text/html; charset=unknown", "ä".as_bytes(), "ä"),
            ("text/plain", "ä".as_bytes(), "ä"),
        ];
        for (media_type, body, text) in cases {
            assert_eq!(decode(media_type, body.to_vec()), text, "{media_type}");
        }
    }
}
