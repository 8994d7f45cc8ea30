//! Values that are put into requests.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use moxxy_secrets::{Injectable, Injected, Injector, Place, Placeholder, Rule, Value};
use url::Url;

const VALUE: &str = "v/a?l&u=e\"#%: \\<é>";
/// Stands for the placeholder.
const MARK: char = '\u{1}';

struct Request {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// A path with a query, lines of headers, and a JSON body, with zeros between them.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(placeholder) = Placeholder::random() else { return };
    let Some(request) = request(text, placeholder.as_str()) else { return };
    let rules = ["basic", "path", "body", "header:authorization", "header:x-key", "query:key"];
    let all = |_: &Url| true;
    let rules: Vec<_> = rules.iter().filter_map(|place| rule(place, all)).collect();
    let injector = |rules: Vec<Rule>| {
        let value = Value::new(VALUE.as_bytes().to_vec()).expect("it is of a good length");
        Injector::new(vec![Injectable { name: "key".into(), placeholder: placeholder.clone(), value, rules }])
    };
    let send = |rules| injector(rules).inject(&request.url, &request.headers, Some(&request.body));
    if let Ok(injected) = send(rules) {
        fits(&request, &injected, placeholder.as_str());
    }
    // Without a grant nothing is put in, and no placeholder goes out.
    match send(Vec::new()) {
        Ok(injected) => {
            assert!(injected.uses.is_empty());
            assert!(!injected.url.as_str().contains(placeholder.digits()));
            assert_eq!(injected.headers, request.headers);
        }
        Err(refusal) => assert!(!refusal.to_string().contains(VALUE)),
    }
}

fn rule(place: &str, admits: fn(&Url) -> bool) -> Option<Rule> {
    Some(Rule { place: place.parse::<Place>().ok()?, admits: Arc::new(admits) })
}

fn request(text: &str, placeholder: &str) -> Option<Request> {
    let text = text.replace(MARK, placeholder);
    let mut parts = text.split('\0');
    let url = Url::parse("https://api.example.com/").ok()?.join(parts.next()?).ok()?;
    if url.scheme() != "https" {
        return None;
    }
    let mut headers = HeaderMap::new();
    for line in parts.next().unwrap_or_default().lines() {
        let (name, value) = line.split_once(':')?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(Request { url, headers, body: Bytes::from(parts.next().unwrap_or_default().to_owned()) })
}

/// What was put in ended nothing and began nothing where it stands.
fn fits(request: &Request, injected: &Injected, placeholder: &str) {
    assert_eq!(injected.url.origin(), request.url.origin());
    let segments = |url: &Url| url.path().split('/').count();
    assert_eq!(segments(&injected.url), segments(&request.url));
    let parameters = |url: &Url| url.query().map(|query| query.split('&').count());
    assert_eq!(parameters(&injected.url), parameters(&request.url));
    assert_eq!(injected.url.fragment(), request.url.fragment());
    assert!(injected.headers.keys().eq(request.headers.keys()));
    assert_eq!(injected.headers.len(), request.headers.len());
    assert!(!injected.url.as_str().contains(placeholder));
    let Some(body) = &injected.body else { return };
    let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    if let Some(before) = read(&request.body) {
        let mut expected = before;
        replaced(&mut expected, placeholder);
        assert_eq!(read(body), Some(expected));
    }
}

fn replaced(json: &mut serde_json::Value, placeholder: &str) {
    match json {
        serde_json::Value::String(text) => *text = text.replace(placeholder, VALUE),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replaced(item, placeholder)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|field| replaced(field, placeholder)),
        _ => {}
    }
}
