//! The service as it is configured, and requests to it.

use moxxy_sdk::{
    config,
    http::{self, Request, Response},
    provider::{Error, Key, Refusal, with_headers},
};

use crate::{
    options::{Auth, Options},
    refusal,
};

/// What the secrets are called.
pub const KEY: &str = "key";
pub const TOKEN: &str = "token";

pub struct Service {
    pub options: Options,
    key: Key,
}

impl Service {
    pub fn open() -> Result<Self, Error> {
        let options: Options = config::read()?;
        let key = match options.auth {
            Auth::XApiKey => Key::open(KEY)?,
            Auth::Bearer => Key::open(TOKEN)?,
            Auth::None => Key::none(),
        };
        Ok(Self { options, key })
    }

    pub fn get(&self, path: &str) -> Result<Request, Error> {
        self.dressed(http::get(self.url(path)))
    }

    pub fn post(&self, path: &str) -> Result<Request, Error> {
        self.dressed(http::post(self.url(path)))
    }

    /// Sends a request. An answer that is none of success is an error of its kind.
    pub fn send(&self, request: Request) -> Result<Response, Error> {
        Refusal::check(request.send()?).map_err(|refused| self.key.explain(refusal::error(refused)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.options.base_url.trim_end_matches('/'))
    }

    fn dressed(&self, request: Request) -> Result<Request, Error> {
        let Options { auth, version, betas, headers, .. } = &self.options;
        let mut request = match auth {
            Auth::XApiKey => self.key.header(request, "x-api-key"),
            Auth::Bearer => self.key.bearer(request),
            Auth::None => request,
        };
        request = request.header("anthropic-version", version);
        if !betas.is_empty() {
            request = request.header("anthropic-beta", betas.join(","));
        }
        with_headers(request, headers)
    }
}
