//! The key of a service, which some want and others do not.

use super::Error;
use crate::{
    http::Request,
    vault::{self, Secret},
};

/// The key of a service that may be granted: a service in the same house often wants none. What has no
/// key is asked without one; if the service then refuses, the operator is told what would grant it.
///
/// ```
/// use moxxy_sdk::{
///     http,
///     provider::{Error, Key, Refusal},
///     testing::{Host, placeholder},
/// };
///
/// fn ask() -> Result<String, Error> {
///     let key = Key::open("key")?;
///     let request = key.bearer(http::get("https://api.example.com/models"));
///     let response = Refusal::check(request.send()?).map_err(|refusal| key.explain(refusal.into()))?;
///     Ok(response.text()?)
/// }
///
/// // In a test:
/// let url = "https://api.example.com/models";
/// let mut host = Host::new().secret("key", "t0ps3cret").response("GET", url, 200, "");
/// assert!(host.run(ask).is_ok());
/// assert_eq!(host.requests()[0].sent_header("Authorization"), Some(&*format!("Bearer {}", placeholder("key"))));
///
/// let mut host = Host::new().response("GET", url, 401, "");
/// let error = host.run(ask).unwrap_err();
/// assert!(matches!(error, Error::Authentication(text) if text.contains("no grant lets")));
/// assert_eq!(host.requests()[0].sent_header("Authorization"), None);
/// ```
#[derive(Debug)]
pub struct Key(State);

#[derive(Debug)]
enum State {
    Granted(Secret),
    /// Why it is not.
    Denied(String),
    Unwanted,
}

impl Key {
    /// Opens the secret that the manifest asks for by this name. See [`Key`] for an example.
    ///
    /// # Errors
    ///
    /// When the vault cannot be read now. That nothing grants the secret is none.
    pub fn open(name: &str) -> Result<Self, Error> {
        match vault::open(name) {
            Ok(secret) => Ok(Self(State::Granted(secret))),
            Err(vault::Error::Denied(reason)) => Ok(Self(State::Denied(reason))),
            Err(vault::Error::Other(reason)) => Err(Error::Other(reason)),
        }
    }

    /// No key, for a service that is known to want none: each attempt to open one that is not granted
    /// is told to the operator.
    ///
    /// ```
    /// let request = moxxy_sdk::provider::Key::none().bearer(moxxy_sdk::http::get("http://localhost:11434/"));
    /// assert_eq!(request.sent_header("Authorization"), None);
    /// ```
    pub fn none() -> Self {
        Self(State::Unwanted)
    }

    /// Puts it into the request as `Authorization: Bearer …`. See [`Key`] for an example.
    pub fn bearer(&self, request: Request) -> Request {
        match &self.0 {
            State::Granted(secret) => request.bearer(secret.placeholder()),
            _ => request,
        }
    }

    /// Puts it into a header by itself.
    ///
    /// ```
    /// use moxxy_sdk::{http, provider::Key, testing};
    ///
    /// let mut host = testing::Host::new().secret("key", "t0ps3cret");
    /// let request = host.run(|| Key::open("key").unwrap().header(http::get("https://example.com/"), "x-api-key"));
    /// assert_eq!(request.sent_header("x-api-key"), Some(&*testing::placeholder("key")));
    /// ```
    pub fn header(&self, request: Request, name: &str) -> Request {
        match &self.0 {
            State::Granted(secret) => request.header(name, secret.placeholder()),
            _ => request,
        }
    }

    /// Says of a service that does not let us in that it was asked without a key, and why. See [`Key`]
    /// for an example.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        match (error, &self.0) {
            (Error::Authentication(text), State::Denied(reason)) => {
                Error::Authentication(format!("{text}. It was asked without a key: {reason}"))
            }
            (error, _) => error,
        }
    }
}
