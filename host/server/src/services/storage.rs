//! Durable key-value storage of a skill, for one agent.

use futures_util::future::BoxFuture;
use moxxy_runtime::{Failure, Limit, Storage};
use moxxy_store::{self as store, Store, Tx};
use moxxy_system::tasks::ServerRuntime;
use moxxy_types::{
    agents::AgentKey,
    components::Staged,
    error::{Error, Result},
    ids::Name,
    installations::InstallationKey,
};

/// Maximum number of values that a skill stores for an agent.
const MAX_KEYS: i64 = 10_000;
/// Maximum size of the keys and values that a skill stores for an agent, in bytes.
const MAX_BYTES: i64 = 16 * 1024 * 1024;

/// Reads committed values for guests, on the server's threads.
#[derive(Debug)]
pub struct SkillStorage {
    store: Store,
    server: ServerRuntime,
    owner: (InstallationKey, AgentKey),
}

impl SkillStorage {
    pub fn new(store: &Store, owner: (InstallationKey, AgentKey)) -> Self {
        Self { store: store.clone(), server: ServerRuntime::current(), owner }
    }
}

impl Storage for SkillStorage {
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        let (store, owner) = (self.store.clone(), self.owner);
        let read = async move { store::keyvalue::get(&mut *store.read().await?, owner, &key).await };
        Box::pin(async { self.server.run(read).await.flatten().map_err(unreadable) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        let (store, owner) = (self.store.clone(), self.owner);
        let read = async move { store::keyvalue::keys(&mut *store.read().await?, owner).await };
        Box::pin(async { self.server.run(read).await.flatten().map_err(unreadable) })
    }
}

/// Commits the writes of a call. If they exceed a limit, or if the skill was removed meanwhile, nothing is written and
/// the call fails.
pub async fn commit(
    tx: &mut Tx,
    owner: (InstallationKey, AgentKey),
    skill: &Name,
    staged: Staged,
) -> Result<Result<(), Failure>> {
    if staged.is_empty() {
        return Ok(Ok(()));
    }
    let (skill_exists, agent_exists) =
        (store::installations::exists(tx, owner.0).await?, store::agents::exists(tx, owner.1).await?);
    if !(skill_exists && agent_exists) {
        let message = format!("`{skill}` was removed while the call was running");
        return Ok(Err(Failure::refused("skill_removed", message)));
    }
    let (keys, bytes) = store::keyvalue::size_with(tx, owner, &staged).await?;
    if keys > MAX_KEYS || bytes > MAX_BYTES {
        let message = format!(
            "`{skill}` keeps at most {MAX_KEYS} values and {MAX_BYTES} bytes for an agent; this would make it {keys} and {bytes}"
        );
        return Ok(Err(Failure::Limit { limit: Limit::Storage, message }));
    }
    for (key, value) in staged {
        store::keyvalue::put(tx, owner, &key, value.as_deref()).await?;
    }
    Ok(Ok(()))
}

fn unreadable(error: Error) -> String {
    tracing::error!(error = ?error, "failed to read stored values");
    "the values cannot be read now".to_owned()
}
