//! Idempotency keys: a repeated request with the same `Idempotency-Key` is not carried out again.

use hmac::Mac as _;
use moxxy_store::{self as store, Store, Tx, idempotency::Outcome as Row};
use moxxy_system::{
    in_flight::{InFlight, InFlightGuard},
    tasks::{Policy, Tasks},
};
use moxxy_types::{
    digest::MacKey,
    error::Result,
    idempotency::{Claim, Earlier, Key},
};

/// Maximum size of a stored response body, in bytes.
const MAX_STORED_BYTES: usize = 256 * 1024;

/// The stored keys, and those of requests in progress.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    store: Store,
    tasks: Tasks,
    mac: MacKey,
    open: InFlight<Key>,
}

/// Outcome of the first request with a key.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The request was not carried out, so the key may be used again.
    Released,
    /// The response contains a secret, so only this id of the created resource is stored.
    Secret(String),
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

impl IdempotencyKeys {
    /// Creates the service. Bodies are compared by their HMAC with the key `mac`.
    pub fn new(store: &Store, tasks: &Tasks, mac: MacKey) -> Self {
        Self { store: store.clone(), tasks: tasks.clone(), mac, open: InFlight::default() }
    }

    /// Returns a claim on a key with the HMAC of the request's body.
    pub fn claim(&self, key: Key, body: &[u8]) -> Claim {
        let mut mac = self.mac.start();
        mac.update(body);
        Claim { key, mac: mac.finalize().into_bytes().into() }
    }

    /// Claims a key for its first request, or returns the state of that request.
    pub async fn begin(&self, claim: &Claim) -> Result<Result<InFlightGuard<Key>, Earlier>> {
        let Some(open) = self.open.try_begin(&claim.key) else {
            let earlier = store::idempotency::find(&mut *self.store.read().await?, claim).await?;
            return Ok(Err(match earlier {
                None | Some(Earlier::Unknown) => Earlier::Running,
                Some(earlier) => earlier,
            }));
        };
        let wanted = claim.clone();
        let earlier = self.store.write(move |tx| Box::pin(async move { store::idempotency::claim(tx, &wanted).await }));
        Ok(earlier.await?.map_or(Ok(open), Err))
    }

    /// Stores the outcome of a request. If that fails, later requests with the key learn that the outcome is unknown.
    pub async fn finish(&self, key: Key, outcome: Outcome, open: InFlightGuard<Key>) {
        let (first, again) = (outcome.clone(), key.clone());
        match self.store.write(move |tx| Box::pin(async move { write(tx, &key, &first).await })).await {
            // The key stays claimed until there is space to store the outcome.
            Err(error) if error.is_storage_error() => {
                let store = self.store.clone();
                self.tasks.spawn("idempotency", Policy::Job, async move {
                    let stored = store.persist(move |tx| Box::pin(async move { write(tx, &again, &outcome).await }));
                    log_failure(stored.await);
                    drop(open);
                });
            }
            written => log_failure(written),
        }
    }
}

async fn write(tx: &mut Tx, key: &Key, outcome: &Outcome) -> Result<()> {
    let row = match outcome {
        Outcome::Released => return store::idempotency::release(tx, key).await,
        Outcome::Secret(id) => Row::Made(id),
        Outcome::Response { body, .. } if body.len() > MAX_STORED_BYTES => Row::Made(&key.route),
        Outcome::Response { status, headers, body } => Row::Answer { status: *status, headers, body },
    };
    store::idempotency::record_outcome(tx, key, row).await
}

fn log_failure(written: Result<()>) {
    if let Err(error) = written {
        tracing::error!(?error, "failed to store the response of a request with an Idempotency-Key");
    }
}
