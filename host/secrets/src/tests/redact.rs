//! Redaction in chunks of any size, compared with a plain search for every form.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::{
    super::redact::{Redactor, Release, forms},
    *,
};

fn redactor(values: &[&[u8]]) -> Redactor {
    Redactor::new(values.iter().enumerate().map(|(i, bytes)| (format!("s{i}"), value(*bytes))))
}

/// Pushes a text in chunks whose lengths cycle through `cuts`.
fn streamed(redactor: &Redactor, release: Release, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut stream, mut rest, mut cuts) = (redactor.stream(release), text, cuts.iter().cycle());
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        out.extend(stream.push(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    out.extend(stream.finish());
    out
}

/// Searches for each form everywhere, and replaces overlapping ones with one marker.
fn expected(values: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let mut spans = Vec::new();
    for (secret, value) in values.iter().enumerate().filter(|(_, value)| value.len() >= 4) {
        for form in forms::encoded_forms(value) {
            let found = text.windows(form.len()).enumerate().filter(|(_, window)| *window == form);
            spans.extend(found.map(|(start, _)| (start, start + form.len(), secret)));
        }
    }
    spans.sort();
    let mut merged: Vec<(usize, usize, usize)> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.0 < last.1 => last.1 = last.1.max(span.1),
            _ => merged.push(span),
        }
    }
    let (mut out, mut done) = (Vec::new(), 0);
    for (start, end, secret) in merged {
        out.extend_from_slice(&text[done..start]);
        out.extend(format!("[secret s{secret}]").bytes());
        done = end;
    }
    out.extend_from_slice(&text[done..]);
    out
}

