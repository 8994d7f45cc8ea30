//! What was asked for under an `Idempotency-Key`, so that a request that is sent again is not carried
//! out again.

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

/// Size limit of a response that is stored, in bytes.
const MAX_STORED_BYTES: usize = 256 * 1024;

/// The keys of this server, and those whose requests this process carries out now.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    store: Store,
    tasks: Tasks,
    mac: MacKey,
    open: InFlight<Key>,
}

/// How the first request with a key ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing was carried out: the key is free again.
    Released,
    /// It was carried out; its response shows a secret, and only this id of what it made is stored.
    Secret(String),
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

impl IdempotencyKeys {
    /// Bodies are compared by a HMAC with `mac`.
    pub fn new(store: &Store, tasks: &Tasks, mac: MacKey) -> Self {
        Self { store: store.clone(), tasks: tasks.clone(), mac, open: InFlight::default() }
    }

    /// A claim on a key, with the body that came with it.
    pub fn claim(&self, key: Key, body: &[u8]) -> Claim {
        let mut mac = self.mac.start();
        mac.update(body);
        Claim { key, mac: mac.finalize().into_bytes().into() }
    }

    /// Takes a key for its first request, or returns the outcome of that request.
    pub async fn take(&self, claim: &Claim) -> Result<Result<InFlightGuard<Key>, Earlier>> {
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

    /// Stores how a request ended. If that fails, later requests are told that the outcome is unknown.
    pub async fn finish(&self, key: Key, outcome: Outcome, open: InFlightGuard<Key>) {
        let (first, again) = (outcome.clone(), key.clone());
        match self.store.write(move |tx| Box::pin(async move { write(tx, &key, &first).await })).await {
            // The key stays taken until there is room to store the outcome.
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
    store::idempotency::note(tx, key, row).await
}

fn log_failure(written: Result<()>) {
    if let Err(error) = written {
        tracing::error!(?error, "failed to store the response of a request with an Idempotency-Key");
    }
}
