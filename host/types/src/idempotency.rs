//! Requests with an `Idempotency-Key`, and their outcomes.

use crate::{
    error::{Detail, Error, Problem},
    ids::RunId,
};

/// Idempotency key, scoped to a caller and a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub caller: String,
    pub route: String,
    pub text: String,
}

/// Idempotency key with a fingerprint of its request.
#[derive(Debug, Clone)]
pub struct Claim {
    pub key: Key,
    /// HMAC of the request body.
    pub mac: [u8; 32],
}

/// State of the first request with a key.
#[derive(Debug)]
pub enum Earlier {
    /// The request is in progress.
    Running,
    /// The outcome is unknown.
    Unknown,
    /// The request had another body.
    Different,
    /// The request created this run.
    Run(RunId),
    /// The response.
    Answered { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// The request succeeded on this resource; its response is not stored.
    Made(String),
}

/// Converts the state to the reason why the key cannot be used again.
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
                let details = vec![Detail::parameter("id", id)];
                Self::Conflict(Problem::new("already_done", message), details)
            }
            Earlier::Running | Earlier::Run(_) | Earlier::Answered { .. } => {
                Self::conflict("in_progress", "The first request with this Idempotency-Key is being carried out; wait")
            }
        }
    }
}
