//! Requests to GitHub's REST API, with the token if it is granted.

use moxxy_sdk::{
    http::{self, Request, Response},
    skill::Error,
    vault,
};

use crate::refusal;

pub(crate) const HOST: &str = "api.github.com";
pub(crate) const SECRET: &str = "github";

pub(crate) fn get(path: &str) -> Request {
    http::get(format!("https://{HOST}{path}"))
}

/// Sends a request. An answer that is none of success is an error that says what GitHub said.
pub(crate) fn send(request: Request, accept: &str) -> Result<Response, Error> {
    let token = token()?;
    let mut request = request
        .header("Accept", accept)
        .header("X-GitHub-Api-Version", "2022-11-28")
        .header("User-Agent", "moxxy-github");
    if let Ok(token) = &token {
        request = request.bearer(token);
    }
    let response = request.send()?;
    if (200..300).contains(&response.status()) { Ok(response) } else { Err(refusal::error(response, token.err())) }
}

/// What stands for the token, or why there is none: what is public can be had without.
fn token() -> Result<Result<String, String>, Error> {
    match vault::placeholder(SECRET) {
        Ok(placeholder) => Ok(Ok(placeholder)),
        Err(vault::Error::Denied(reason)) => Ok(Err(reason)),
        Err(vault::Error::Other(reason)) => Err(Error::failed(reason)),
    }
}
