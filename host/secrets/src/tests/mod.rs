//! Injection and redaction, by example and by property.

mod basics;
mod inject;
mod places;
mod redact;
mod redact_forms;

use std::sync::Arc;

use proptest::prelude::*;
use url::Url;

use super::{Injectable, Injector, Place, Placeholder, Rule, Value};

const HOST: &str = "api.example.com";

fn value(bytes: impl Into<Vec<u8>>) -> Value {
    Value::new(bytes.into()).unwrap()
}

/// A secret `key` that may go to https://api.example.com in these places, and its placeholder.
fn granted(bytes: impl Into<Vec<u8>>, places: &[&str]) -> (Injector, String) {
    let secret = injectable("key", bytes, places);
    let placeholder = secret.placeholder.as_str().to_owned();
    (Injector::new(vec![secret]), placeholder)
}

fn injectable(name: &str, bytes: impl Into<Vec<u8>>, places: &[&str]) -> Injectable {
    let admits = Arc::new(|url: &Url| url.scheme() == "https" && url.host_str() == Some(HOST));
    let rule = |place: &&str| Rule { place: place.parse::<Place>().unwrap(), admits: admits.clone() };
    let placeholder = Placeholder::random().unwrap();
    Injectable { name: name.into(), placeholder, value: value(bytes), rules: places.iter().map(rule).collect() }
}

/// Values that are long enough to be injected.
fn values() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b"/?#&=+%:;@ .\\\"'<>\r\n\0abc%2F".to_vec());
    prop_oneof![
        prop::collection::vec(any::<u8>(), 8..80),
        prop::collection::vec(special, 8..40),
        any::<String>().prop_map(String::into_bytes).prop_filter("long enough", |bytes| bytes.len() >= 8),
        "[A-Za-z0-9_-]{20,60}".prop_map(String::into_bytes),
    ]
}
