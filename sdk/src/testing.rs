//! Tests of a skill or a provider in an ordinary `cargo test`, without a server or a component.
//!
//! ```
//! use moxxy_sdk::{keyvalue, skill::Error, testing::Host, tool};
//! use serde_json::json;
//!
//! /// Counts how often it is called.
//! #[tool]
//! fn count(
//!     /// By how much; at least 1.
//!     by: u32,
//! ) -> Result<String, Error> {
//!     let count = keyvalue::get_json::<u32>("count")?.unwrap_or(0) + by;
//!     keyvalue::set_json("count", &count)?;
//!     if by == 0 { Err(Error::invalid("`by` is at least 1")) } else { Ok(format!("{count}")) }
//! }
//!
//! // In a test:
//! let mut host = Host::new().value("count", b"40");
//! assert_eq!(host.call::<count>(json!({ "by": 2 })).unwrap().content, "42");
//! assert!(host.call::<count>(json!({ "by": 0 })).is_err());
//! assert!(host.call::<count>(json!({ "by": "two" })).unwrap_err().to_string().starts_with("`by`: invalid type"));
//! assert_eq!(host.stored("count"), Some(&b"42"[..]));
//! ```
//!
//! Outside a [`Host`] every thread has an empty one, so that a function may also be called as it is.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    host::{
        mock_host::{self, State},
        mock_http::Given,
    },
    http::Request,
    log::Level,
    session::Caller,
    skill::{Error, Output, ToolFunction},
};

/// The largest result under the server's default limits, in bytes.
const RESULT: usize = 4 * 1024 * 1024;

/// What a call finds around it: configuration, values, secrets, whom it is for. It keeps what
/// calls write, as the real one does.
///
/// ```
/// let mut host = moxxy_sdk::testing::Host::new().config("greeting", "Hi");
/// assert_eq!(host.run(|| moxxy_sdk::config::get("greeting")).as_deref(), Some("Hi"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Host {
    state: State,
}

