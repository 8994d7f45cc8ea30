//! Commands on a data directory that no server uses.

use moxxy_secrets::MasterKey;
use moxxy_store::{Store, events::Events};
use moxxy_system::{directory, tasks::Tasks};
use moxxy_types::{clock::Clock, error::Result};

use crate::{
    config::Config,
    services::{
        audit,
        tokens::{self, Creator, Issued, NewToken},
        unlock,
        vault::{self, master},
    },
};

/// Runs `work` on the database of a data directory that no server uses.
pub async fn with_store<T>(config: &Config, work: impl AsyncFnOnce(&Store, MasterKey) -> Result<T>) -> Result<T> {
    let _lock = directory::lock(&config.data.home)?;
    let tasks = Tasks::default();
    let store = Store::open(&config.database(), Events::default(), Clock::system(), &tasks).await?;
    let done = async {
        let (master, new) = unlock::unlock(config, &store).await?;
        audit::begin(&store, &master, new).await?;
        work(&store, master).await
    };
    let done = done.await;
    drop(store);
    tasks.finished().await;
    done
}

/// Creates a token in a data directory that no server uses, for an operator that lost all others.
pub async fn create_token(config: &Config, new: NewToken) -> Result<Issued> {
    let new = tokens::checked(new)?;
    let made =
        async |store: &Store, _| store.write(move |tx| Box::pin(tokens::insert(tx, Creator::Offline, new))).await;
    with_store(config, made).await
}

/// Opens every secret in a data directory that no server uses. Returns the number of secrets.
pub async fn check_key(config: &Config) -> Result<usize> {
    with_store(config, async |store, key| vault::open_all(&key, &mut *store.read().await?).await).await
}

/// Seals every secret with another master key, in a data directory that no server uses. Returns the number of
/// secrets.
pub async fn rotate_key(config: &Config, new: MasterKey) -> Result<usize> {
    with_store(config, async |store, old| {
        let in_file = config.data.configured_key().is_none();
        if in_file {
            master::prepare(config, &new)?;
        }
        let count = store.write(move |tx| Box::pin(async move { unlock::reseal(tx, &old, &new).await })).await?;
        if in_file {
            master::finish(config)?;
        }
        Ok(count)
    })
    .await
}
