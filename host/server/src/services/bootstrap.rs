//! The bootstrap: how the very first token is made with a code that is printed at start. In loopback mode
//! it needs none from this machine.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use moxxy_types::{clock::Clock, digest, error::Result, ids};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

pub const PREFIX: &str = "boot_";
/// How long a code is valid.
pub const LIFE: Duration = Duration::minutes(15);

/// The code of this start, if there was no token yet. It ends with the first token, which is
/// decided where tokens are made.
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

    /// The code, to be printed once.
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
