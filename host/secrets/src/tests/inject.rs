//! Places that may carry a secret, and requests that are rejected.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::inject::{Injected, MAX_BODY_BYTES, Refusal},
    *,
};

const VALUE: &str = "s3cr3t-v@lue/1";

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

/// Sends a request for `https://api.example.com/` with these headers and this body.
fn send(injector: &Injector, pairs: &[(&str, &str)], body: &str) -> Result<Injected, Refusal> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    injector.inject(&url("https://api.example.com/"), &headers(pairs), Some(&body))
}

fn refusal(result: Result<Injected, Refusal>) -> String {
    let text = result.err().expect("it is refused").to_string();
    assert!(!text.contains(VALUE));
    text
}

#[test]
fn a_granted_header_carries_the_value() {
    let (injector, placeholder) = granted(VALUE, &["header:Authorization"]);
    let before = headers(&[("authorization", &format!("Bearer {placeholder}")), ("accept", "*/*")]);
    let url = url("https://api.example.com/a?b=c");
    let sent = injector.inject(&url, &before, None).ok().unwrap();
    assert_eq!(sent.headers["authorization"], format!("Bearer {VALUE}"));
    assert!(sent.headers["authorization"].is_sensitive() && !sent.headers["accept"].is_sensitive());
    assert_eq!((sent.url, sent.body), (url, None));
    assert_eq!(sent.uses, [("key".to_owned(), Place::Header("authorization".into()))]);
    assert_eq!(before["authorization"], format!("Bearer {placeholder}"));
}

#[test]
fn a_secret_goes_to_no_other_host_scheme_or_place() {
    let (injector, placeholder) = granted(VALUE, &["header:Authorization"]);
    let carrying = headers(&[("authorization", &placeholder)]);
    for to in ["https://evil.example.com/", "http://api.example.com/", "https://api.example.com.evil.com/"] {
        let text = refusal(injector.inject(&url(to), &carrying, None));
        assert!(text.contains("`key` is not granted for requests to http"), "{text}");
    }
    let text = refusal(send(&injector, &[("x-key", &placeholder)], ""));
    assert_eq!(
        text,
        "the secret `key` is not granted for the place `header:x-key` of requests to https://api.example.com"
    );
    for (to, place) in [("/{}", "`path`"), ("/?key={}", "`query:key`")] {
        let to = format!("https://api.example.com{}", to.replace("{}", &placeholder));
        assert!(refusal(injector.inject(&url(&to), &HeaderMap::new(), None)).contains(place));
    }
    let basic = format!("Basic {}", base64(format!("u:{placeholder}")));
    assert!(refusal(send(&injector, &[("authorization", &basic)], "")).contains("`basic`"));
    assert!(refusal(send(&injector, &[], &placeholder)).contains("`body`"));
}

