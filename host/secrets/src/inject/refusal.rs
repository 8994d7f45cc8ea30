//! Reasons for rejecting a request with a placeholder. A message names the secret and the place, never the value.

use super::super::place::Place;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No grant allows the secret in requests to this origin.
    #[error("the secret `{secret}` is not granted for requests to {origin}")]
    Destination { secret: String, place: Place, origin: String },
    /// Grants allow the secret in requests to this origin, but not in this place.
    #[error("the secret `{secret}` is not granted for the place `{place}` of requests to {origin}")]
    Place { secret: String, place: Place, origin: String },
    /// No grant could allow the secret in this part of a request.
    #[error("the secret `{secret}` stands in {part}, where no secret is put in")]
    Part { secret: String, part: &'static str },
    #[error("the secret `{secret}` cannot stand in the place `{place}`: {reason}")]
    Unfit { secret: String, place: Place, reason: &'static str },
    #[error(
        "the secret `{secret}` is shorter than {} bytes, too short to be put into requests",
        super::MIN_VALUE_BYTES
    )]
    Short { secret: String },
    #[error("a request that the secret `{secret}` is put into is larger than {} bytes", super::MAX_BODY_BYTES)]
    Large { secret: String },
    /// Part of a placeholder, one in another letter case, or one of another call.
    #[error("{part} has a placeholder that stands for no secret of this call, or a piece of one")]
    Unknown { part: &'static str },
    #[error("{part} has a placeholder, and a `%` without two digits, which would take them from the value")]
    Escape { part: &'static str },
}

impl Refusal {
    /// Returns the place that a grant would have to allow, if a grant could allow it.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Destination { place, .. } | Self::Place { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Returns the name of the secret, unless the placeholder stands for none.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Destination { secret, .. }
            | Self::Place { secret, .. }
            | Self::Part { secret, .. }
            | Self::Unfit { secret, .. }
            | Self::Short { secret }
            | Self::Large { secret } => Some(secret),
            Self::Unknown { .. } | Self::Escape { .. } => None,
        }
    }
}
