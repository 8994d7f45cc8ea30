//! The HTTP service behind a provider.

use std::collections::BTreeMap;

use super::{Error, Key, Refusal, with_headers};
use crate::http::{Request, Response};

/// The HTTP service behind a provider: its base URL, its key, and what each request to it carries. Build it
/// from the configuration in each call, begin requests with [`get`](Self::get) and [`post`](Self::post), and
/// send them with [`send`](Self::send), which turns a status other than success into an [`Error`].
///
/// ```
/// use std::collections::BTreeMap;
/// use moxxy_sdk::{
///     config,
///     provider::{Error, Key, Refusal, Service},
///     testing::{Host, placeholder},
/// };
///
/// #[derive(serde::Deserialize)]
/// struct Options {
///     base_url: String,
///     #[serde(default)]
///     headers: BTreeMap<String, String>,
/// }
///
/// fn service(options: &Options) -> Result<Service, Error> {
///     let service = Service::new(&options.base_url).bearer(Key::open("key")?).errors(error);
///     Ok(service.header("Api-Version", "2").configured_headers(&options.headers))
/// }
///
/// /// What this service says in another way than by the status.
/// fn error(refusal: Refusal) -> Error {
///     match refusal.text("/error/code") {
///         Some("too_long") => Error::context_too_long(refusal.message(), None),
///         _ => refusal.into(),
///     }
/// }
///
/// fn models() -> Result<String, Error> {
///     let service = service(&config::read()?)?;
///     Ok(service.send(service.get("models")?)?.text()?)
/// }
///
/// // In a test:
/// let host = |status, body: &str| {
///     let host = Host::new().config("base_url", "https://api.example.com/v1/").secret("key", "t0ps3cret");
///     host.response("GET", "https://api.example.com/v1/models", status, body)
/// };
/// let mut answering = host(200, "large-1");
/// assert_eq!(answering.run(models).as_deref(), Ok("large-1"));
/// let sent = &answering.requests()[0];
/// assert_eq!(sent.sent_header("Authorization"), Some(&*format!("Bearer {}", placeholder("key"))));
/// assert_eq!(sent.sent_header("Api-Version"), Some("2"));
///
/// let body = r#"{ "error": { "code": "too_long", "message": "That is too long." } }"#;
/// assert_eq!(host(400, body).run(models), Err(Error::context_too_long("That is too long.", None)));
/// assert_eq!(host(404, "no such page").run(models), Err(Error::InvalidRequest("no such page".into())));
/// ```
#[derive(Debug)]
#[must_use = "no request is sent yet"]
pub struct Service {
    base_url: String,
    key: Key,
    /// The header that contains the key: `Authorization` with `Bearer`, unless it is named here.
    key_header: Option<String>,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    configured: BTreeMap<String, String>,
    error: fn(Refusal) -> Error,
}

