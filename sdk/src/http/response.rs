//! A response, whose body comes as it is read.

use std::{
    io::{self, Read},
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;

use super::{Error, Events, Lines};
use crate::host::{Body, Received};

/// How much of an error's body is kept.
const ERROR_BODY: u64 = 4096;

/// A response. Its body is read as it comes: by [`bytes`](Self::bytes), [`text`](Self::text) or
/// [`json`](Self::json) to its end, or piece by piece as any [`Read`]:
///
/// ```
/// use std::io::{BufRead as _, BufReader};
///
/// let body = "data: one\n\ndata: two\n\n";
/// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/stream", 200, body);
/// let lines = host.run(|| -> Result<Vec<String>, Box<dyn std::error::Error>> {
///     let response = moxxy_sdk::http::get("https://example.com/stream").send()?.ok()?;
///     // Each line is there as soon as the service has sent it.
///     let lines = BufReader::new(response).lines();
///     Ok(lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty())).collect::<Result<_, _>>()?)
/// });
/// assert_eq!(lines.unwrap(), ["data: one", "data: two"]);
/// ```
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Response {
    pub(super) fn new(Received { status, headers, body }: Received) -> Self {
        Self { status, headers, body }
    }

    /// Returns the status, such as 200.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 204, "");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert_eq!(response.status(), 204);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns a header's first value. The name may be in any letters.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert_eq!(response.header("ETag"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Lists all headers, in their order.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert!(response.headers().is_empty());
    /// ```
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Makes an error of a status that is not 200 to 299.
    ///
    /// ```
    /// use moxxy_sdk::http::{self, Error};
    ///
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 404, "no such page");
    /// let error = host.run(|| http::get("https://example.com/").send()?.ok()).unwrap_err();
    /// assert_eq!(error, Error::Status { status: 404, body: "no such page".into() });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Status`], with the beginning of the body.
    pub fn ok(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let (status, mut body) = (self.status, Vec::new());
        // What there is of it is enough.
        drop(self.take(ERROR_BODY).read_to_end(&mut body));
        Err(Error::Status { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Limits how long each further read waits for bytes. A read that takes longer is an [`Error::Timeout`].
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "one");
    /// let text = host.run(|| {
    ///     let mut response = moxxy_sdk::http::get("https://example.com/").send()?;
    ///     response.set_read_timeout(std::time::Duration::from_secs(2));
    ///     response.text()
    /// });
    /// assert_eq!(text.as_deref(), Ok("one"));
    /// ```
    pub fn set_read_timeout(&mut self, timeout: Duration) {
        self.body.set_timeout(timeout);
    }

    /// Reads the whole body.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, b"\xff");
    /// let bytes = host.run(|| moxxy_sdk::http::get("https://example.com/").send()?.bytes());
    /// assert_eq!(bytes, Ok(vec![0xff]));
    /// ```
    ///
    /// # Errors
    ///
    /// When it breaks off, or is too large.
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).map_err(reason)?;
        Ok(bytes)
    }

    /// Reads the whole body as UTF-8. What is none becomes `�`.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "hello");
    /// let text = host.run(|| moxxy_sdk::http::get("https://example.com/").send()?.text());
    /// assert_eq!(text.as_deref(), Ok("hello"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    pub fn text(self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Reads the whole body as JSON.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "[1, 2]");
    /// let numbers: Result<Vec<u32>, _> = host.run(|| moxxy_sdk::http::get("https://example.com/").send()?.json());
    /// assert_eq!(numbers, Ok(vec![1, 2]));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes), or when it is not a `T`.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.bytes()?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| Error::Body(format!("the response is not what it should be: {error}")))
    }

    /// Reads the body line by line, as it comes. [`Lines`] has an example.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "one\ntwo");
    /// let second = host.run(|| moxxy_sdk::http::get("https://example.com/").send().unwrap().lines().nth(1));
    /// assert_eq!(second, Some(Ok("two".to_owned())));
    /// ```
    pub fn lines(self) -> Lines<Self> {
        Lines::new(self)
    }

    /// Reads the body as server-sent events, as they come. [`Events`] has an example.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "data: one\n\n");
    /// let first = host.run(|| moxxy_sdk::http::get("https://example.com/").send().unwrap().events().next());
    /// assert_eq!(first.unwrap().unwrap().data, "one");
    /// ```
    pub fn events(self) -> Events<Self> {
        Events::new(self)
    }

    /// Returns how long the service asks us to wait before we try again: `Retry-After-Ms`, or
    /// `Retry-After` in seconds or as a date. One that is past is no time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let headers = [("Retry-After", "2")];
    /// let host = moxxy_sdk::testing::Host::new();
    /// let mut host = host.response_with("GET", "https://example.com/", 429, &headers, "");
    /// let response = host.run(|| moxxy_sdk::http::get("https://example.com/").send()).unwrap();
    /// assert_eq!(response.retry_after(), Some(Duration::from_secs(2)));
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        let number = |name| self.header(name)?.trim().parse::<f64>().ok();
        let seconds = number("Retry-After-Ms").map(|milliseconds| milliseconds / 1000.0);
        match seconds.or_else(|| number("Retry-After")) {
            Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            None => {
                let until = httpdate::parse_http_date(self.header("Retry-After")?.trim()).ok()?;
                Some(until.duration_since(SystemTime::now()).unwrap_or_default())
            }
        }
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// The error of ours that an error of reading is made of.
pub(super) fn reason(error: io::Error) -> Error {
    let text = error.to_string();
    error.downcast::<Error>().unwrap_or(Error::Broken(text))
}
