//! Injection into the path and the query, percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use url::{Url, form_urlencoded};

use super::{refusal::Refusal, substitution::Substitution};
use crate::place::Place;

/// Every character that could end a segment, a parameter or a value, and more. The colon is not encoded: some
/// services require it unencoded in a path, where it has no meaning.
const PERCENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Returns the URL with the values injected. Only the text of segments and the values of parameters change.
pub(super) fn fill(substitution: &mut Substitution<'_>, url: &Url) -> Result<Url, Refusal> {
    substitution.refuse(url.username().as_bytes(), "the URL's user")?;
    substitution.refuse(url.password().unwrap_or_default().as_bytes(), "the URL's password")?;
    substitution.refuse(url.host_str().unwrap_or_default().as_bytes(), "the name of the host")?;
    substitution.refuse(url.fragment().unwrap_or_default().as_bytes(), "the URL's fragment")?;
    let mut filled = url.clone();
    let path = url.path().as_bytes();
    if let Some(path) = fill_encoded(substitution, path, Some(&Place::Path), "the path")? {
        filled.set_path(&String::from_utf8_lossy(&path));
    }
    let query = url.query().unwrap_or_default().as_bytes();
    let place_of = |name: &str| Place::query(name);
    if let Some(query) = fill_parameters(substitution, query, place_of, "the query")? {
        filled.set_query(Some(&String::from_utf8_lossy(&query)));
    }
    Ok(filled)
}

/// Returns `name=value&…` with the values injected, or `None` if it has no placeholder. `place_of` returns the place
/// for a parameter's name.
pub(super) fn fill_parameters(
    substitution: &mut Substitution<'_>,
    text: &[u8],
    place_of: fn(&str) -> Option<Place>,
    part: &'static str,
) -> Result<Option<Vec<u8>>, Refusal> {
    let (mut filled, mut changed) = (Vec::with_capacity(text.len()), false);
    for (number, parameter) in text.split(|b| *b == b'&').enumerate() {
        if number > 0 {
            filled.push(b'&');
        }
        let end = parameter.iter().position(|b| *b == b'=').map_or(parameter.len(), |at| at + 1);
        let (name, value) = parameter.split_at_checked(end).unwrap_or((parameter, &[]));
        substitution.refuse(name, "the name of a parameter")?;
        filled.extend_from_slice(name);
        let place = form_urlencoded::parse(name).next().and_then(|(name, _)| place_of(&name));
        match fill_encoded(substitution, value, place.as_ref(), part)? {
            Some(value) => {
                changed = true;
                filled.extend(value);
            }
            None => filled.extend_from_slice(value),
        }
    }
    Ok(changed.then_some(filled))
}

fn fill_encoded(
    substitution: &mut Substitution<'_>,
    text: &[u8],
    place: Option<&Place>,
    part: &'static str,
) -> Result<Option<Vec<u8>>, Refusal> {
    let encode = |value: &[u8]| Ok(percent_encode(value, PERCENT_ENCODED).collect::<String>().into_bytes());
    let filled = substitution.fill(text, place, part, encode)?;
    let mut escapes = text.split(|b| *b == b'%').skip(1);
    let is_complete = |escape: &[u8]| escape.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    match filled.is_some() && !escapes.all(is_complete) {
        true => Err(Refusal::Escape { part }),
        false => Ok(filled),
    }
}
