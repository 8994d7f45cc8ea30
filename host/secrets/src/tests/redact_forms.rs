//! Redaction of every form in which a component or a service would write a value.

use base64::{Engine, engine::general_purpose};
use url::{Url, form_urlencoded};

use super::{super::redact::Redactor, *};

/// Returns forms of a value, written by code other than this crate's.
fn written(value: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(value);
    let form: String = form_urlencoded::byte_serialize(value).collect();
    let mut written = vec![value.to_vec(), hex::encode(value).into(), hex::encode_upper(value).into(), form.into()];
    for engine in [
        general_purpose::STANDARD,
        general_purpose::STANDARD_NO_PAD,
        general_purpose::URL_SAFE,
        general_purpose::URL_SAFE_NO_PAD,
    ] {
        written.push(engine.encode(value).into());
    }
    let escape = |set| percent_encoding::percent_encode(value, set).to_string().into_bytes();
    written.extend([escape(percent_encoding::NON_ALPHANUMERIC)]);
    if text.as_bytes() == value {
        written.push(serde_json::to_string(&text).unwrap().trim_matches('"').into());
        let nested = serde_json::to_string(&serde_json::to_string(&text).unwrap()).unwrap();
        written.push(nested.trim_matches('"').trim_matches('\\').trim_matches('"').into());
        written.push(text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>().into());
        let mut url = Url::parse("https://example.com").unwrap();
        url.query_pairs_mut().append_pair("k", &text);
        written.push(url.query().unwrap()[2..].into());
        // Some programs leave the encoding to the parser, which keeps a `%` and drops characters that are not
        // allowed in URLs.
        if !text.contains(['%', '#', '\n', '\t', '\r']) {
            url.set_query(Some(&format!("k={text}")));
            written.push(url.query().unwrap()[2..].into());
        }
    }
    written
}

/// Values that no encoding shortens at their ends.
fn tokens() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[A-Za-z0-9_-]{8,60}".prop_map(String::into_bytes),
        "[a-z][ -~]{6,60}[a-z]".prop_map(String::into_bytes),
        "[a-z][ -~éß漢😀\n\t/]{6,40}[a-z]".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 8..40),
    ]
}

proptest! {
    #[test]
    fn no_form_comes_through(value in tokens()) {
        let redactor = Redactor::new([("key".into(), super::value(value.clone()))]);
        for form in written(&value) {
            let text = [b"\n<", form.as_slice(), b">\n"].concat();
            let redacted = redactor.bytes(&text);
            prop_assert_eq!(&*redacted, b"\n<[secret key]>\n", "{:?}", String::from_utf8_lossy(&form));
        }
    }

    /// Base64 of larger data, as in basic credentials or a data URL: only part of one byte remains at either end.
    #[test]
    fn base64_of_something_larger(
        value in "[a-z][ -~]{20,60}[a-z]", before in any::<Vec<u8>>(), after in any::<Vec<u8>>(),
    ) {
        let redactor = Redactor::new([("key".into(), super::value(value.clone()))]);
        let all = [before.as_slice(), value.as_bytes(), &after].concat();
        for engine in [general_purpose::STANDARD, general_purpose::URL_SAFE_NO_PAD] {
            let text = engine.encode(&all);
            let redacted = redactor.text(&text).into_owned();
            let (start, end) = redacted.split_once("[secret key]").unwrap();
            prop_assert!(text.starts_with(start) && text.ends_with(end.trim_start_matches("[secret key]")));
            // A character at a border encodes bits of both sides.
            prop_assert!(start.len() <= (before.len() * 8).div_ceil(6));
            prop_assert!(end.trim_end_matches('=').len() <= (after.len() * 8).div_ceil(6) + 1);
        }
    }
}

#[test]
fn services_echo_in_many_ways() {
    let redactor = Redactor::new([("key".into(), value("a/b \"c\" <d>é&"))]);
    for echo in [
        r#"a/b \"c\" <d>é&"#,
        r#"a\/b \"c\" <d>\u00e9&"#,
        r#"a/b \"c\" \u003cd\u003e\u00e9\u0026"#,
        r#"a/b \"c\" \u003cd\u003eé\u0026"#,
        r"a/b \u0022c\u0022 \u003Cd\u003E\u00E9\u0026",
        r#"a/b \\\"c\\\" <d>é&"#,
        "a/b%20%22c%22%20%3Cd%3E%C3%A9%26",
        "a%2fb+%22c%22+%3cd%3e%c3%a9%26",
        "a/b%20%22c%22%20%3Cd%3E%C3%A9&",
        "%61%2F%62%20%22%63%22%20%3C%64%3E%C3%A9%26",
        "a/b &quot;c&quot; &lt;d&gt;é&amp;",
        "a/b \"c\" &lt;d&gt;é&amp;",
        "a/b \"c\" <d>\u{c3}\u{a9}&",
        r#"a/b \"c\" <d>\u00c3\u00a9&"#,
    ] {
        assert_eq!(redactor.text(&format!("<{echo}>")), "<[secret key]>", "{echo}");
    }
    let credentials = general_purpose::STANDARD.encode("user:a/b \"c\" <d>é&");
    assert!(redactor.text(&credentials).ends_with("[secret key]"));
}
