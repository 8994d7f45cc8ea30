//! Detection of placeholders, by their digits, where no value is injected.

use memchr::memmem;

use super::{Injectable, refusal::Refusal};
use crate::placeholder;

/// Searches a streamed body in chunks of any size.
pub struct Watch {
    /// Names of the secrets and digits of their placeholders.
    secrets: Vec<(String, String)>,
    part: &'static str,
    /// Last bytes of the stream, one fewer than the digits of a placeholder.
    tail: Vec<u8>,
}

impl Watch {
    pub(super) fn new(secrets: &[Injectable], part: &'static str) -> Self {
        let digits = |secret: &Injectable| (secret.name.clone(), secret.placeholder.digits().to_owned());
        Self { secrets: secrets.iter().map(digits).collect(), part, tail: Vec::new() }
    }

    /// Rejects the chunk in which a placeholder ends; the request is then aborted.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let Some((_, digits)) = self.secrets.first() else { return Ok(()) };
        let overlap = digits.len() - 1;
        let tail_len = self.tail.len();
        self.tail.extend_from_slice(chunk.get(..overlap).unwrap_or(chunk));
        let found = self.secrets.iter().find(|(_, digits)| {
            let contains = |text: &[u8]| memmem::find(text, digits.as_bytes()).is_some();
            (tail_len > 0 && contains(&self.tail)) || contains(chunk)
        });
        if let Some((secret, _)) = found {
            return Err(Refusal::Part { secret: secret.clone(), part: self.part });
        }
        if chunk.len() >= overlap {
            self.tail = chunk.get(chunk.len() - overlap..).unwrap_or_default().to_vec();
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(overlap));
        }
        Ok(())
    }
}

/// Rejects a text with the digits of a placeholder in upper or lower case, or with the beginning of any
/// placeholder.
pub(super) fn refuse(secrets: &[Injectable], text: &[u8], part: &'static str) -> Result<(), Refusal> {
    refuse_digits(secrets, &text.to_ascii_lowercase(), part)?;
    match placeholder::contains_prefix(text) {
        true => Err(Refusal::Unknown { part }),
        false => Ok(()),
    }
}

/// Rejects a text with the digits of a placeholder of this call.
pub(super) fn refuse_digits(secrets: &[Injectable], text: &[u8], part: &'static str) -> Result<(), Refusal> {
    let contains = |digits: &str| text.len() >= digits.len() && memmem::find(text, digits.as_bytes()).is_some();
    match secrets.iter().find(|secret| contains(secret.placeholder.digits())) {
        Some(secret) => Err(Refusal::Part { secret: secret.name.clone(), part }),
        None => Ok(()),
    }
}
