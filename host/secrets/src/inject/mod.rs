//! Injection of secrets into requests as they leave. A placeholder is replaced where a grant allows it; a
//! placeholder anywhere else rejects the request. A value is encoded for its place, so that it cannot end or
//! begin anything there.

mod body;
mod headers;
mod refusal;
mod substitution;
mod url;
mod watch;

use std::sync::Arc;

use ::url::Url;
use bytes::Bytes;
use http::HeaderMap;

use self::substitution::Substitution;
use super::{place::Place, placeholder::Placeholder, value::Value};

pub use self::{refusal::Refusal, watch::Watch};

/// Minimum length of an injected value, in bytes: shorter values occur in too many texts by chance to be
/// redacted.
pub const MIN_VALUE_BYTES: usize = 8;
/// Maximum size of a body that is searched, and of all values injected into one request, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A secret that a call has opened.
#[derive(Clone)]
pub struct Injectable {
    /// Name by which the component opened it.
    pub name: String,
    pub placeholder: Placeholder,
    pub value: Value,
    /// Empty if it was opened only to sign or to be revealed.
    pub rules: Vec<Rule>,
}

/// Place and destination that a grant allows.
#[derive(Clone)]
pub struct Rule {
    pub place: Place,
    /// Returns whether a request to this URL may carry the secret, by scheme, host and port.
    pub admits: Arc<dyn Fn(&Url) -> bool + Send + Sync>,
}

/// Request with injected values. It must not reach logs, errors or the component, nor be reused for a redirect.
pub struct Injected {
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// Each injected secret, with each of its places. Empty if nothing was changed.
    pub uses: Vec<(String, Place)>,
}

/// The secrets of a call.
#[derive(Clone, Default)]
pub struct Injector {
    secrets: Vec<Injectable>,
}

impl Injector {
    pub fn new(secrets: Vec<Injectable>) -> Self {
        Self { secrets }
    }

    /// Returns whether a body to this URL may carry a secret. If so, up to [`MAX_BODY_BYTES`] bytes of it are worth
    /// collecting before it is sent.
    pub fn wants_body(&self, url: &Url) -> bool {
        let rules = self.secrets.iter().flat_map(|secret| &secret.rules);
        rules.into_iter().any(|rule| rule.place == Place::Body && (rule.admits)(url))
    }

    /// Returns a copy of the request with the values injected. `body` is `None` if there is none, or if it is
    /// streamed under a [`Watch`].
    pub fn inject(&self, url: &Url, headers: &HeaderMap, body: Option<&Bytes>) -> Result<Injected, Refusal> {
        let mut substitution = Substitution::new(&self.secrets, url);
        let filled = url::fill(&mut substitution, url)?;
        let mut headers = headers::fill(&mut substitution, headers)?;
        let body = body.map(|body| body::fill(&mut substitution, &mut headers, body)).transpose()?;
        Ok(Injected { url: filled, headers, body, uses: substitution.into_uses() })
    }

    /// Returns a watch that rejects placeholders in a streamed body.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.secrets, "a streamed body")
    }

    /// Rejects trailers with a placeholder.
    pub fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), Refusal> {
        let mut names = trailers.keys().map(|name| name.as_str().as_bytes());
        let mut texts = trailers.values().map(|value| value.as_bytes());
        names.try_for_each(|name| watch::refuse(&self.secrets, name, "a trailer"))?;
        texts.try_for_each(|text| watch::refuse(&self.secrets, text, "a trailer"))
    }
}
