//! What was asked for under an `Idempotency-Key`, so that a request that is sent again is not carried
//! out again.

use hmac::Mac as _;
use moxxy_store as store;
use moxxy_system::in_flight::{InFlight, InFlightGuard};
use moxxy_types::{
    digest::MacKey,
    error::Result,
    idempotency::{Claim, Earlier, Key},
};

use crate::app::App;

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
    pub open: InFlight<Key>,
}

/// Takes a key for its first request, or says what became of it.
pub async fn take(app: &App, claim: &Claim) -> Result<Result<InFlightGuard<Key>, Earlier>> {
    let Some(open) = app.idempotency.open.try_begin(&claim.key) else {
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
