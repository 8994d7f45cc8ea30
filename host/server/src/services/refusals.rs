//! Refused tokens. One event a minute reports all unknown tokens from all sources, so that nobody without a token can
//! fill the logs.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use moxxy_store::{Store, events};
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::{
    clock,
    events::{Event, EventContext, RejectionCount},
};
use time::OffsetDateTime;

const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of networks in an event; refusals of others are counted together.
const MAX_SOURCES: usize = 16;

/// Refusals that no event has reported yet.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until this time, refusals are only counted.
    quiet_until: Option<OffsetDateTime>,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    count: u64,
    /// Time of the first refusal.
    since: Option<OffsetDateTime>,
    sources: Vec<RejectionCount>,
    other_count: u64,
}

impl Refusals {
    /// Counts a refusal. Returns an event if none was recorded within the last minute.
    fn add(&self, source: IpNet, now: OffsetDateTime) -> Option<Event> {
        let mut state = self.state();
        state.counted.add(source, now);
        // After the clock was set back, the quiet period must not exceed a minute.
        let is_quiet = state.quiet_until.is_some_and(|until| now < until && until <= now + REPORT_INTERVAL);
        if is_quiet { None } else { state.take_event(now) }
    }

    /// Returns an event for all unreported refusals, and starts the next minute.
    fn take_event(&self, now: OffsetDateTime) -> Option<Event> {
        self.state().take_event(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_event(&mut self, now: OffsetDateTime) -> Option<Event> {
        let Counted { count, since, mut sources, other_count } = mem::take(&mut self.counted);
        let since = clock::format(since?);
        self.quiet_until = Some(now + REPORT_INTERVAL);
        sources.sort_by_key(|source| std::cmp::Reverse(source.count));
        let (token_id, scope, reason) = (None, None, "unknown token");
        Some(Event::TokenDenied { token_id, scope, reason, count, since, sources, other_count })
    }
}

impl Counted {
    fn add(&mut self, source: IpNet, now: OffsetDateTime) {
        self.count += 1;
        self.since.get_or_insert(now);
        let network = source.to_string();
        if let Some(known) = self.sources.iter_mut().find(|known| known.network == network) {
            known.count += 1;
        } else if self.sources.len() < MAX_SOURCES {
            self.sources.push(RejectionCount { network, count: 1 });
        } else {
            self.other_count += 1;
        }
    }
}

/// Counts an unknown token, and records an event at most once a minute.
pub async fn count(refusals: &Arc<Refusals>, store: &Store, tasks: &Tasks, source: IpNet) {
    let Some(event) = refusals.add(source, store.clock().now()) else { return };
    let (refusals, later, shutdown) = (Arc::clone(refusals), store.clone(), tasks.shutdown().clone());
    tasks.spawn("refused tokens", Policy::Job, async move {
        loop {
            let is_over = shutdown.run_until_cancelled(tokio::time::sleep(REPORT_INTERVAL)).await.is_none();
            let Some(event) = refusals.take_event(later.clock().now()) else { return };
            record(&later, event).await;
            if is_over {
                return;
            }
        }
    });
    record(store, event).await;
}

async fn record(store: &Store, event: Event) {
    let subject = EventContext::default();
    let told = store.write(move |tx| Box::pin(async move { events::record(tx, &subject, event).await })).await;
    // The request is refused even if the event cannot be stored.
    if let Err(error) = told {
        tracing::error!(?error, "failed to record refused tokens");
    }
}
