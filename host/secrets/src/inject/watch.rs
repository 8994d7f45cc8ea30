//! Looks for placeholders where no value is put in. They are known by their digits.

use memchr::memmem;

use super::{Injectable, refusal::Refusal};
use crate::placeholder;

/// Looks through a body as it goes by, in pieces of any size.
pub struct Watch {
    /// Names and digits.
    secrets: Vec<(String, String)>,
    part: &'static str,
    /// The last bytes that went by, one fewer than digits.
    seen: Vec<u8>,
}

impl Watch {
    pub(super) fn new(secrets: &[Injectable], part: &'static str) -> Self {
        let digits = |secret: &Injectable| (secret.name.clone(), secret.placeholder.digits().to_owned());
        Self { secrets: secrets.iter().map(digits).collect(), part, seen: Vec::new() }
    }

    /// Refuses the piece in which a placeholder ends: the request is broken off then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let Some((_, digits)) = self.secrets.first() else { return Ok(()) };
        let kept = digits.len() - 1;
        let border = self.seen.len();
        self.seen.extend_from_slice(chunk.get(..kept).unwrap_or(chunk));
        let found = self.secrets.iter().find(|(_, digits)| {
            let has = |text: &[u8]| memmem::find(text, digits.as_bytes()).is_some();
            (border > 0 && has(&self.seen)) || has(chunk)
        });
        if let Some((secret, _)) = found {
            return Err(Refusal::Part { secret: secret.clone(), part: self.part });
        }
        if chunk.len() >= kept {
            self.seen = chunk.get(chunk.len() - kept..).unwrap_or_default().to_vec();
        } else {
            self.seen.drain(..self.seen.len().saturating_sub(kept));
        }
        Ok(())
    }
}

/// Refuses a text with the digits of a placeholder in it, in letters of any size, or with the
/// beginning of any placeholder.
pub(super) fn refuse(secrets: &[Injectable], text: &[u8], part: &'static str) -> Result<(), Refusal> {
    refuse_digits(secrets, &text.to_ascii_lowercase(), part)?;
    match placeholder::begins_in(text) {
        true => Err(Refusal::Unknown { part }),
        false => Ok(()),
    }
}

/// Refuses a text with the digits of a placeholder of this call in it.
pub(super) fn refuse_digits(secrets: &[Injectable], text: &[u8], part: &'static str) -> Result<(), Refusal> {
    let has = |digits: &str| text.len() >= digits.len() && memmem::find(text, digits.as_bytes()).is_some();
    match secrets.iter().find(|secret| has(secret.placeholder.digits())) {
        Some(secret) => Err(Refusal::Part { secret: secret.name.clone(), part }),
        None => Ok(()),
    }
}
