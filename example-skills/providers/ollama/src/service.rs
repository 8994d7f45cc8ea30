//! The server as it is configured, and requests to it.

use moxxy_sdk::{
    config,
    http::{self, Request, Response},
    provider::{Error, Key, Refusal, with_headers},
};

use crate::{
    options::{Auth, Options},
    refusal,
};

/// What the secret is called.
pub const KEY: &str = "key";

pub struct Service {
    pub options: Options,
    key: Key,
}

impl Service {
    pub fn open() -> Result<Self, Error> {
        let options: Options = config::read()?;
        let key = match options.auth {
            Auth::Bearer => Key::open(KEY)?,
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
        with_headers(self.key.bearer(request), &self.options.headers)
    }
}
