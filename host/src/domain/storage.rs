//! The durable values of a skill, for one agent.

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, Result},
    ids::Name,
    plugins::{Failure, Limit, Staged, Storage},
    store::{self, AgentKey, Store, Tx},
};

/// What a skill keeps for an agent at most.
const KEYS: i64 = 10_000;
const BYTES: i64 = 16 * 1024 * 1024;

/// Reads what was committed.
#[derive(Debug)]
pub struct OfSkill {
    store: Store,
    agent: AgentKey,
    skill: Name,
}

impl OfSkill {
    pub fn new(store: &Store, agent: AgentKey, skill: &Name) -> Self {
        Self { store: store.clone(), agent, skill: skill.clone() }
    }
}

impl Storage for OfSkill {
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let read =
                async { store::keyvalue::get(&mut *self.store.read().await?, self.agent, &self.skill, &key).await };
            read.await.map_err(unreadable)
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async move {
            let read = async { store::keyvalue::keys(&mut *self.store.read().await?, self.agent, &self.skill).await };
            read.await.map_err(unreadable)
        })
    }
}

/// Commits what a call wrote. If it does not fit, nothing is written, and the call has failed.
pub async fn commit(tx: &mut Tx, agent: AgentKey, skill: &Name, staged: Staged) -> Result<Result<(), Failure>> {
    if staged.is_empty() {
        return Ok(Ok(()));
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
