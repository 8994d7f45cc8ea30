//! Injection into the strings of a JSON body and the values of a form.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use memchr::memchr;
use serde::de::IgnoredAny;

use super::{Injectable, MAX_BODY_BYTES, refusal::Refusal, substitution::Substitution, url, watch::Watch};
use crate::{place::Place, placeholder};

enum Kind {
    Json,
    Form,
}

/// Returns the body with the values injected, and sets its new length in the headers. Placeholders of other calls
/// stay: a conversation may continue long after a component wrote one into it.
pub(super) fn fill(
    substitution: &mut Substitution<'_>,
    headers: &mut HeaderMap,
    body: &Bytes,
) -> Result<Bytes, Refusal> {
    substitution.allow_unknown();
    let Some(secret) = first_secret(substitution, body) else {
        Watch::new(substitution.secrets, "the body").push(body)?;
        return Ok(body.clone());
    };
    substitution.check(secret, &Place::Body)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(Refusal::Large { secret: secret.name.clone() });
    }
    let part = |part| Refusal::Part { secret: secret.name.clone(), part };
    let filled = match body_kind(headers) {
        Some(Kind::Json) if is_json(body) => fill_json(substitution, body)?,
        Some(Kind::Json) => return Err(part("a body that says it is JSON and is not")),
        Some(Kind::Form) => url::fill_parameters(substitution, body, |_| Some(Place::Body), "the form")?,
        None => return Err(part("a body that is neither JSON nor a form")),
    };
    let filled = filled.map_or_else(|| body.clone(), Bytes::from);
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(filled.len()));
    }
    Ok(filled)
}

/// Returns the secret of the first placeholder that belongs to this call.
fn first_secret<'a>(substitution: &Substitution<'a>, mut text: &[u8]) -> Option<&'a Injectable> {
    while let Some((_, placeholder, after)) = placeholder::split(text) {
        match substitution.secret(placeholder) {
            None => text = after,
            found => return found,
        }
    }
    None
}

fn body_kind(headers: &HeaderMap) -> Option<Kind> {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(only), None) = (types.next(), types.next()) else { return None };
    let name = only.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
    match name.as_str() {
        "application/x-www-form-urlencoded" => Some(Kind::Form),
        "application/json" => Some(Kind::Json),
        name if name.starts_with("application/") && name.ends_with("+json") => Some(Kind::Json),
        _ => None,
    }
}

fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Injects into a valid JSON text. Only strings with a placeholder change.
fn fill_json(substitution: &mut Substitution<'_>, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let (mut filled, mut rest) = (Vec::with_capacity(body.len()), body);
    while let Some((before, string, after)) = next_string(rest) {
        filled.extend_from_slice(before);
        if after.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':') {
            substitution.refuse(string, "the name of a field")?;
        }
        match substitution.fill(string, Some(&Place::Body), "a JSON string", json_escape)? {
            Some(string) => filled.extend(string),
            None => filled.extend_from_slice(string),
        }
        filled.push(b'"');
        rest = after;
    }
    filled.extend_from_slice(rest);
    Ok(Some(filled))
}

/// Splits a text into the part up to and including the first opening quote, the string, and the part after its
/// closing quote.
fn next_string(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(memchr(b'"', text)? + 1)?;
    let mut escaped = false;
    let end = rest.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })?;
    let (string, after) = rest.split_at_checked(end)?;
    Some((before, string, after.get(1..)?))
}

fn json_escape(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "it is not text in UTF-8")?;
    let quoted = serde_json::to_string(text).map_err(|_| "it is not text")?;
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok(inner.unwrap_or_default().as_bytes().to_vec())
}
