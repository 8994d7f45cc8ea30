//! The vault: the master key, and the secrets of calls.

pub mod call_secrets;
mod credentials;
pub mod master;
pub mod secret_use;

pub use master::{master_of, open_all};

use moxxy_secrets::MasterKey;
use moxxy_store::Store;

/// The service of secrets and of the grants to use them.
#[derive(Debug, Clone)]
pub struct Vault {
    pub(super) store: Store,
    pub(super) master: MasterKey,
}

impl Vault {
    pub fn new(store: &Store, master: &MasterKey) -> Self {
        Self { store: store.clone(), master: master.clone() }
    }
}
