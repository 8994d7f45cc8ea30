//! Request id and trace context (W3C Trace Context) of a request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use moxxy_types::ids;

use crate::services::tokens;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `traceparent`, version 00: the trace, and this server's span in it.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub id: String,
    pub span: String,
    flags: String,
}

impl Trace {
    /// Continues the client's trace, or starts one.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let span = ids::span();
        match headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?)) {
            Some((id, flags)) => Self { id: id.to_owned(), span, flags: flags.to_owned() },
            None => Self { id: ids::trace(), span, flags: "00".to_owned() },
        }
    }

    /// Returns the `traceparent` for the response.
    pub(crate) fn parent(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("00-{}-{}-{}", self.id, self.span, self.flags)).ok()
    }
}

/// Returns the trace id and its flags. Later versions begin with the same fields.
fn parse(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let not_zero = |text: &str| text.bytes().any(|b| b != b'0');
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let whole = hex(id, 32) && not_zero(id) && hex(span, 16) && not_zero(span) && hex(flags, 2);
    (known && whole).then_some((id, flags))
}

/// Returns the client's request id if it is short, plain enough for a log and contains no token, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    headers.get(REQUEST_ID).and_then(acceptable).unwrap_or_else(ids::request)
}

fn acceptable(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (plain && (1..=128).contains(&text.len()) && !tokens::holds_token(text)).then(|| text.to_owned())
}
