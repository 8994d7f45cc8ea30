//! Talks to a server over its REST API.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::{
    config::{self, Config, Flags},
    error::{Error, Problem, Result},
};

pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub fn new(flags: &Flags) -> Result<Self> {
        let url = config::server_url(Config::load(flags)?.server.port);
        // A proxy would turn a local request into a forwarded one, which is refused.
        let http = reqwest::Client::builder().no_proxy().build().map_err(Error::internal)?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request; an error answer becomes an error with the server's own sentence.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| {
            let message = format!("Cannot reach {}: {}; is `moxxy serve` running?", self.url, cause(&error));
            Error::unavailable("unreachable", message)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = text("error").unwrap_or_else(|| format!("The server answered {status}"));
        Err(Error::Said(Problem::new(text("code").unwrap_or_default(), message)))
    }

    pub async fn json(&self, request: RequestBuilder) -> Result<Value> {
        self.send(request).await?.json().await.map_err(Error::internal)
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
