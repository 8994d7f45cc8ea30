//! A request, built in one expression.

use std::{fmt::Display, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::{Error, Response, error::is_temporary};
use crate::host;

/// The longest that a service may ask us to wait before we try again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A request that is not sent yet. Begin one with [`get`](super::get), [`post`](super::post) and the
/// like.
#[derive(Debug, Clone)]
#[must_use = "it is not sent yet"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    retries: u32,
    wrong: Option<Error>,
}

impl Request {
    /// Begins a request with any method, in capitals.
    ///
    /// ```
    /// let request = moxxy_sdk::http::Request::new("OPTIONS", "https://example.com/");
    /// ```
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            retries: 0,
            wrong: None,
        }
    }

    /// Adds a header.
    ///
    /// ```
    /// let request = moxxy_sdk::http::get("https://example.com/").header("Accept", "text/html");
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer …`. The token is mostly a secret's placeholder.
    ///
    /// ```
    /// # let mut host = moxxy_sdk::testing::Host::new().secret("token", "t0ps3cret");
    /// # host.run(|| -> Result<(), moxxy_sdk::vault::Error> {
    /// let token = moxxy_sdk::vault::placeholder("token")?;
    /// let request = moxxy_sdk::http::get("https://example.com/").bearer(token);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    pub fn bearer(self, token: impl Display) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds basic authentication. A placeholder may stand for either part.
    ///
    /// ```
    /// let request = moxxy_sdk::http::get("https://example.com/").basic("ada", "password");
    /// ```
    pub fn basic(self, user: impl Display, password: impl Display) -> Self {
        self.header("Authorization", format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Adds a parameter to the query, encoded as it has to be.
    ///
    /// ```
    /// let url = "https://example.com/search?q=caf%C3%A9%20%26%20bar&page=2";
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", url, 200, "");
    /// let request = moxxy_sdk::http::get("https://example.com/search").query("q", "café & bar").query("page", 2);
    /// assert!(host.run(|| request.send()).is_ok());
    /// ```
    pub fn query(mut self, name: impl Display, value: impl Display) -> Self {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let pair = format!("{separator}{}={}", encode(&name.to_string()), encode(&value.to_string()));
        let end = self.url.find('#').unwrap_or(self.url.len());
        self.url.insert_str(end, &pair);
        self
    }

    /// Sets the body.
    ///
    /// ```
    /// let request = moxxy_sdk::http::put("https://example.com/notes/1").body("text/plain", "Buy milk.");
    /// ```
    pub fn body(mut self, media_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", media_type)
    }

    /// Sets a body of JSON.
    ///
    /// ```
    /// let request = moxxy_sdk::http::post("https://example.com/tags").json(&["urgent", "home"]);
    /// ```
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                self.wrong = Some(Error::Invalid(format!("the body is no JSON: {error}")));
                self
            }
        }
    }

    /// Sets a body as web forms send it.
    ///
    /// ```
    /// let request = moxxy_sdk::http::post("https://example.com/login").form(&[("user", "ada"), ("stay", "yes")]);
    /// ```
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.body("application/x-www-form-urlencoded", pairs.join("&"))
    }

    /// Waits no longer than this for the connection, for the response, and for each piece of it. The
    /// operator's limits hold beside it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let request = moxxy_sdk::http::get("https://example.com/").timeout(Duration::from_secs(5));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it up to so many times more, after a while that doubles each time or that the service
    /// names, where it cannot be reached or says that it may answer later. What must not happen twice
    /// needs a key by which the service knows it again.
    ///
    /// ```
    /// let url = "https://example.com/";
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", url, 503, "").response("GET", url, 200, "hello");
    /// let text = host.run(|| moxxy_sdk::http::get(url).retries(2).send()?.text());
    /// assert_eq!(text.as_deref(), Ok("hello"));
    /// assert_eq!(host.requests().len(), 2);
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Returns the URL, with its query.
    ///
    /// ```
    /// let request = moxxy_sdk::http::get("https://example.com/").query("page", 2);
    /// assert_eq!(request.url(), "https://example.com/?page=2");
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a header's first value. The name may be in any letters.
    ///
    /// ```
    /// let request = moxxy_sdk::http::get("https://example.com/").basic("ada", "secret");
    /// assert_eq!(request.sent_header("authorization"), Some("Basic YWRhOnNlY3JldA=="));
    /// ```
    pub fn sent_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the body.
    ///
    /// ```
    /// let request = moxxy_sdk::http::post("https://example.com/").form(&[("a", "b c")]);
    /// assert_eq!(request.sent_body(), b"a=b%20c");
    /// ```
    pub fn sent_body(&self) -> &[u8] {
        &self.body
    }

    /// Sends it, and waits for the head of the response. Any status is a response; see
    /// [`Response::ok`].
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 404, "");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send());
    /// assert_eq!(response.map(|response| response.status()), Ok(404));
    /// ```
    ///
    /// # Errors
    ///
    /// When the operator's rules do not allow it, or when there is no response.
    pub fn send(self) -> Result<Response, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        for attempt in 0..self.retries {
            let result = host::send(&self).map(Response::new);
            let wait = match &result {
                Ok(response) if is_temporary(response.status()) => response.retry_after(),
                Err(error) if error.is_temporary() => None,
                _ => return result,
            };
            drop(result);
            host::sleep(wait.unwrap_or(Duration::from_millis(500 << attempt.min(6))).min(LONGEST_WAIT));
        }
        host::send(&self).map(Response::new)
    }
}

/// Encodes a text for a segment of a path or a part of a query: everything but letters, digits and `-._~` as `%XX`.
///
/// ```
/// assert_eq!(moxxy_sdk::http::encode("a/b ü"), "a%2Fb%20%C3%BC");
/// ```
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
