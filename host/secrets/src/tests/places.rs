//! Injected values are recovered byte for byte from their places, and nothing around them changes.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;
use url::form_urlencoded;

use super::{
    super::{
        inject::{Injected, Refusal},
        redact::Redactor,
    },
    *,
};

fn get(injector: &Injector, path: &str) -> (Url, Url) {
    let before: Url = format!("https://{HOST}{path}").parse().unwrap();
    let after = injector.inject(&before, &HeaderMap::new(), None).ok().unwrap().url;
    (before, after)
}

fn post(injector: &Injector, kind: &str, body: &str) -> Result<Injected, Refusal> {
    let headers = [(http::header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
    injector.inject(&"https://api.example.com".parse().unwrap(), &headers, Some(&Bytes::from(body.to_owned())))
}

fn authorization(injector: &Injector, value: &str) -> Result<HeaderValue, Refusal> {
    let headers = [(http::header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
    let sent = injector.inject(&"https://api.example.com".parse().unwrap(), &headers, None)?;
    Ok(sent.headers["authorization"].clone())
}

/// Returns a copy of a value with `f` applied to each string.
fn map(value: Json, f: &dyn Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(f(&text)),
        Json::Array(items) => items.into_iter().map(|item| map(item, f)).collect(),
        Json::Object(fields) => fields.into_iter().map(|(name, value)| (name, map(value, f))).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn in_a_path(value in values(), first in "[a-z.%]{0,5}", last in "[a-z.]{0,5}") {
        let first = first.replace('%', "%2E");
        let (injector, placeholder) = granted(value.clone(), &["path"]);
        let (before, after) = get(&injector, &format!("/x{first}/bot{placeholder}{last}/y?q=1"));
        let segments = |url: &Url| url.path_segments().unwrap().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (segments(&before), segments(&after));
        prop_assert_eq!(old.len(), new.len());
        for (old, new) in old.iter().zip(&new) {
            match old.split_once(&placeholder) {
                None => prop_assert_eq!(old, new),
                Some((start, end)) => {
                    let filled = new.strip_prefix(start).unwrap().strip_suffix(end).unwrap();
                    prop_assert_eq!(percent_decode_str(filled).collect::<Vec<_>>(), value.clone());
                    prop_assert_eq!(filled.matches(':').count(), value.iter().filter(|b| **b == b':').count());
                }
            }
        }
        prop_assert_eq!((before.query(), before.origin(), after.fragment()), (after.query(), after.origin(), None));
        let redacted = Redactor::new([("key".into(), super::value(value))]);
        prop_assert!(redacted.text(after.as_str()).contains("bot[secret key]"));
    }

    #[test]
    fn in_a_query(value in values(), before in "[a-z=&%+]{0,9}", after in "[a-z=%+]{0,5}") {
        let (before, after) = (before.replace('%', "%e9%3D"), after.replace('%', "%26"));
        let (injector, placeholder) = granted(value.clone(), &["query:key"]);
        let (old, new) = get(&injector, &format!("/p?{before}&key={after}{placeholder}&z=1"));
        prop_assert_eq!((old.path(), new.fragment()), (new.path(), None));
        let parameters = |text: &str| {
            let parameters = text.split('&').map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
            let decoded = |value: &str| percent_decode_str(value).collect::<Vec<_>>();
            parameters.map(|(name, value)| (name.to_owned(), decoded(value))).collect::<Vec<_>>()
        };
        let (old, new) = (parameters(old.query().unwrap()), parameters(new.query().unwrap()));
        prop_assert_eq!(old.len(), new.len());
        for ((name, old), (same, new)) in old.into_iter().zip(new) {
            prop_assert_eq!(&name, &same);
            let start = old.len().saturating_sub(placeholder.len());
            match old.ends_with(placeholder.as_bytes()) {
                true => prop_assert_eq!([&old[..start], &value].concat(), new),
                false => prop_assert_eq!(old, new),
            }
        }
    }

    #[test]
    fn in_a_form(value in values()) {
        let (injector, placeholder) = granted(value.clone(), &["body"]);
        let body = format!("a=1&token=x{placeholder}&b=+");
        let sent = post(&injector, "application/x-www-form-urlencoded", &body).ok().unwrap();
        let body = sent.body.unwrap();
        let pairs: Vec<_> = form_urlencoded::parse(&body).collect();
        let value = format!("x{}", String::from_utf8_lossy(&value));
        prop_assert_eq!(pairs, [("a".into(), "1".into()), ("token".into(), value.into()), ("b".into(), " ".into())]);
    }

    #[test]
    fn in_a_header(value in values()) {
        let (injector, placeholder) = granted(value.clone(), &["header:authorization"]);
        let fits = value.iter().all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f);
        match authorization(&injector, &format!("Bearer {placeholder}, x={placeholder}")) {
            Ok(sent) => prop_assert_eq!(sent.as_bytes(), [b"Bearer ", value.as_slice(), b", x=", &value].concat()),
            Err(refusal) => {
                let unfit = matches!(refusal, Refusal::Unfit { .. });
                prop_assert!(!fits && unfit);
            }
        }
    }

    #[test]
    fn in_basic_credentials(
        value in values(), user in "[a-z]{0,4}", as_user in any::<bool>(), alone in any::<bool>(),
    ) {
        let (injector, placeholder) = granted(value.clone(), &["basic"]);
        let (before, after) = match (as_user, alone) {
            (_, true) => ("".to_owned(), "".to_owned()),
            (true, _) => (user.clone(), ":p".into()),
            (false, _) => (format!("{user}:"), "".into()),
        };
        let credentials = STANDARD.encode(format!("{before}{placeholder}{after}"));
        let sent = authorization(&injector, &format!("basic {credentials}"));
        let control = value.iter().any(|b| b.is_ascii_control() && *b != b'\t');
        match sent {
            Ok(sent) => {
                let decoded = STANDARD.decode(sent.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
                prop_assert_eq!(decoded, [before.as_bytes(), &value, after.as_bytes()].concat());
                let redacted = Redactor::new([("key".into(), super::value(value))]);
                prop_assert!(redacted.text(sent.to_str().unwrap()).contains("[secret key]"));
            }
            Err(_) => prop_assert!(control || as_user && !alone && value.contains(&b':')),
        }
    }

    /// Texts of JSON tokens, most of which are not valid JSON.
    #[test]
    fn in_json(
        value in any::<String>().prop_filter("long enough", |text| text.len() >= 8),
        tokens in prop::collection::vec(prop::sample::select(vec![
            "\"P\"", "\"P", "P\"", "\"a\":", "\"P\" :", "{", "}", "[", "]", ",", "\"\\\"P\\\\\"", "\\", "1", "\"é\"",
            " ",
        ]), 0..12),
        wrapped in any::<bool>(),
    ) {
        let (injector, placeholder) = granted(value.clone(), &["body"]);
        let text: String = tokens.concat();
        let text = if wrapped { format!("[\"P\",{{\"a\\\\\":\"x\\\"P\"}},{text}\"P\"]") } else { text };
        let text = text.replace('P', &placeholder);
        if let Ok(sent) = post(&injector, "application/json", &text) {
            let body = sent.body.unwrap();
            match serde_json::from_str::<Json>(&text) {
                Ok(before) => {
                    let expected = map(before, &|text| text.replace(&placeholder, &value));
                    prop_assert_eq!(serde_json::from_slice::<Json>(&body).unwrap(), expected);
                }
                Err(_) => prop_assert_eq!(body, text),
            }
        }
    }
}
