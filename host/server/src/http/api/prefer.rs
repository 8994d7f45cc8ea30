//! Extractors for preferences and resumption: `Prefer: wait` (RFC 7240), the claim of an `Idempotency-Key`, and
//! `Last-Event-ID`.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use moxxy_types::{error::Error, idempotency::Claim};

use crate::{
    http::api::answer::{ApiError, Result},
    http::state::HttpState,
};

/// Maximum wait, in seconds.
const LONGEST_WAIT: u64 = 300;

/// Time that the client prefers to wait.
#[derive(Debug)]
pub(crate) struct Wait(pub Option<Duration>);

/// Claim of the request, for handlers that store it themselves.
#[derive(Debug)]
pub(crate) struct Claimed(pub Option<Claim>);

/// `Last-Event-ID`.
#[derive(Debug)]
pub(crate) struct LastEvent(pub Option<i64>);

impl FromRequestParts<HttpState> for Wait {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Infallible> {
        Ok(Self(preferred_wait(&parts.headers)))
    }
}

impl FromRequestParts<HttpState> for Claimed {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

impl FromRequestParts<HttpState> for LastEvent {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self> {
        let Some(id) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        let wrong = || Error::invalid_parameter("Last-Event-ID", "it is the id of an event of this stream: a number");
        Ok(Self(Some(id.ok_or_else(wrong)?)))
    }
}

/// Returns the `wait` preference (RFC 7240), which is in seconds. An unreadable preference is ignored.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = preferences.flat_map(|value| value.split([',', ';'])).filter_map(|token| token.split_once('='));
    let (_, seconds) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds = seconds.trim().trim_matches('"');
    let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| Duration::from_secs(seconds.parse().map_or(LONGEST_WAIT, |wanted: u64| wanted.min(LONGEST_WAIT))))
}
