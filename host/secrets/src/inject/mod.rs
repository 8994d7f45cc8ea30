//! Puts the values of secrets into a request as it leaves, where their placeholders stand and their
//! grants allow it. A placeholder anywhere else refuses the request. What is put in is encoded for
//! its place, so that it can end nothing and begin nothing there.

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

/// Of a value that is put into requests: shorter ones stand in too many texts by chance for their
/// traces to be removed again.
pub const SHORTEST: usize = 8;
/// Of a body that is searched, and of all that is put into one request.
pub const LARGEST: usize = 1024 * 1024;

/// A secret that a call has opened.
#[derive(Clone)]
pub struct Injectable {
    /// The name that the component opened it by.
    pub name: String,
    pub placeholder: Placeholder,
    pub value: Value,
    /// Empty for one that was opened to sign or to be revealed only.
    pub rules: Vec<Rule>,
}

/// Where a grant lets a secret go.
#[derive(Clone)]
pub struct Rule {
    pub place: Place,
    /// Whether a request to this URL may carry it: by scheme, host and port.
    pub admits: Arc<dyn Fn(&Url) -> bool + Send + Sync>,
}

/// What goes out: kept from logs, errors and the component, and not used again for a redirect.
pub struct Injected {
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// Each secret that was put in, with each of its places. Empty if nothing was changed.
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

    /// Whether a body to this URL may carry a secret, so that it is worth collecting up to
    /// [`LARGEST`] bytes of it before it is sent.
    pub fn wants_body(&self, url: &Url) -> bool {
        let rules = self.secrets.iter().flat_map(|secret| &secret.rules);
        rules.into_iter().any(|rule| rule.place == Place::Body && (rule.admits)(url))
    }

    /// A copy of the request with the values in it. `body` is none if there is none, or if it goes
    /// out in a stream under a [`Watch`].
    pub fn inject(&self, url: &Url, headers: &HeaderMap, body: Option<&Bytes>) -> Result<Injected, Refusal> {
        let mut substitution = Substitution::new(&self.secrets, url);
        let filled = url::fill(&mut substitution, url)?;
        let mut headers = headers::fill(&mut substitution, headers)?;
        let body = body.map(|body| body::fill(&mut substitution, &mut headers, body)).transpose()?;
        Ok(Injected { url: filled, headers, body, uses: substitution.into_uses() })
    }

    /// Looks for placeholders in a body that goes out in a stream.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.secrets, "a streamed body")
    }

    /// Refuses trailers with a placeholder.
    pub fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), Refusal> {
        let mut names = trailers.keys().map(|name| name.as_str().as_bytes());
        let mut texts = trailers.values().map(|value| value.as_bytes());
        names.try_for_each(|name| watch::refuse(&self.secrets, name, "a trailer"))?;
        texts.try_for_each(|text| watch::refuse(&self.secrets, text, "a trailer"))
    }
}
