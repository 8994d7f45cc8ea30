//! Injection into headers, and into the credentials of `Authorization: Basic`.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{
    refusal::Refusal,
    substitution::{Encode, Substitution},
};
use crate::place::Place;

const CONTROL_CHARACTER_REASON: &str = "it has a line break or another control character";

/// Returns the headers with the values injected and marked as sensitive.
pub(super) fn fill(substitution: &mut Substitution<'_>, headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
    for name in headers.keys() {
        substitution.refuse(name.as_str().as_bytes(), "the name of a header")?;
    }
    let mut filled = headers.clone();
    for (name, value) in &mut filled {
        if let Some(text) = fill_one(substitution, name, value.as_bytes())? {
            // Each injected value is already known to be valid in a header.
            *value = HeaderValue::from_bytes(&text).map_err(|_| Refusal::Unknown { part: "a header" })?;
            value.set_sensitive(true);
        }
    }
    Ok(filled)
}

fn fill_one(substitution: &mut Substitution<'_>, name: &HeaderName, text: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let place = Place::header(name.as_str());
    let filled = substitution.fill(text, place.as_ref(), "a header", header_value)?;
    match filled {
        None if name == AUTHORIZATION => fill_basic(substitution, text),
        filled => Ok(filled),
    }
}

fn fill_basic(substitution: &mut Substitution<'_>, text: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(credentials) = decode_basic(text) else { return Ok(None) };
    let part = "the basic credentials";
    let mut fill = |text: &[u8], encode: Encode| substitution.fill(text, Some(&Place::Basic), part, encode);
    let credentials = match credentials.iter().position(|b| *b == b':') {
        Some(colon) => {
            let (user, password) = credentials.split_at_checked(colon).unwrap_or_default();
            let filled = (fill(user, user_name)?, fill(password, header_value)?);
            if filled == (None, None) {
                return Ok(None);
            }
            [filled.0.unwrap_or(user.to_vec()), filled.1.unwrap_or(password.to_vec())].concat()
        }
        // The secret contains both user and password.
        None => match fill(&credentials, header_value)? {
            Some(filled) => filled,
            None => return Ok(None),
        },
    };
    Ok(Some(format!("Basic {}", STANDARD.encode(credentials)).into_bytes()))
}

fn decode_basic(text: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let (scheme, rest) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    scheme.eq_ignore_ascii_case("basic").then(|| engine.decode(rest.trim()).ok())?
}

/// Accepts every value that a header can hold.
fn header_value(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    HeaderValue::from_bytes(value).map(|_| value.to_vec()).map_err(|_| CONTROL_CHARACTER_REASON)
}

fn user_name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    match value.contains(&b':') {
        true => Err("it has a colon, which would end the name of the user"),
        false => header_value(value),
    }
}
