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
    agent: AgentKey,
    skill: Name,
}

impl SkillStorage {
    pub fn new(store: &Store, agent: AgentKey, skill: &Name) -> Self {
        Self { store: store.clone(), server: ServerRuntime::current(), agent, skill: skill.clone() }
    }
}

impl Storage for SkillStorage {
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        let (store, agent, skill) = (self.store.clone(), self.agent, self.skill.clone());
        let read = async move { store::keyvalue::get(&mut *store.read().await?, agent, &skill, &key).await };
        Box::pin(async { self.server.run(read).await.flatten().map_err(unreadable) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        let (store, agent, skill) = (self.store.clone(), self.agent, self.skill.clone());
        let read = async move { store::keyvalue::keys(&mut *store.read().await?, agent, &skill).await };
        Box::pin(async { self.server.run(read).await.flatten().map_err(unreadable) })
    }
}

/// Commits the writes of a call. If they exceed a limit, or if the skill was removed meanwhile, nothing is written and
/// the call fails. `since` is the time of the installation, to distinguish a later skill of the same name.
pub async fn commit(
    tx: &mut Tx,
    agent: AgentKey,
    skill: &Name,
    since: &str,
    staged: Staged,
) -> Result<Result<(), Failure>> {
    if staged.is_empty() {
        return Ok(Ok(()));
    }
    if store::skills::installed_at(tx, agent, skill).await?.as_deref() != Some(since) {
        let message = format!("`{skill}` was removed while the call was running");
        return Ok(Err(Failure::refused("skill_removed", message)));
    }
    let (keys, bytes) = store::keyvalue::size_with(tx, agent, skill, &staged).await?;
    if keys > MAX_KEYS || bytes > MAX_BYTES {
        let message = format!(
            "`{skill}` keeps at most {MAX_KEYS} values and {MAX_BYTES} bytes for an agent; this would make it {keys} and {bytes}"
        );
        return Ok(Err(Failure::Limit { limit: Limit::Storage, message }));
    }
    for (key, value) in staged {
        store::keyvalue::put(tx, agent, skill, &key, value.as_deref()).await?;
    }
    Ok(Ok(()))
}

fn unreadable(error: Error) -> String {
    tracing::error!(error = ?error, "failed to read stored values");
    "the values cannot be read now".to_owned()
}
