//! Headers that the operator configures.

use std::collections::BTreeMap;

use super::Error;
use crate::http::Request;

/// What a key is sent in.
const OF_KEYS: [&str; 5] = ["authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"];

/// Adds headers that the configuration lists. One that carries a key is refused: what is configured can
/// be read by everyone who may see the provider.
///
/// ```
/// use std::collections::BTreeMap;
/// use moxxy_sdk::{http, provider::with_headers};
///
/// let headers = |name: &str| BTreeMap::from([(name.to_owned(), "Moxxy".to_owned())]);
/// let request = with_headers(http::get("https://example.com/"), &headers("X-Title")).unwrap();
/// assert_eq!(request.sent_header("x-title"), Some("Moxxy"));
/// assert!(with_headers(http::get("https://example.com/"), &headers("Authorization")).is_err());
/// ```
///
/// # Errors
///
/// [`Error::InvalidRequest`] for a header that carries a key.
pub fn with_headers(request: Request, headers: &BTreeMap<String, String>) -> Result<Request, Error> {
    if let Some(name) = headers.keys().find(|name| OF_KEYS.iter().any(|key| name.eq_ignore_ascii_case(key))) {
        let advice = "grant the key as a secret, so that nobody sees it";
        return Err(Error::InvalidRequest(format!("the header {name:?} is not for the configuration: {advice}")));
    }
    Ok(headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
}