proptest! {
    #[test]
    fn every_occurrence_and_nothing_else(
        values in prop::collection::vec("[ab]{1,9}", 1..4), text in "[ab=]{0,200}",
        cuts in prop::collection::vec(1_usize..12, 1..6),
    ) {
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let redactor = redactor(&values);
        let expected = expected(&values, text.as_bytes());
        for release in [Release::Early, Release::Late, Release::Lines] {
            prop_assert_eq!(&streamed(&redactor, release, text.as_bytes(), &cuts), &expected);
        }
        prop_assert_eq!(redactor.bytes(text.as_bytes()).into_owned(), expected);
    }

    #[test]
    fn a_text_without_a_secret_stays(text in any::<Vec<u8>>(), cuts in prop::collection::vec(1_usize..40, 1..6)) {
        let redactor = redactor(&[b"a-secret-that-no-text-has", &[0xfe; 20], b"abc", "geheimes Wört".as_bytes()]);
        for release in [Release::Early, Release::Late, Release::Lines] {
            prop_assert_eq!(&streamed(&redactor, release, &text, &cuts), &text);
        }
        prop_assert!(matches!(redactor.bytes(&text), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn only_what_may_begin_a_secret_is_held_back(text in "[ab ]{0,40}", cut in 1_usize..10) {
        let values: [&[u8]; 1] = [b"aabbaabb"];
        let mut stream = redactor(&values).stream(Release::Early);
        let (mut pushed, mut out) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(cut) {
            pushed.extend_from_slice(piece);
            out.extend(stream.push(Bytes::copy_from_slice(piece)));
            if pushed.windows(8).any(|window| window == values[0]) {
                break;
            }
            let begins = |form: &Vec<u8>, count| pushed.ends_with(form.get(..count).unwrap_or(b"-"));
            let may_begin = |count: &usize| forms::encoded_forms(values[0]).iter().any(|form| begins(form, *count));
            let held = (1..=pushed.len()).rev().find(may_begin).unwrap_or(0);
            prop_assert_eq!(&out, &pushed[..pushed.len() - held]);
        }
    }

    #[test]
    fn long_values_are_replaced_whole(
        seed in any::<u64>(), length in 900_usize..5000, cuts in prop::collection::vec(1_usize..3000, 1..5),
        form in 0_usize..30,
    ) {
        let byte = |i: u64| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).to_le_bytes()[2];
        let letter = |i| if seed % 2 == 0 { byte(i) } else { b' ' + byte(i) % 95 };
        let bytes: Vec<u8> = (0..length as u64).map(letter).collect();
        // Skips forms that end before the last byte of others: they leave the rest of those, which is not secret.
        let forms: Vec<_> = forms::encoded_forms(&bytes).into_iter().filter(|form| form.len() >= bytes.len()).collect();
        let form = &forms[form % forms.len()];
        let text = [b"\xff\xfd before ", form.as_slice(), &[0xff; 40_000]].concat();
        let redactor = redactor(&[&bytes]);
        let out = redactor.bytes(&text).into_owned();
        // A longer form may begin with the same bytes, and its length is replaced.
        let rest = out.strip_prefix(b"\xff\xfd before [secret s0]").unwrap();
        prop_assert!(rest.len() <= 40_000 && rest.iter().all(|byte| *byte == 0xff));
        for release in [Release::Early, Release::Late] {
            prop_assert_eq!(&streamed(&redactor, release, &text, &cuts), &out);
        }
    }
}

#[test]
fn what_follows_the_beginning_of_a_long_value_is_replaced_whatever_it_is() {
    let bytes: Vec<u8> = (0..3000).flat_map(|i: u32| format!("{i},").into_bytes()).collect();
    let redactor = redactor(&[&bytes]);
    let whole = [b"<", &bytes[..], b"> after"].concat();
    let mut stopped = whole.clone();
    stopped[2000..bytes.len()].fill(b'?');
    for cut in [1, 7, 1024, 10_000] {
        for text in [&whole, &stopped] {
            let out = streamed(&redactor, Release::Late, text, &[cut]);
            assert_eq!(String::from_utf8_lossy(&out), "<[secret s0]> after");
        }
        // No value continues in the next line.
        let text = [&bytes[..2000], b"\r\n", &bytes, b"\n"].concat();
        let out = streamed(&redactor, Release::Lines, &text, &[cut]);
        assert_eq!(String::from_utf8_lossy(&out), "[secret s0]\r\n[secret s0]\n");
    }
}

#[test]
fn lines_are_released_at_their_ends() {
    let mut stream = redactor(&[b"hunter22"]).stream(Release::Lines);
    assert_eq!(stream.push("data: hunter2".into()), "");
    assert_eq!(stream.push("2\n\ndata: hun".into()), "data: [secret s0]\n\n");
    assert_eq!(stream.push("ter".into()), "");
    assert_eq!(stream.finish(), "data: hunter");
    // A value with a line break is found across lines.
    let mut stream = redactor(&[b"hunter\n22"]).stream(Release::Lines);
    assert_eq!(stream.push("data: hunter\n".into()), "");
    assert_eq!(stream.push("22\n".into()), "");
    assert_eq!(stream.finish(), "data: [secret s0]\n");
}

#[test]
fn json_is_cleaned_in_names_strings_and_numbers() {
    let mut value = json!({ "a": ["x", "my hunter22 key"], "hunter22": { "n": 12345678, "m": 1 }, "b": null });
    redactor(&[b"hunter22", b"12345678"]).json(&mut value);
    let redacted =
        json!({ "a": ["x", "my [secret s0] key"], "[secret s0]": { "n": "[secret s1]", "m": 1 }, "b": null });
    assert_eq!(value, redacted);
}

#[test]
fn headers_are_cleaned_and_names_dropped() {
    let mut headers = HeaderMap::new();
    headers.insert("location", "https://example.com/?key=Hunter%2022".parse().unwrap());
    headers.append("set-cookie", "a=SHVudGVyIDIy".parse().unwrap());
    headers.append("set-cookie", "b=1".parse().unwrap());
    headers.insert("x-hunter22-y", "1".parse().unwrap());
    redactor(&[b"Hunter 22", b"Hunter22"]).headers(&mut headers);
    assert_eq!(headers["location"], "https://example.com/?key=[secret s0]");
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=[secret s0]", "b=1"]);
    assert_eq!(headers.len(), 3);
}

#[test]
fn without_secrets_nothing_is_done() {
    let redactor = Redactor::default();
    assert_eq!(redactor.text("text"), "text");
    let mut stream = redactor.stream(Release::Late);
    assert_eq!(stream.push(Bytes::from_static(b"text")), "text");
    assert_eq!(stream.finish(), "");
}
