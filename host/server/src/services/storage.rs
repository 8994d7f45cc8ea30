//! The durable values of a skill, for one agent.

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

/// What a skill keeps for an agent at most.
const KEYS: i64 = 10_000;
const BYTES: i64 = 16 * 1024 * 1024;

/// Reads what was committed. Guests ask it, and the server's threads do the reading.
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

/// Commits what a call wrote. If it does not fit, or if the skill was removed meanwhile, nothing
/// is written, and the call has failed. `since` tells the skill from a later one of its name.
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
    if keys > KEYS || bytes > BYTES {
        let message = format!(
            "`{skill}` keeps at most {KEYS} values and {BYTES} bytes for an agent; this would make it {keys} and {bytes}"
        );
        return Ok(Err(Failure::Limit { limit: Limit::Storage, message }));
    }
    for (key, value) in staged {
        store::keyvalue::put(tx, agent, skill, &key, value.as_deref()).await?;
    }
    Ok(Ok(()))
}

fn unreadable(error: Error) -> String {
    tracing::error!(error = ?error, "stored values cannot be read");
    "the values cannot be read now".to_owned()
}
