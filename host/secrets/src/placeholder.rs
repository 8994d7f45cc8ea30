//! Placeholders, which stand for secrets during one call. They consist of letters and digits, so that no encoding
//! that a component applies changes them.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use moxxy_types::{error::Error, ids};

const PREFIX: &str = "MOXXYSECRET";
/// Number of random bytes, each written as two digits.
const RANDOM_BYTES: usize = 16;

/// `MOXXYSECRET` and 128 random bits as 32 digits: `0-9`, `a-f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder(String);

impl Placeholder {
    /// Length of a placeholder, in bytes.
    pub const LENGTH_BYTES: usize = PREFIX.len() + 2 * RANDOM_BYTES;

    pub fn random() -> Result<Self, Error> {
        Ok(Self(format!("{PREFIX}{}", hex::encode(ids::random::<RANDOM_BYTES>()?))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the random digits, which occur in no other text. They are lower case, so that they are also found
    /// in lower-cased text: names of hosts and headers.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

/// Splits a text into the part before its first placeholder, of whatever call, the placeholder, and the rest.
pub fn split(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));
    let parse_at = |at: &usize| {
        let (before, rest) = text.split_at_checked(*at)?;
        let (found, after) = rest.split_at_checked(Placeholder::LENGTH_BYTES)?;
        let digits = found.get(PREFIX.len()..)?;
        let fits = digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some((before, std::str::from_utf8(found).ok()?, after))
    };
    FINDER.find_iter(text).find_map(|at| parse_at(&at))
}

/// Returns whether a text contains the beginning of a placeholder, in upper or lower case.
pub fn contains_prefix(text: &[u8]) -> bool {
    text.windows(PREFIX.len()).any(|window| window.eq_ignore_ascii_case(PREFIX.as_bytes()))
}
