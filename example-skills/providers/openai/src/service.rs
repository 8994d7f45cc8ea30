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
pub const AZURE_KEY: &str = "azure_key";

pub struct Service {
    pub options: Options,
    key: Key,
}

impl Service {
    pub fn open() -> Result<Self, Error> {
        let options: Options = config::read()?;
        let key = match options.auth {
            Auth::Bearer => Key::open(KEY)?,
            Auth::ApiKey => Key::open(AZURE_KEY)?,
            Auth::None => Key::none(),
        };
        Ok(Self { options, key })
    }

    pub fn get(&self, path: &str) -> Result<Request, Error> {
        self.dressed(http::get(self.url(path)))
    }

    /// Begins the request for a completion.
    pub fn post(&self, model: &str) -> Result<Request, Error> {
        let path = &self.options.path;
        if !path.contains("{model}") {
            return self.dressed(http::post(self.url(path)));
        }
        let is_segment = model.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if !is_segment || matches!(model, "" | "." | "..") {
            return Err(Error::unknown_model(model));
        }
        self.dressed(http::post(self.url(&path.replace("{model}", model))))
    }

    /// Sends a request. An answer that is none of success is an error of its kind.
    pub fn send(&self, request: Request) -> Result<Response, Error> {
        Refusal::check(request.send()?).map_err(|refused| self.key.explain(refusal::error(refused)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.options.base_url.trim_end_matches('/'), path.trim_start_matches('/'))
    }

    fn dressed(&self, request: Request) -> Result<Request, Error> {
        let Options { auth, organization, project, headers, query, .. } = &self.options;
        let mut request = match auth {
            Auth::Bearer => self.key.bearer(request),
            Auth::ApiKey => self.key.header(request, "api-key"),
            Auth::None => request,
        };
        for (name, value) in [("OpenAI-Organization", organization), ("OpenAI-Project", project)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = query.iter().fold(request, |request, (name, value)| request.query(name, value));
        with_headers(request, headers)
    }
}
