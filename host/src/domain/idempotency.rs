//! What was asked for under an `Idempotency-Key`, so that a request that is sent again is not carried
//! out again.

use hmac::Mac as _;

use crate::{
    app::App,
    store,
    system::single::{Doing, Single},
    types::{
        digest::MacKey,
        error::{Detail, Error, Problem, Result},
        ids::RunId,
    },
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

/// A claim on a key, with the body that came with it.
pub fn claim(app: &App, key: Key, body: &[u8]) -> Claim {
    let mut mac = app.idempotency.mac.start();
    mac.update(body);
    Claim { key, mac: mac.finalize().into_bytes().into() }
}

/// What bodies are compared by, and the keys under which this process carries something out.
#[derive(Debug, Clone)]
pub struct Keys {
    pub mac: MacKey,
    pub open: Single<Key>,
}

/// Takes a key for its first request, or says what became of it.
pub async fn take(app: &App, claim: &Claim) -> Result<Result<Doing<Key>, Earlier>> {
    let Some(open) = app.idempotency.open.begin(&claim.key) else {
        let earlier = store::idempotency::find(&mut *app.store.read().await?, claim).await?;
        return Ok(Err(match earlier {
            None | Some(Earlier::Unknown) => Earlier::Running,
            Some(earlier) => earlier,
        }));
    };
    let wanted = claim.clone();
    let earlier = app.store.write(move |tx| Box::pin(async move { store::idempotency::claim(tx, &wanted).await }));
    Ok(earlier.await?.map_or(Ok(open), Err))
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
