//! Substitution of values for the placeholders of a text, where grants allow it.

use url::Url;

use super::{Injectable, MAX_BODY_BYTES, MIN_VALUE_BYTES, refusal::Refusal, watch};
use crate::{place::Place, placeholder};

/// Encodes a value for its place, or returns the reason why it cannot stand there.
pub(super) type Encode = fn(&[u8]) -> Result<Vec<u8>, &'static str>;

/// Substitution in one request.
pub(super) struct Substitution<'a> {
    pub secrets: &'a [Injectable],
    url: &'a Url,
    /// Whether placeholders that stand for no secret of this call are left unchanged.
    allow_unknown: bool,
    /// Number of bytes injected so far.
    injected_bytes: usize,
    uses: Vec<(String, Place)>,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(secrets: &'a [Injectable], url: &'a Url) -> Self {
        Self { secrets, url, allow_unknown: false, injected_bytes: 0, uses: Vec::new() }
    }

    pub(super) fn into_uses(self) -> Vec<(String, Place)> {
        self.uses
    }

    /// Returns the text with the values injected, or `None` if it has no placeholder. `part` names the text in a
    /// refusal, for a place that no grant can name and for unknown placeholders.
    pub(super) fn fill(
        &mut self,
        text: &[u8],
        place: Option<&Place>,
        part: &'static str,
        encode: Encode,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(place) = place else { return self.refuse(text, part).map(|()| None) };
        let (mut filled, mut rest) = (Vec::new(), text);
        while let Some((before, placeholder, after)) = placeholder::split(rest) {
            self.refuse(before, part)?;
            filled.extend_from_slice(before);
            match self.secret(placeholder) {
                Some(secret) => filled.extend(self.encode_and_record(secret, place, encode)?),
                None if self.allow_unknown => filled.extend_from_slice(placeholder.as_bytes()),
                None => return Err(Refusal::Unknown { part }),
            }
            rest = after;
        }
        self.refuse(rest, part)?;
        if filled.is_empty() {
            return Ok(None);
        }
        filled.extend_from_slice(rest);
        Ok(Some(filled))
    }

    pub(super) fn secret(&self, placeholder: &str) -> Option<&'a Injectable> {
        self.secrets.iter().find(|secret| secret.placeholder.as_str() == placeholder)
    }

    /// Leaves placeholders that stand for no secret of this call unchanged from now on.
    pub(super) fn allow_unknown(&mut self) {
        self.allow_unknown = true;
    }

    /// Rejects a text with any trace of a placeholder.
    pub(super) fn refuse(&self, text: &[u8], part: &'static str) -> Result<(), Refusal> {
        match self.allow_unknown {
            true => watch::refuse_digits(self.secrets, text, part),
            false => watch::refuse(self.secrets, text, part),
        }
    }

    /// Checks that a grant allows the secret in this place.
    pub(super) fn check(&self, secret: &Injectable, place: &Place) -> Result<(), Refusal> {
        let mut rules = secret.rules.iter().filter(|rule| (rule.admits)(self.url)).peekable();
        let (name, origin) = (secret.name.clone(), || self.url.origin().ascii_serialization());
        if rules.peek().is_none() {
            return Err(Refusal::Destination { secret: name, place: place.clone(), origin: origin() });
        }
        if !rules.any(|rule| rule.place == *place) {
            return Err(Refusal::Place { secret: name, place: place.clone(), origin: origin() });
        }
        if secret.value.expose().len() < MIN_VALUE_BYTES {
            return Err(Refusal::Short { secret: name });
        }
        Ok(())
    }

    /// Returns the encoded value, counts its bytes and records the use.
    fn encode_and_record(&mut self, secret: &Injectable, place: &Place, encode: Encode) -> Result<Vec<u8>, Refusal> {
        self.check(secret, place)?;
        let name = secret.name.clone();
        let value = encode(secret.value.expose()).map_err(|reason| Refusal::Unfit {
            secret: name.clone(),
            place: place.clone(),
            reason,
        })?;
        self.injected_bytes += value.len();
        if self.injected_bytes > MAX_BODY_BYTES {
            return Err(Refusal::Large { secret: name });
        }
        let used = (name, place.clone());
        if !self.uses.contains(&used) {
            self.uses.push(used);
        }
        Ok(value)
    }
}
