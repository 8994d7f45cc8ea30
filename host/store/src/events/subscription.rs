//! Subscription to the event log: logged events first, then live ones, without gaps or duplicates. A subscriber
//! that lags reads from the log again. If events it has not read are pruned, it receives a `StreamGap` event.

use std::collections::VecDeque;

use moxxy_types::{
    error::Result,
    events::{Event, EventContext, Filter, LoggedEvent},
};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    Store,
    events::{Events, broadcast::BroadcastItem},
};

/// Maximum number of events per read from the log.
const PAGE_EVENTS: i64 = 256;

/// A cursor in the event log.
#[derive(Debug)]
pub struct Subscription {
    store: Store,
    receiver: broadcast::Receiver<BroadcastItem>,
    filter: Filter,
    position: i64,
    page: VecDeque<LoggedEvent>,
    /// Whether the log has been read up to the receiver's position.
    live: bool,
}

impl Subscription {
    /// Subscribes to the events after the position `after`, or to new events only.
    pub async fn new(events: &Events, store: &Store, filter: Filter, after: Option<i64>) -> Result<Self> {
        // Subscribe before reading the log: events committed in between arrive twice, and are deduplicated by
        // position.
        let receiver = events.receiver();
        let position = match after {
            Some(position) => position,
            None => super::last_position(&mut *store.for_clients().read().await?).await?,
        };
        Ok(Self { store: store.for_clients(), receiver, filter, position, page: VecDeque::new(), live: false })
    }

    /// Waits for the next event. Returns `None` when the server stops.
    pub async fn next(&mut self) -> Result<Option<LoggedEvent>> {
        loop {
            let event = match self.page.pop_front() {
                Some(event) => event,
                None if self.live => match self.receiver.recv().await {
                    Ok(BroadcastItem::Event(event)) => event,
                    Ok(BroadcastItem::Logged) | Err(RecvError::Lagged(_)) => {
                        self.live = false;
                        continue;
                    }
                    Err(RecvError::Closed) => return Ok(None),
                },
                None => match self.read_page().await? {
                    Some(gap) => return Ok(Some(gap)),
                    None => continue,
                },
            };
            if self.advance(&event) && self.filter.matches(&event.envelope) {
                return Ok(Some(event));
            }
        }
    }

    /// Reads the next page of the log, or returns the gap before it.
    async fn read_page(&mut self) -> Result<Option<LoggedEvent>> {
        let mut db = self.store.read().await?;
        let last = super::last_position(&mut db).await?;
        let page = super::after(&mut db, self.position, &self.filter, PAGE_EVENTS).await?;
        // Checked after reading the page, so that no pruned event goes unnoticed.
        if let Some(to) = super::pruned_behind(&mut db, self.position, &self.filter).await? {
            let gap = Event::StreamGap { from: self.position + 1, to };
            let envelope =
                moxxy_types::events::envelope(self.store.clock().timestamp(), &EventContext::default(), &gap)?;
            self.position = to;
            return Ok(Some(LoggedEvent { position: None, envelope }));
        }
        drop(db);
        self.live = page.is_empty();
        if self.live {
            // Nothing up to there matches the filter.
            self.position = self.position.max(last);
        }
        self.page = page.into();
        if self.live {
            self.skip_already_read();
        }
        Ok(None)
    }

    /// Drops buffered events that were already read from the log, so that an ephemeral event never precedes a
    /// logged event that is older.
    fn skip_already_read(&mut self) {
        let queued = self.receiver.len();
        let into_event = |item| if let BroadcastItem::Event(event) = item { Some(event) } else { None };
        let receiver = &mut self.receiver;
        let mut buffered: Vec<_> = (0..queued).map_while(|_| receiver.try_recv().ok().and_then(into_event)).collect();
        // If fewer were buffered, some events are only in the log, which has to be read again.
        self.live = buffered.len() == queued;
        let read = buffered.iter().rposition(|e| e.position.is_some_and(|p| p <= self.position));
        self.page = buffered.split_off(read.map_or(0, |last| last + 1)).into();
    }

    /// Whether the event is new to this subscriber. Advances the cursor.
    fn advance(&mut self, event: &LoggedEvent) -> bool {
        match event.position {
            Some(position) if position <= self.position => false,
            Some(position) => {
                self.position = position;
                true
            }
            None => true,
        }
    }
}