impl Service {
    /// Returns the service at a base URL, with or without a slash at its end. It has no key and no headers,
    /// and maps errors by their status. See [`Service`] for an example.
    ///
    /// The URL is checked when a request is sent.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            key: Key::none(),
            key_header: None,
            headers: Vec::new(),
            query: Vec::new(),
            configured: BTreeMap::new(),
            error: Error::from,
        }
    }

    /// Adds the key to each request as `Authorization: Bearer …`, if it is granted. It replaces any other key.
    /// See [`Service`] for an example.
    pub fn bearer(self, key: Key) -> Self {
        Self { key, key_header: None, ..self }
    }

    /// Adds the key to each request in a header of this name, if it is granted. It replaces any other key.
    ///
    /// ```
    /// use moxxy_sdk::{
    ///     provider::{Key, Service},
    ///     testing::{Host, placeholder},
    /// };
    ///
    /// let request = Host::new().secret("key", "t0ps3cret").run(|| {
    ///     Service::new("https://api.example.com").key_header("x-api-key", Key::open("key")?).get("models")
    /// });
    /// assert_eq!(request.unwrap().sent_header("x-api-key"), Some(&*placeholder("key")));
    /// ```
    pub fn key_header(self, name: impl Into<String>, key: Key) -> Self {
        Self { key, key_header: Some(name.into()), ..self }
    }

    /// Adds a header to each request, after the key. See [`Service`] for an example.
    ///
    /// Headers that the operator configures are for [`configured_headers`](Self::configured_headers).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to the query of each request, encoded as it has to be.
    ///
    /// ```
    /// let service = moxxy_sdk::provider::Service::new("https://api.example.com").query("version", "1 beta");
    /// assert_eq!(service.get("models").unwrap().url(), "https://api.example.com/models?version=1%20beta");
    /// ```
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds the headers that the operator configured to each request, after all others. They replace those of
    /// an earlier call. [`get`](Self::get) and [`post`](Self::post) reject headers for keys; see
    /// [`with_headers`]. See [`Service`] for an example.
    pub fn configured_headers(self, headers: &BTreeMap<String, String>) -> Self {
        Self { configured: headers.clone(), ..self }
    }

    /// Maps statuses other than 200 to 299 to errors by this function, in place of the status alone. For the
    /// rest it returns `refusal.into()`, which maps by the status; see [`Error::of_status`]. See [`Service`] for
    /// an example.
    pub fn errors(self, error: fn(Refusal) -> Error) -> Self {
        Self { error, ..self }
    }

    /// Begins a GET request for a path below the base URL, with or without a slash at its start. The path is
    /// sent as it is: encode in it what has to be. See [`Service`] for an example.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if a configured header carries a key.
    pub fn get(&self, path: &str) -> Result<Request, Error> {
        self.begin("GET", path)
    }

    /// Begins a POST request for a path below the base URL, like [`get`](Self::get).
    ///
    /// ```
    /// let service = moxxy_sdk::provider::Service::new("https://api.example.com/v1/");
    /// let request = service.post("/chat").unwrap().json(&["Hello"]);
    /// assert_eq!(request.url(), "https://api.example.com/v1/chat");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if a configured header carries a key.
    pub fn post(&self, path: &str) -> Result<Request, Error> {
        self.begin("POST", path)
    }

    /// Sends a request, and returns a response of status 200 to 299 whose body is not read yet. See [`Service`]
    /// for an example.
    ///
    /// # Errors
    ///
    /// - For any other status the error of [`errors`](Self::errors), or else of the status: 401 and 403 are
    ///   [`Error::Authentication`], 429 is [`Error::RateLimited`], 408, 425 and 5xx are [`Error::Overloaded`], 402
    ///   and anything below 400 is [`Error::Other`], the rest is [`Error::InvalidRequest`]. Its message is
    ///   [`Refusal::message`]; `retry_after` is in milliseconds, from `Retry-After-Ms` or `Retry-After`.
    ///   If the key is not granted, the message of an [`Error::Authentication`] says so; see [`Key::explain`].
    /// - [`Error::Transport`] if there is no response, or a page of HTML, [`Error::Other`] if the operator's rules or limits do not
    ///   allow the request, [`Error::InvalidRequest`] if the request cannot be sent.
    pub fn send(&self, request: Request) -> Result<Response, Error> {
        let response = Refusal::check(request.send()?).map_err(|refusal| self.key.explain((self.error)(refusal)))?;
        let media_type = response.header("Content-Type").unwrap_or_default();
        if media_type.trim_start().to_ascii_lowercase().starts_with("text/html") {
            let said = Refusal::read(response).message();
            return Err(Error::Transport(format!("the service answered with a page in place of its API: {said}")));
        }
        Ok(response)
    }

    fn begin(&self, method: &str, path: &str) -> Result<Request, Error> {
        let url = format!("{}/{}", self.base_url.trim_end_matches('/'), path.trim_start_matches('/'));
        let request = Request::new(method, url);
        let request = match &self.key_header {
            Some(name) => self.key.header(request, name),
            None => self.key.bearer(request),
        };
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = self.query.iter().fold(request, |request, (name, value)| request.query(name, value));
        with_headers(request, &self.configured)
    }
}
