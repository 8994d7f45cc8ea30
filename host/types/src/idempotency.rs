//! Requests with an `Idempotency-Key`, and their outcomes.

use crate::{
    error::{Detail, Error, Problem},
    ids::RunId,
};

/// A key, for one caller and one route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub caller: String,
    pub route: String,
    pub text: String,
}

/// A key with what it was used for.
#[derive(Debug, Clone)]
pub struct Claim {
    pub key: Key,
    /// An HMAC of the body.
    pub mac: [u8; 32],
}

/// What became of the first request with a key.
#[derive(Debug)]
pub enum Earlier {
    /// It is being carried out.
    Running,
    /// Nobody knows how it ended.
    Unknown,
    /// It asked for something else.
    Different,
    /// It made this run.
    Run(RunId),
    /// Its answer.
    Answered { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// It was carried out, and made this; its answer is not kept.
    Made(String),
}

/// Why a key cannot be used again.
impl From<Earlier> for Error {
    fn from(earlier: Earlier) -> Self {
        match earlier {
            Earlier::Different => Self::conflict(
                "idempotency_key_reused",
                "This Idempotency-Key was used with another body; take a new one for a new request",
            ),
            Earlier::Unknown => Self::conflict(
                "outcome_unknown",
                "The server was interrupted when it carried out the first request with this Idempotency-Key; \
                 look at what there is",
            ),
            Earlier::Made(id) => {
                let message = format!(
                    "The first request with this Idempotency-Key was carried out, on '{id}'; its answer is not kept, \
                     as it showed a secret or was large"
                );
                let details = vec![Detail { field: "id".into(), reason: id }];
                Self::Conflict(Problem::new("already_done", message), details)
            }
            Earlier::Running | Earlier::Run(_) | Earlier::Answered { .. } => {
                Self::conflict("in_progress", "The first request with this Idempotency-Key is being carried out; wait")
            }
        }
    }
}