impl Host {
    /// A host with nothing in it, where a program calls tools for the agent `test`.
    ///
    /// ```
    /// let host = moxxy_sdk::testing::Host::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a configuration value, which need not be a string.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().config("retries", 5);
    /// assert_eq!(host.run(|| moxxy_sdk::config::parse::<u32>("retries")).unwrap(), Some(5));
    /// ```
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let text = match value.into() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.state.config.insert(key.into(), text);
        self
    }

    /// Keeps a value, as if an earlier call had set it.
    ///
    /// ```
    /// let host = moxxy_sdk::testing::Host::new().value("draft", b"Dear Ada");
    /// ```
    #[must_use]
    pub fn value(mut self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.state.values.insert(key.into(), value.as_ref().to_vec());
        self
    }

    /// Grants a secret, in every mode.
    ///
    /// ```
    /// let host = moxxy_sdk::testing::Host::new().secret("api_token", "t0ps3cret");
    /// ```
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.state.secrets.insert(name.into(), value.into());
        self
    }

    /// Responds to requests of this method and URL. Several responses to one are given in turn, and
    /// the last one from then on. Other requests are denied.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "hello");
    /// let text = host.run(|| moxxy_sdk::http::get("https://example.com/").send()?.text());
    /// assert_eq!(text.as_deref(), Ok("hello"));
    /// ```
    #[must_use]
    pub fn response(
        self,
        method: impl Into<String>,
        url: impl Into<String>,
        status: u16,
        body: impl AsRef<[u8]>,
    ) -> Self {
        self.response_with(method, url, status, &[], body)
    }

    /// The same with headers.
    ///
    /// ```
    /// let headers = [("Content-Type", "text/html")];
    /// let host = moxxy_sdk::testing::Host::new();
    /// let mut host = host.response_with("GET", "https://example.com/", 200, &headers, "<p>hello");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert_eq!(response.header("content-type"), Some("text/html"));
    /// ```
    #[must_use]
    pub fn response_with(
        mut self,
        method: impl Into<String>,
        url: impl Into<String>,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (method, url, body) = (method.into(), url.into(), [body.as_ref().to_vec()].into());
        self.state.responses.push(Given { method, url, status, headers, body });
        self
    }

    /// The same with a body that comes in pieces, of which no two are read at once.
    ///
    /// ```
    /// use std::io::Read as _;
    ///
    /// let host = moxxy_sdk::testing::Host::new();
    /// let mut host = host.response_in_pieces("GET", "https://example.com/", 200, &["hel", "lo"]);
    /// let mut response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert_eq!(response.read(&mut [0; 64]).unwrap(), 3);
    /// assert_eq!(response.text().as_deref(), Ok("lo"));
    /// ```
    #[must_use]
    pub fn response_in_pieces(
        mut self,
        method: impl Into<String>,
        url: impl Into<String>,
        status: u16,
        pieces: &[impl AsRef<[u8]>],
    ) -> Self {
        let body = pieces.iter().map(|piece| piece.as_ref().to_vec()).collect();
        let (method, url, headers) = (method.into(), url.into(), Vec::new());
        self.state.responses.push(Given { method, url, status, headers, body });
        self
    }

    /// Says that calls are part of a run.
    ///
    /// ```
    /// let host = moxxy_sdk::testing::Host::new().caller("ada", "default", "run_1");
    /// ```
    #[must_use]
    pub fn caller(mut self, agent: impl Into<String>, session: impl Into<String>, run: impl Into<String>) -> Self {
        self.state.caller = Some(Caller { agent: agent.into(), session: Some(session.into()), run: Some(run.into()) });
        self
    }

    /// Answers a question of [`session::ask`](crate::session::ask). Others have no answer yet.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().answer("Which one?", "The red one");
    /// assert_eq!(host.run(|| moxxy_sdk::session::ask("Which one?")).as_deref(), Ok("The red one"));
    /// ```
    #[must_use]
    pub fn answer(mut self, question: impl Into<String>, answer: impl Into<String>) -> Self {
        self.state.answers.insert(question.into(), answer.into());
        self
    }

    /// Calls a tool as the server does: with JSON, and what it writes is kept only if it has a
    /// result. See the [module](self) for an example.
    ///
    /// # Errors
    ///
    /// What the tool says, or that it does not take the arguments.
    pub fn call<T: ToolFunction>(&mut self, arguments: Value) -> Result<Output, Error> {
        let before = self.state.values.clone();
        let result = catch_unwind(AssertUnwindSafe(|| self.run(|| T::call(arguments).and_then(kept))));
        if !matches!(result, Ok(Ok(_))) {
            self.state.values = before;
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs anything else in this host, such as a provider's `complete`.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new();
    /// host.run(|| moxxy_sdk::keyvalue::set("draft", b"Dear Ada")).unwrap();
    /// assert_eq!(host.stored("draft"), Some(&b"Dear Ada"[..]));
    /// ```
    pub fn run<R>(&mut self, work: impl FnOnce() -> R) -> R {
        self.state.before = self.state.requests.len();
        let swap = |state: &mut State| mock_host::with(|current| std::mem::swap(current, state));
        swap(&mut self.state);
        let result = catch_unwind(AssertUnwindSafe(work));
        swap(&mut self.state);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Returns a value that is kept.
    ///
    /// ```
    /// assert_eq!(moxxy_sdk::testing::Host::new().stored("draft"), None);
    /// ```
    pub fn stored(&self, key: &str) -> Option<&[u8]> {
        self.state.values.get(key).map(Vec::as_slice)
    }

    /// Lists what was logged: level, context, message.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new();
    /// host.run(|| moxxy_sdk::log::warn("import", "line 13 is empty"));
    /// assert_eq!(host.log().len(), 1);
    /// ```
    pub fn log(&self) -> &[(Level, String, String)] {
        &self.state.lines
    }

    /// Lists the requests that were sent.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("POST", "https://example.com/", 200, "");
    /// host.run(|| moxxy_sdk::http::post("https://example.com/").json(&[1]).send()).unwrap();
    /// let request = &host.requests()[0];
    /// assert_eq!((request.url(), request.sent_body()), ("https://example.com/", &b"[1]"[..]));
    /// ```
    pub fn requests(&self) -> &[Request] {
        &self.state.requests
    }

    /// Lists the progress that was reported.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new();
    /// host.run(|| moxxy_sdk::session::progress("half way", Some(0.5)));
    /// assert_eq!(host.progress(), [("half way".to_owned(), Some(0.5))]);
    /// ```
    pub fn progress(&self) -> &[(String, Option<f64>)] {
        &self.state.progress
    }
}

/// Refuses a result that the server would not take.
fn kept(output: Output) -> Result<Output, Error> {
    if output.content.len() > RESULT {
        return Err(Error::failed(format!("the server takes results of at most {RESULT} bytes")));
    }
    match output.media_type.as_str() {
        "text/plain" => Ok(output),
        "application/json" => serde_json::from_str::<IgnoredAny>(&output.content)
            .map(|_| output)
            .map_err(|error| Error::failed(format!("the result is not the JSON that it says it is: {error}"))),
        other => Err(Error::failed(format!("a result is text/plain or application/json, not {other}"))),
    }
}

/// Returns the placeholder of a secret in tests. The real ones are random.
///
/// ```
/// assert_eq!(moxxy_sdk::testing::placeholder("api_token"), moxxy_sdk::testing::placeholder("api_token"));
/// ```
pub fn placeholder(name: &str) -> String {
    mock_host::placeholder_of(name)
}
