//! A semaphore that is fair to holders. While permits are free, any holder gets one. While callers wait, the next free
//! permit goes to the holder with the fewest permits, and among equals to the caller that waits longest.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Permits of several holders.
#[derive(Debug)]
pub struct FairSemaphore<H: Eq + Hash + Clone>(Arc<Shared<H>>);

#[derive(Debug)]
struct Shared<H: Eq + Hash + Clone> {
    state: Mutex<State<H>>,
    /// Maximum number of permits of one holder.
    max_per_holder: usize,
}

#[derive(Debug)]
struct State<H: Eq + Hash + Clone> {
    free: usize,
    /// Holders with permits or waiting callers.
    holders: HashMap<H, Holder<H>>,
    /// Number of callers that have waited so far.
    arrivals: u64,
}

#[derive(Debug)]
struct Holder<H: Eq + Hash + Clone> {
    permits: usize,
    /// Waiting callers in the order of their arrival, with its number.
    waiting: VecDeque<(u64, oneshot::Sender<FairPermit<H>>)>,
}

/// A permit. Dropping it releases it.
#[derive(Debug)]
pub struct FairPermit<H: Eq + Hash + Clone> {
    shared: Arc<Shared<H>>,
    holder: H,
}

impl<H: Eq + Hash + Clone> FairSemaphore<H> {
    /// Creates a semaphore of which one holder has at most `max_per_holder` permits.
    pub fn new(permits: usize, max_per_holder: usize) -> Self {
        let state = State { free: permits, holders: HashMap::new(), arrivals: 0 };
        Self(Arc::new(Shared { state: Mutex::new(state), max_per_holder: max_per_holder.max(1) }))
    }

    /// Returns a permit if one is free.
    pub fn try_acquire(&self, holder: &H) -> Option<FairPermit<H>> {
        let mut state = self.0.lock();
        let permits = state.holders.get(holder).map_or(0, |holder| holder.permits);
        (state.free > 0 && permits < self.0.max_per_holder).then(|| Shared::hand_out(&self.0, &mut state, holder))
    }

    /// Whether a holder has as many permits as one may.
    pub fn is_at_limit(&self, holder: &H) -> bool {
        self.0.lock().holders.get(holder).is_some_and(|holder| holder.permits >= self.0.max_per_holder)
    }

    /// Waits for a permit. Dropping the future gives up the place in the queue.
    pub async fn acquire(&self, holder: &H) -> FairPermit<H> {
        loop {
            let granted = {
                let mut state = self.0.lock();
                let permits = state.holders.get(holder).map_or(0, |holder| holder.permits);
                if state.free > 0 && permits < self.0.max_per_holder {
                    return Shared::hand_out(&self.0, &mut state, holder);
                }
                state.arrivals += 1;
                let (arrival, (sender, granted)) = (state.arrivals, oneshot::channel());
                state.entry(holder).waiting.push_back((arrival, sender));
                granted
            };
            // The sender is dropped without a permit only with the semaphore, which `self` keeps.
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }
}

impl<H: Eq + Hash + Clone> Shared<H> {
    fn hand_out(shared: &Arc<Self>, state: &mut State<H>, holder: &H) -> FairPermit<H> {
        state.free -= 1;
        state.entry(holder).permits += 1;
        FairPermit { shared: Arc::clone(shared), holder: holder.clone() }
    }

    /// Hands out free permits to waiting callers.
    fn serve(shared: &Arc<Self>) {
        // Permits whose receiver is gone are returned after the lock is released, because that takes it again.
        let mut unclaimed = Vec::new();
        let mut state = shared.lock();
        while state.free > 0 {
            let Some(holder) = state.next(shared.max_per_holder) else { break };
            let waiting = state.holders.get_mut(&holder).and_then(|holder| holder.waiting.pop_front());
            let Some((_, sender)) = waiting else { break };
            if sender.is_closed() {
                state.forget_idle(&holder);
                continue;
            }
            let permit = Self::hand_out(shared, &mut state, &holder);
            if let Err(permit) = sender.send(permit) {
                unclaimed.push(permit);
            }
        }
        drop(state);
        drop(unclaimed);
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Eq + Hash + Clone> State<H> {
    fn entry(&mut self, holder: &H) -> &mut Holder<H> {
        self.holders.entry(holder.clone()).or_insert_with(|| Holder { permits: 0, waiting: VecDeque::new() })
    }

    /// Returns the holder that gets the next permit.
    fn next(&self, max_per_holder: usize) -> Option<H> {
        let waits = |(_, holder): &(&H, &Holder<H>)| holder.permits < max_per_holder && !holder.waiting.is_empty();
        let rank = |(_, holder): &(&H, &Holder<H>)| {
            (holder.permits, holder.waiting.front().map_or(u64::MAX, |(arrival, _)| *arrival))
        };
        self.holders.iter().filter(waits).min_by_key(rank).map(|(holder, _)| holder.clone())
    }

    /// Removes a holder that has no permits and no waiting callers.
    fn forget_idle(&mut self, holder: &H) {
        if self.holders.get(holder).is_some_and(|holder| holder.permits == 0 && holder.waiting.is_empty()) {
            self.holders.remove(holder);
        }
    }
}

impl<H: Eq + Hash + Clone> Drop for FairPermit<H> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.free += 1;
        if let Some(holder) = state.holders.get_mut(&self.holder) {
            holder.permits -= 1;
        }
        state.forget_idle(&self.holder);
        drop(state);
        Shared::serve(&self.shared);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_free_permit_goes_to_the_holder_with_the_fewest() {
        let semaphore = FairSemaphore::new(4, 4);
        let mut greedy: Vec<_> = (0..4).map(|_| semaphore.try_acquire(&"greedy").unwrap()).collect();
        assert!(semaphore.try_acquire(&"other").is_none());
        let mut more: Vec<_> = (0..3).map(|_| Box::pin(semaphore.acquire(&"greedy"))).collect();
        assert!(more.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut late = Box::pin(semaphore.acquire(&"late"));
        let mut gone = Box::pin(semaphore.acquire(&"gone"));
        assert!((&mut late).now_or_never().is_none() && (&mut gone).now_or_never().is_none());
        drop(gone);
        // The last caller holds no permit, so it gets the next one.
        greedy.pop();
        let late = (&mut late).now_or_never().unwrap();
        assert!(more.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        // Nobody else waits: all of it may be the greedy one's again.
        drop(late);
        let served: Vec<_> = more.iter_mut().filter_map(|waiting| waiting.now_or_never()).collect();
        assert_eq!(served.len(), 1);
        drop(more);
        drop((greedy, served));
        assert!(semaphore.0.lock().holders.is_empty() && semaphore.0.lock().free == 4);
    }

    #[tokio::test]
    async fn nobody_has_more_than_the_cap() {
        let semaphore = FairSemaphore::new(4, 3);
        let held: Vec<_> = (0..3).map(|_| semaphore.try_acquire(&1).unwrap()).collect();
        assert!(semaphore.try_acquire(&1).is_none());
        let mut waiting = Box::pin(semaphore.acquire(&1));
        assert!((&mut waiting).now_or_never().is_none());
        let other = semaphore.try_acquire(&2).unwrap();
        drop(other);
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert!((&mut waiting).now_or_never().is_some());
    }
}
