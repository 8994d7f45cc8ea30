//! Access service: tokens, the bootstrap code, idempotency keys and the audit log.

use std::sync::Arc;

use ipnet::IpNet;
use moxxy_secrets::MasterKey;
use moxxy_store::{self as store, Store};
use moxxy_system::{in_flight::InFlight, tasks::Tasks};
use moxxy_types::{digest::MacKey, error::Result, ids::TokenId};
use tokio::sync::watch;

use crate::services::{
    bootstrap::Bootstrap,
    idempotency::IdempotencyKeys,
    refusals::{self, Refusals},
};

/// Access control of the server, and the record of its use.
#[derive(Debug, Clone)]
pub struct Access {
    pub(super) store: Store,
    pub(super) tasks: Tasks,
    pub(super) master: MasterKey,
    pub(super) bootstrap: Arc<Bootstrap>,
    pub idempotency: IdempotencyKeys,
    /// Refused tokens that no event has reported yet.
    pub(super) refusals: Arc<Refusals>,
    /// Notified when a token is revoked.
    pub(super) revoked: watch::Sender<()>,
    /// Tokens whose last use is being written.
    pub(super) uses: InFlight<TokenId>,
}

impl Access {
    pub async fn new(store: &Store, tasks: &Tasks, master: &MasterKey) -> Result<Self> {
        let first = !store::tokens::any(&mut *store.read().await?).await?;
        Ok(Self {
            store: store.clone(),
            tasks: tasks.clone(),
            master: master.clone(),
            bootstrap: Arc::new(Bootstrap::new(first, store.clock())?),
            idempotency: IdempotencyKeys::new(store, tasks, MacKey::new(master.derive("moxxy idempotency 1"))),
            refusals: Arc::default(),
            revoked: watch::Sender::default(),
            uses: InFlight::default(),
        })
    }

    /// Returns the one-time code that creates the first token, for the operator's terminal.
    pub fn bootstrap_code(&self) -> Option<&str> {
        self.bootstrap.code()
    }

    /// Counts a request with an unknown token. An event reports the count at most once a minute.
    pub async fn count_refusal(&self, source: IpNet) {
        refusals::count(&self.refusals, &self.store, &self.tasks, source).await;
    }

    /// Whether a text is the one-time code and the code has not expired.
    pub fn accepts_bootstrap_code(&self, text: &str) -> bool {
        self.bootstrap.accepts(text, self.store.clock())
    }
}