#[test]
fn a_placeholder_where_no_grant_can_be_is_refused() {
    let every = ["header:a", "basic", "path", "query:key", "body"];
    let (injector, placeholder) = granted(VALUE, &every);
    for to in [
        "https://{}.example.com/",
        "https://{}@api.example.com/",
        "https://u:{}@api.example.com/",
        "https://api.example.com/#{}",
        "https://api.example.com/?{}",
        "https://api.example.com/?{}=1",
        "https://api.example.com/?a%20b={}",
    ] {
        let text = refusal(injector.inject(&url(&to.replace("{}", &placeholder)), &HeaderMap::new(), None));
        assert!(text.contains("no secret is put in"), "{text}");
    }
    for pairs in [[(placeholder.as_str(), "1")], [("content-length", &placeholder)], [("host", &placeholder)]] {
        assert!(refusal(send(&injector, &pairs, "")).contains("no secret is put in"));
    }
    let json = [("content-type", "application/json")];
    for body in [format!("{{\"{placeholder}\" : 1}}"), format!("[\"{placeholder}\"")] {
        assert!(refusal(send(&injector, &json, &body)).contains("no secret is put in"));
    }
    let plain = [("content-type", "text/plain")];
    let twice = [("content-type", "application/json"), ("content-type", "text/plain")];
    for pairs in [&plain[..], &twice, &[]] {
        let text = refusal(send(&injector, pairs, &format!("\"{placeholder}\"")));
        assert!(text.contains("neither JSON nor a form"), "{text}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert!(refusal(send(&injector, &form, &format!("a=1&{placeholder}=2"))).contains("name of a parameter"));
    assert!(injector.check_trailers(&headers(&[("a", &placeholder)])).is_err());
    assert!(injector.check_trailers(&headers(&[("a", "b")])).is_ok());
}

#[test]
fn a_split_changed_or_strange_placeholder_is_refused() {
    let (injector, placeholder) = granted(VALUE, &["header:a", "header:b", "body"]);
    for at in 1..Placeholder::LENGTH_BYTES {
        let (one, other) = placeholder.split_at(at);
        assert!(send(&injector, &[("a", one), ("b", other)], "").is_err(), "{at}");
    }
    assert!(send(&injector, &[("a", &placeholder.to_lowercase())], "").is_err());
    assert!(send(&injector, &[("a", &placeholder.to_uppercase())], "").is_err());
    let strange = Placeholder::random().unwrap();
    assert!(refusal(send(&injector, &[("a", strange.as_str())], "")).contains("no secret of this call"));
    // A conversation may contain one of another call.
    let body = format!("[\"{}\",\"{placeholder}\"]", strange.as_str());
    let sent = send(&injector, &[("content-type", "application/json")], &body).ok().unwrap();
    assert_eq!(sent.body.unwrap(), body.replace(&placeholder, VALUE));
    let sent = send(&injector, &[], strange.as_str()).ok().unwrap();
    assert!(sent.uses.is_empty() && sent.body.unwrap() == strange.as_str());
}

#[test]
fn a_value_is_never_part_of_an_escape() {
    let (injector, placeholder) = granted("2f2f2f2f", &["path", "query:key"]);
    for to in ["/%P", "/%2P", "/?key=%P", "/?key=%aP", "/a%/P"] {
        let to = url(&format!("https://api.example.com{}", to.replace('P', &placeholder)));
        assert!(refusal(injector.inject(&to, &HeaderMap::new(), None)).contains("without two digits"));
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let unfit = |bytes: &[u8], place: &str, make: fn(&str) -> String| {
        let (injector, placeholder) = granted(bytes, &[place]);
        let json = ("content-type", "application/json");
        match place {
            "body" => refusal(send(&injector, &[json], &make(&placeholder))),
            _ => refusal(send(&injector, &[("authorization", &make(&placeholder))], "")),
        }
    };
    let bearer = |text: &str| format!("Bearer {text}");
    for bytes in [&b"12345678\n"[..], b"1234\r\nX: y", b"1234\x005678"] {
        assert!(unfit(bytes, "header:authorization", bearer).contains("line break"));
    }
    assert!(unfit(b"1234567", "header:authorization", bearer).contains("shorter than 8"));
    assert!(unfit(b"user:name", "basic", |text| format!("Basic {}", base64(format!("{text}:p")))).contains("colon"));
    assert!(unfit(b"1234567\xff", "body", |text| format!("\"{text}\"")).contains("not text"));
}

#[test]
fn a_body_has_its_new_length_and_a_bound() {
    let (injector, placeholder) = granted("quote\"back\\", &["body"]);
    let body = format!("{{\"a\": [\"x\\\"\", \"{placeholder}\"], \"b\" :1.50}}");
    let length = body.len().to_string();
    let pairs = [("content-type", "application/vnd.api+json; charset=utf-8"), ("content-length", &length)];
    let sent = send(&injector, &pairs, &body).ok().unwrap();
    let body = sent.body.unwrap();
    assert_eq!(body, r#"{"a": ["x\"", "quote\"back\\"], "b" :1.50}"#);
    assert_eq!(sent.headers["content-length"], body.len().to_string());
    let large = format!("\"{}{placeholder}\"", " ".repeat(MAX_BODY_BYTES));
    assert!(refusal(send(&injector, &pairs[..1], &large)).contains("larger than"));
    let (injector, placeholder) = granted(vec![b'x'; 64 * 1024], &["body"]);
    assert!(send(&injector, &pairs[..1], &format!("\"{}\"", placeholder.repeat(16))).is_ok());
    assert!(send(&injector, &pairs[..1], &format!("\"{}\"", placeholder.repeat(17))).is_err());
}

#[test]
fn bodies_are_wanted_where_they_may_carry_a_secret() {
    let (injector, _) = granted(VALUE, &["body"]);
    assert!(injector.wants_body(&url("https://api.example.com/")));
    assert!(!injector.wants_body(&url("https://example.com/")));
    assert!(!granted(VALUE, &["path"]).0.wants_body(&url("https://api.example.com/")));
}

#[test]
fn a_secret_that_is_only_revealed_goes_nowhere() {
    let (injector, placeholder) = granted(VALUE, &[]);
    assert!(refusal(send(&injector, &[("a", &placeholder)], "")).contains("not granted for requests"));
}

proptest! {
    #[test]
    fn a_stream_is_watched_whatever_its_pieces(
        before in prop::collection::vec(any::<u8>(), 0..100), cuts in prop::collection::vec(1_usize..60, 1..20),
    ) {
        let (injector, placeholder) = granted(VALUE, &["body"]);
        let text = [before.as_slice(), placeholder.as_bytes(), &before].concat();
        let pushed = |text: &[u8]| {
            let (mut watch, mut rest, mut cuts) = (injector.watch(), text, cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                watch.push(piece)?;
                rest = after;
            }
            Ok::<_, Refusal>(())
        };
        prop_assert!(pushed(&text).is_err());
        prop_assert!(pushed(&before).is_ok());
    }

    /// Requests with placeholders anywhere among syntactically significant characters.
    #[test]
    fn nothing_panics_and_no_refusal_tells_the_value(
        pieces in prop::collection::vec("[/?&#=:;%a.\\\\\"{}\\[\\], ]|[^\u{0}]{0,3}", 0..30), every in 1_usize..8,
        kind in prop::sample::select(vec!["application/json", "application/x-www-form-urlencoded", "text/plain"]),
    ) {
        let (injector, placeholder) = granted(VALUE, &["header:a", "basic", "path", "query:a", "body"]);
        let put = |(i, piece): (usize, &String)| if i % every == 0 { placeholder.clone() } else { piece.clone() };
        let text: String = pieces.iter().enumerate().map(put).collect();
        let url = Url::parse(&format!("https://api.example.com/{text}")).unwrap_or(url("https://api.example.com"));
        let mut headers = headers(&[("content-type", kind)]);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert("a", value);
        }
        let body = Bytes::from(text);
        for (url, headers, body) in [
            (&url, &HeaderMap::new(), None),
            (&"https://api.example.com".parse().unwrap(), &headers, Some(&body)),
        ] {
            match injector.inject(url, headers, body) {
                Err(refusal) => prop_assert!(!refusal.to_string().contains(VALUE)),
                Ok(sent) if sent.uses.is_empty() => {
                    prop_assert_eq!((&sent.url, &sent.headers, sent.body.as_ref()), (url, headers, body));
                }
                Ok(_) => {}
            }
        }
    }
}

fn base64(text: String) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
