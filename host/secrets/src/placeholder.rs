//! The text that stands for a secret during one call, in letters and digits alone, so that it comes
//! unchanged through whatever encoding a component puts it in a request with.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use moxxy_types::{error::Error, ids};

const START: &str = "MOXXYSECRET";
const RANDOM: usize = 16;

/// `MOXXYSECRET` and 128 random bits as 32 digits: `0-9`, `a-f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder(String);

impl Placeholder {
    pub const LENGTH: usize = START.len() + 2 * RANDOM;

    pub fn random() -> Result<Self, Error> {
        Ok(Self(format!("{START}{}", hex::encode(ids::random::<RANDOM>()?))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What no other text has in it. Small letters, so that they are found in what was put in small
    /// letters, too: names of hosts and headers.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix(START).unwrap_or(&self.0)
    }
}

/// The text before the first placeholder, whoever made it, the placeholder, and the text after it.
pub fn split(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(START));
    let whole = |at: &usize| {
        let (before, rest) = text.split_at_checked(*at)?;
        let (found, after) = rest.split_at_checked(Placeholder::LENGTH)?;
        let digits = found.get(START.len()..)?;
        let fits = digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some((before, std::str::from_utf8(found).ok()?, after))
    };
    FINDER.find_iter(text).find_map(|at| whole(&at))
}

/// Whether a text has the beginning of a placeholder in it, in letters of any size.
pub fn begins_in(text: &[u8]) -> bool {
    text.windows(START.len()).any(|window| window.eq_ignore_ascii_case(START.as_bytes()))
}
