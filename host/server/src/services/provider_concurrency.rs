//! Concurrency limits of providers. Waiting calls are served in FIFO order.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use moxxy_types::{
    error::{Error, Result},
    ids::{Name, RunId},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits of all providers that were called since the start.
#[derive(Debug, Default)]
pub struct ProviderConcurrency(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queues: HashMap<Name, Arc<Queue>>,
    /// The provider that each waiting run waits for.
    waiting: HashMap<RunId, Name>,
}

#[derive(Debug)]
struct Queue {
    permits: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    limit: u32,
    /// Permits in use beyond a lowered limit. They are discarded on release.
    excess: usize,
}

/// A permit for one call. Dropping it releases it.
#[derive(Debug)]
pub struct Permit {
    queue: Arc<Queue>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the call had to wait for it.
    pub waited: bool,
}

/// Lists a run as waiting until dropped.
struct Waiting<'l> {
    queues: &'l ProviderConcurrency,
    run: &'l RunId,
}

impl ProviderConcurrency {
    /// Waits for a permit of a provider. `limit` is the initial limit if the provider was not called before.
    pub async fn acquire(&self, run: &RunId, provider: &Name, limit: u32) -> Result<Permit> {
        let queue = self.queue(provider, limit);
        let permits = Arc::clone(&queue.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(Permit { queue, permit: Some(permit), waited: false });
        }
        self.state().waiting.insert(run.clone(), provider.clone());
        let waiting = Waiting { queues: self, run };
        let permit = permits.acquire_owned().await.map_err(Error::internal)?;
        drop(waiting);
        Ok(Permit { queue, permit: Some(permit), waited: true })
    }

    /// Returns the provider that a run waits for.
    pub fn waits_for(&self, run: &RunId) -> Option<Name> {
        self.state().waiting.get(run).cloned()
    }

    /// Changes the limit of a provider, also for calls that already wait.
    pub fn resize(&self, provider: &Name, limit: u32) {
        let new = || Arc::new(Queue::new(limit));
        self.state().queues.entry(provider.clone()).or_insert_with(new).resize(limit);
    }

    /// Removes the state of a removed provider.
    pub fn forget(&self, provider: &Name) {
        self.state().queues.remove(provider);
    }

    fn queue(&self, provider: &Name, limit: u32) -> Arc<Queue> {
        let new = || Arc::new(Queue::new(limit));
        // The limit of an existing queue is at least as new as `limit`, which the caller read earlier.
        Arc::clone(self.state().queues.entry(provider.clone()).or_insert_with(new))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new(limit: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(limit as usize)), size: Mutex::new(Size { limit, excess: 0 }) }
    }

    fn resize(&self, limit: u32) {
        let mut size = self.size();
        let (before, now) = (size.limit as usize, limit as usize);
        size.limit = limit;
        if now > before {
            let restored = size.excess.min(now - before);
            size.excess -= restored;
            self.permits.add_permits(now - before - restored);
        } else {
            size.excess += (before - now) - self.permits.forget_permits(before - now);
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut size = self.queue.size();
        if size.excess > 0
            && let Some(permit) = self.permit.take()
        {
            size.excess -= 1;
            permit.forget();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queues.state().waiting.remove(self.run);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn places_are_as_many_as_they_are_now_and_go_in_order() {
        let (queues, provider) = (ProviderConcurrency::default(), Name::from_db("p".into()));
        let runs: Vec<_> = (0..4).map(|_| RunId::random()).collect();
        let take = |index: usize, limit| queues.acquire(&runs[index], &provider, limit);
        let first = take(0, 2).now_or_never().unwrap().unwrap();
        let second = take(1, 2).now_or_never().unwrap().unwrap();
        let mut third = Box::pin(take(2, 2));
        assert!((&mut third).now_or_never().is_none());
        queues.resize(&provider, 1);
        let mut fourth = Box::pin(take(3, 2));
        assert!((&mut third).now_or_never().is_none() && (&mut fourth).now_or_never().is_none());
        assert_eq!(queues.waits_for(&runs[2]), Some(provider.clone()));
        // The limit was lowered by one, so the first released permit is discarded.
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!((&mut fourth).now_or_never().is_none());
        let third = (&mut third).now_or_never().unwrap().unwrap();
        assert_eq!(queues.waits_for(&runs[2]), None);
        // A dropped future no longer waits.
        drop(fourth);
        assert_eq!(queues.waits_for(&runs[3]), None);
        let mut waits = Box::pin(take(3, 1));
        assert!((&mut waits).now_or_never().is_none());
        queues.resize(&provider, 2);
        drop((third, (&mut waits).now_or_never().unwrap().unwrap()));
    }
}
