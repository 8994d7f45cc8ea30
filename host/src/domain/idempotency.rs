//! What was asked for under an `Idempotency-Key`, so that a request that is sent again is not carried
//! out again.

use crate::{
    error::{Detail, Error, Problem},
    ids::RunId,
};

/// A key, for one caller and one route, with what it was used for.
#[derive(Debug, Clone)]
pub struct Claim {
    pub caller: String,
    pub route: String,
    pub key: String,
    /// An HMAC of the body.
    pub mac: [u8; 32],
}

/// What became of the first request with a key.
#[derive(Debug)]
pub enum Earlier {
    /// It is being carried out, or nobody knows how it ended.
    Open { interrupted: bool },
    /// It asked for something else.
    Different,
    /// It made this run.
    Run(RunId),
    /// Its answer.
    Answered { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// It made this, and showed a secret once.
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
            Earlier::Open { interrupted: true } => Self::conflict(
                "outcome_unknown",
                "The server ended while it carried out the first request with this Idempotency-Key; look at what there is",
            ),
            Earlier::Made(id) => {
                let message =
                    format!("The first request with this Idempotency-Key made '{id}' and showed its secret once");
                let details = vec![Detail { field: "id".into(), reason: id }];
                Self::Conflict(Problem::new("already_done", message), details)
            }
            Earlier::Open { .. } | Earlier::Run(_) | Earlier::Answered { .. } => {
                Self::conflict("in_progress", "The first request with this Idempotency-Key is being carried out; wait")
            }
        }
    }
}
