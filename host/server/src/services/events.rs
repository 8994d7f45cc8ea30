//! The service of the event log: subscriptions, their limit, and the retention of events.

use std::sync::Arc;

pub use moxxy_store::events::Subscription;
use moxxy_store::{self as store, Store, events::Events as Broadcast};
use moxxy_system::fair_semaphore::{FairPermit, FairSemaphore};
use moxxy_types::{
    error::{Error, Result},
    events::{Event, Filter},
    ids::{Name, RunId},
    tokens::Principal,
};

/// The event log and its readers.
#[derive(Debug, Clone)]
pub struct Events {
    pub(super) store: Store,
    pub(super) broadcast: Broadcast,
    streams: Arc<FairSemaphore<String>>,
}

/// Events that a client asks for.
#[derive(Debug, Default)]
pub struct Selection {
    pub agents: Vec<Name>,
    pub runs: Vec<RunId>,
    /// Types, or prefixes such as `run.*`.
    pub types: Vec<String>,
}

impl Events {
    /// Creates the service. At most `streams` clients stream events at the same time.
    pub fn new(store: &Store, broadcast: Broadcast, streams: usize) -> Self {
        let max_per_client = streams - streams / 4;
        Self { store: store.clone(), broadcast, streams: Arc::new(FairSemaphore::new(streams, max_per_client)) }
    }

    /// Returns a permit of a principal to stream events, or `None` if all are in use. A quarter is left for others.
    pub fn try_stream(&self, principal: &Principal) -> Option<FairPermit<String>> {
        self.streams.try_acquire(&principal.name().to_owned())
    }

    /// Subscribes to events after a position in the log. Rejects a selection that no event can match, and a position
    /// that the log does not have yet.
    pub async fn subscribe(&self, selection: Selection, after: Option<i64>) -> Result<Subscription> {
        let Selection { agents, runs, types } = selection;
        let filter = Filter {
            agents: agents.iter().map(ToString::to_string).collect(),
            runs: runs.iter().map(ToString::to_string).collect(),
            types,
        };
        check_types(&filter)?;
        let mut db = self.store.read().await?;
        for agent in &agents {
            if !store::events::knows_agent(&mut db, agent).await? {
                return Err(Error::not_found("agent", agent));
            }
        }
        for run in &runs {
            store::runs::get(&mut db, run).await?;
        }
        let last = store::events::last_position(&mut db).await?;
        drop(db);
        if after.is_some_and(|after| !(0..=last).contains(&after)) {
            return Err(Error::invalid_parameter("after", format!("it is 0 to {last}, where the log ends now")));
        }
        Subscription::new(&self.broadcast, &self.store, filter, after).await
    }
}

/// Returns an error if the filter has an unknown event type.
pub fn check_types(filter: &Filter) -> Result<()> {
    let Some(unknown) = filter.unknown_type() else { return Ok(()) };
    let reason = format!("no event is of the type {unknown:?}; there are: {}", Event::TYPES.join(", "));
    Err(Error::invalid_parameter("event_type", reason))
}
