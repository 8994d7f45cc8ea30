//! Redaction of a call's secrets from the output of a component and the responses to it. Each of the [`forms`] of
//! a value is replaced with `[secret NAME]`.
//!
//! Values under 4 bytes are not redacted: they occur in too many texts by chance, and cannot be injected into
//! requests either.

mod automaton;
pub mod forms;
mod json;
mod stream;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json};

use self::{automaton::Automaton, stream::Search};
use super::value::Value;

pub use self::{
    automaton::MAX_PATTERN_BYTES,
    stream::{Release, Stream},
};

/// Redactor of all secrets that a call was granted, in any mode. Clones share the automaton.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Secrets>);

#[derive(Default)]
struct Secrets {
    named_values: Vec<(String, Value)>,
    /// Built on first use.
    search: OnceLock<Search>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Takes the secrets with the names that replace them.
    pub fn new(secrets: impl IntoIterator<Item = (String, Value)>) -> Self {
        let named_values =
            secrets.into_iter().filter(|(_, value)| value.expose().len() >= forms::MIN_FORM_BYTES).collect();
        Self(Arc::new(Secrets { named_values, search: OnceLock::new() }))
    }

    /// Returns whether both redact the same secrets, as clones do.
    pub fn shares_secrets_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns a stream that redacts chunks of bytes.
    pub fn stream(&self, release: Release) -> Stream {
        Stream::new(self.search(), release)
    }

    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.stream(Release::Late).redact_all(bytes).map_or(Cow::Borrowed(bytes), Cow::Owned)
    }

    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.stream(Release::Late).redact_all(text.as_bytes()) {
            Some(redacted) => Cow::Owned(String::from_utf8_lossy(&redacted).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// Redacts strings, field names and numbers. A number with a secret in it becomes a string.
    pub fn json(&self, value: &mut Json) {
        match value {
            Json::String(text) => self.replace(text),
            Json::Number(number) => {
                if let Cow::Owned(redacted) = self.text(&number.to_string()) {
                    *value = Json::String(redacted);
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Json::Object(fields) => {
                *fields =
                    std::mem::take(fields).into_iter().map(|field| self.redact_field(field)).collect::<Map<_, _>>();
            }
            Json::Null | Json::Bool(_) => {}
        }
    }

    /// Redacts the values of headers or trailers, and removes those with a secret in their name.
    pub fn headers(&self, headers: &mut HeaderMap) {
        let contains_secret = |name: &HeaderName| matches!(self.text(name.as_str()), Cow::Owned(_));
        let named: Vec<_> = headers.keys().filter(|name| contains_secret(name)).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if let Cow::Owned(redacted) = self.bytes(value.as_bytes()) {
                *value = HeaderValue::from_bytes(&redacted).unwrap_or(HeaderValue::from_static(stream::WITHHELD));
            }
        }
    }

    fn redact_field(&self, (mut name, mut value): (String, Json)) -> (String, Json) {
        self.replace(&mut name);
        self.json(&mut value);
        (name, value)
    }

    pub fn replace(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.text(text) {
            *text = redacted;
        }
    }

    fn search(&self) -> Search {
        if self.0.named_values.is_empty() {
            return Search::NoSecrets;
        }
        let build = || match Automaton::new(&self.0.named_values) {
            Ok(automaton) => Search::Secrets(Arc::new(automaton)),
            Err(error) => {
                tracing::error!(%error, "failed to build the automaton of secrets: everything is withheld");
                Search::WithholdAll
            }
        };
        self.0.search.get_or_init(build).clone()
    }
}
