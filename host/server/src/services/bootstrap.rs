//! Bootstrap: creation of the first token with a code that is printed at start. In loopback mode, requests from this
//! machine need no code.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use moxxy_types::{clock::Clock, digest, error::Result, ids};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

pub const PREFIX: &str = "boot_";
/// Lifetime of a code.
pub const LIFE: Duration = Duration::minutes(15);

/// The code of this start, or `None` if a token already existed. It is valid until the first token is created, which
/// the creation of tokens checks.
#[derive(Debug, Default)]
pub struct Bootstrap(Option<Code>);

struct Code {
    text: String,
    until: OffsetDateTime,
}

impl Bootstrap {
    pub fn new(needed: bool, clock: &Clock) -> Result<Self> {
        if !needed {
            return Ok(Self(None));
        }
        let text = format!("{PREFIX}{}", BASE64URL.encode(ids::random::<32>()?));
        Ok(Self(Some(Code { text, until: clock.now() + LIFE })))
    }

    /// Returns the code, to be printed once.
    pub fn code(&self) -> Option<&str> {
        self.0.as_ref().map(|code| code.text.as_str())
    }

    pub fn accepts(&self, presented: &str, clock: &Clock) -> bool {
        let Some(code) = &self.0 else { return false };
        let same = digest::sha256(code.text.as_bytes()).ct_eq(&digest::sha256(presented.as_bytes()));
        bool::from(same) && clock.now() < code.until
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Code(until {})", self.until)
    }
}
