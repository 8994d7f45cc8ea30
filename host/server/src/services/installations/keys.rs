//! Keys in configurations. They belong into the vault, because clients that may read agents also see configurations.

use moxxy_types::error::{Error, Result};
use serde_json::{Map, Value};
use url::Url;

/// Beginnings of the keys of well-known services, as their documentation shows them.
const PREFIXES: [&str; 23] = [
    "AIza",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "gsk_",
    "hf_",
    "mox_",
    "pplx-",
    "r8_",
    "rk_live_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "whsec_",
    "xai-",
    "xapp-",
    "xoxb-",
    "xoxp-",
];
/// Beginnings of values that contain credentials (RFC 9110, section 11.4).
const SCHEMES: [&str; 2] = ["Bearer ", "Basic "];
/// Options whose fields are sent with each request.
const CARRIERS: [&str; 3] = ["headers", "query", "body"];
/// Names of headers and parameters that carry keys, with underscores.
const KEY_NAMES: [&str; 14] = [
    "access_token",
    "api_key",
    "apikey",
    "auth_token",
    "authorization",
    "client_secret",
    "cookie",
    "key",
    "password",
    "proxy_authorization",
    "secret",
    "token",
    "x_api_key",
    "x_auth_token",
];
/// Minimum number of characters of a key after its beginning.
const MIN_KEY_LENGTH: usize = 16;

/// Returns an error if a given configuration contains a key or a password.
pub(super) fn refuse(config: &Map<String, Value>) -> Result<()> {
    config.iter().try_for_each(|(name, value)| refuse_in(&format!("config.{name}"), value))
}

fn refuse_in(field: &str, value: &Value) -> Result<()> {
    match value {
        Value::String(text) if contains_key(text) || (!text.is_empty() && is_key_name(field)) => {
            let reason = "it contains a key or a password, and every client with `agents:read` sees it. Store it with \
                          POST /v1/vault/secrets, and grant it with `secrets`";
            Err(Error::invalid_field(field, reason))
        }
        Value::Array(items) => items.iter().try_for_each(|item| refuse_in(field, item)),
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| refuse_in(&format!("{field}.{name}"), value))
        }
        _ => Ok(()),
    }
}

/// Whether a field of headers or parameters has the name of a key.
fn is_key_name(field: &str) -> bool {
    let mut parts = field.rsplit('.');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase().replace('-', "_");
    parts.next().is_some_and(|parent| CARRIERS.contains(&parent)) && KEY_NAMES.contains(&&*name)
}

fn contains_key(text: &str) -> bool {
    let has_password = Url::parse(text).is_ok_and(|url| url.password().is_some());
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let mut words = text.split(|character| !is_part(character));
    let is_key = |word: &str| {
        let rest = PREFIXES.iter().find_map(|prefix| word.strip_prefix(prefix));
        rest.is_some_and(is_random)
    };
    let has_scheme = SCHEMES.iter().any(|scheme| {
        let credentials = text.split_at_checked(scheme.len()).filter(|(start, _)| start.eq_ignore_ascii_case(scheme));
        credentials.is_some_and(|(_, rest)| !rest.contains(char::is_whitespace) && is_random(rest))
    });
    has_password || has_scheme || words.any(is_key)
}

/// Whether a text looks like random characters rather than words.
fn is_random(text: &str) -> bool {
    text.len() >= MIN_KEY_LENGTH && text.bytes().any(|byte| byte.is_ascii_digit())
}
