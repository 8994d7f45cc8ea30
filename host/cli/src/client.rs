//! Client of the server's REST API.

use std::time::Duration;

use bytes::Bytes;
use moxxy_server::services::bootstrap;
use moxxy_types::{error::Error, ids};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_MATCH, LINK, RETRY_AFTER},
    multipart::{Form, Part},
};
use serde_json::{Value, value::RawValue};
use tokio::time::sleep;

use super::{
    Options,
    connect::{self, Connection},
    failure::{CliResult, Exit, Failure},
};
use crate::hints;

/// Delays before the retries of a request. `Retry-After` takes precedence.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(250), Duration::from_millis(500)];
/// Longest `Retry-After` that the client waits for, in seconds.
const LONGEST_PAUSE: u64 = 30;
/// Maximum number of items that a server returns in a page.
const PAGE: usize = 1000;

pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    token: Option<HeaderValue>,
}

/// Request that can be sent more than once.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Body,
    /// Version that a change may replace.
    if_match: Option<HeaderValue>,
}

enum Body {
    Nothing,
    Json(Value),
    Component(Upload),
}

/// When a request takes effect.
#[derive(Clone, Copy, Default)]
struct Conditions<'c> {
    /// Key with which the server detects a retry.
    key: Option<&'c str>,
    if_match: Option<&'c HeaderValue>,
}

/// Upload of a component's file.
pub(crate) struct Upload {
    pub component: Bytes,
    pub digest: Option<String>,
    pub accept: Vec<String>,
}

/// Response body, as text and parsed.
pub(crate) struct Answer {
    /// Version of the resource.
    pub etag: Option<HeaderValue>,
    pub text: String,
    pub value: Value,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: Body::Nothing, if_match: None }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// Makes the change only if the resource has this version.
    pub(crate) fn if_match(mut self, etag: Option<HeaderValue>) -> Self {
        self.if_match = etag;
        self
    }

    pub(crate) fn upload(mut self, upload: Upload) -> Self {
        self.body = Body::Component(upload);
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

impl Client {
    pub(crate) fn new(options: &Options) -> CliResult<Self> {
        let Connection { http, url, token } = connect::prepare(options)?;
        Ok(Self { http, url, token })
    }

    /// Sends a request and parses the response body as JSON. An empty body is `null`.
    pub(crate) async fn answer(&self, call: Call) -> CliResult<Answer> {
        let response = self.send(&call).await?;
        let etag = response.headers().get(ETAG).cloned();
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        if text.is_empty() {
            return Ok(Answer { etag, text: "{}".into(), value: Value::Null });
        }
        let strange = |_| {
            Failure::new(Exit::Failed, "unknown_answer", "The server's answer is not JSON")
                .advise(hints::ANOTHER_SERVER)
        };
        let value = serde_json::from_str(&text).map_err(strange)?;
        Ok(Answer { etag, text, value })
    }

    /// Reads a list page by page, to its end or up to `limit` items.
    pub(crate) async fn list(&self, call: Call, limit: Option<usize>) -> CliResult<Vec<Box<RawValue>>> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut page = self.send(&call).await?;
        loop {
            let next = next_page(page.url(), page.headers());
            let text = page.text().await.map_err(|e| self.unreachable(&e))?;
            items.extend(serde_json::from_str::<Vec<Box<RawValue>>>(&text).map_err(Error::internal)?);
            match next {
                Some(next) if items.len() < limit => {
                    page = self.send_to(&Method::GET, &next, &Body::Nothing, Conditions::default()).await?
                }
                _ => break,
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    /// Sends a request. An error response becomes a failure with the server's message.
    pub(crate) async fn send(&self, call: &Call) -> CliResult<Response> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{}", self.url.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        // With this key the server detects a retry.
        let key = if call.method == Method::POST { Some(hex::encode(ids::random::<32>()?)) } else { None };
        self.send_to(
            &call.method,
            &url,
            &call.body,
            Conditions { key: key.as_deref(), if_match: call.if_match.as_ref() },
        )
        .await
    }

    async fn send_to(
        &self,
        method: &Method,
        url: &Url,
        body: &Body,
        conditions: Conditions<'_>,
    ) -> CliResult<Response> {
        let again = *method == Method::GET || conditions.key.is_some();
        let mut pauses = PAUSES.into_iter().filter(|_| again);
        loop {
            let sent = self.request(method, url, body, conditions).send().await;
            let wait = match &sent {
                Ok(response) if response.status().is_success() => None,
                // Without a time, a repetition does not help.
                Ok(response) => match response.status().as_u16() {
                    429 | 503 => retry_after(response.headers()).map(Some),
                    _ => None,
                },
                Err(error) if error.is_builder() => None,
                Err(_) => Some(None),
            };
            let pause = wait.and_then(|asked| Some((pauses.next()?, asked)));
            let Some((pause, asked)) = pause.filter(|(_, asked)| asked.is_none_or(|s| s <= LONGEST_PAUSE)) else {
                return self.outcome(sent).await;
            };
            sleep(asked.map_or(pause, Duration::from_secs)).await;
        }
    }

    fn request(&self, method: &Method, url: &Url, body: &Body, conditions: Conditions<'_>) -> RequestBuilder {
        let mut request = self.http.request(method.clone(), url.clone());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some(key) = conditions.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(etag) = conditions.if_match {
            request = request.header(IF_MATCH, etag);
        }
        match body {
            Body::Nothing => request,
            Body::Json(value) => request.json(value),
            Body::Component(upload) => request.multipart(upload.form()),
        }
    }

    async fn outcome(&self, sent: reqwest::Result<Response>) -> CliResult<Response> {
        let response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = retry_after(response.headers());
        let body = response.json().await.unwrap_or_default();
        Err(Failure::from_response(status, body, wait, self.token.is_some()))
    }

    /// Returns whether requests carry a token, rather than the one-time code from the server's start.
    pub(crate) fn shows_token(&self) -> bool {
        let shown = self.token.as_ref().and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|shown| !shown.starts_with(bootstrap::PREFIX))
    }

    /// Returns the server's address.
    pub(crate) fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = connect::innermost(error);
        let message = format!("Cannot reach {}: {reason}", self.address());
        Failure::new(Exit::Unreachable, "unreachable", message).advise(hints::unreachable(&reason))
    }
}

impl Upload {
    fn form(&self) -> Form {
        let length = self.component.len() as u64;
        let part = Part::stream_with_length(self.component.clone(), length).file_name("component.wasm");
        let mut form = Form::new().part("component", part);
        if let Some(digest) = &self.digest {
            form = form.text("digest", digest.clone());
        }
        self.accept.iter().fold(form, |form, name| form.text("accept", name.clone()))
    }
}

/// Returns the next page's address from the `Link` header, if it has the same origin: no other server may get the
/// token.
fn next_page(here: &Url, headers: &HeaderMap) -> Option<Url> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let next = links.filter_map(|link| link.split_once(';')).find(|(_, relation)| relation.contains("rel=\"next\""));
    let address = next?.0.trim().strip_prefix('<')?.strip_suffix('>')?;
    here.join(address).ok().filter(|next| next.origin() == here.origin())
}

/// Returns the `Retry-After` of a response, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Returns the page size for a list with this limit.
pub(crate) fn page(limit: usize) -> String {
    limit.clamp(1, PAGE).to_string()
}
