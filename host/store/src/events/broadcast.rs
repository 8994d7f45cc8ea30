//! Broadcast of committed events to subscribers.

use moxxy_types::{
    error::Result,
    events::{Event, EventContext, LoggedEvent, envelope},
};
use tokio::sync::broadcast;

/// Maximum size of a broadcast payload, in bytes. Subscribers read larger events from the log.
pub(super) const MAX_BROADCAST_BYTES: usize = 16 * 1024;
/// Number of events that a subscriber may lag behind before it reads them from the log.
pub(super) const BROADCAST_CAPACITY: usize = 1024;

/// Broadcast channel for events.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<BroadcastItem>);

/// An item of the broadcast channel.
#[derive(Debug, Clone)]
pub(super) enum BroadcastItem {
    Event(LoggedEvent),
    /// An event is in the log that is too large to buffer for slow subscribers.
    Logged,
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(BROADCAST_CAPACITY).0)
    }
}

impl Events {
    /// Broadcasts committed events, in log order. Only the store's writer calls this.
    pub fn broadcast(&self, events: Vec<LoggedEvent>) {
        for event in events {
            let small = event.envelope.payload.get().len() <= MAX_BROADCAST_BYTES;
            // Sending fails if there is no subscriber, which is fine.
            drop(self.0.send(if small { BroadcastItem::Event(event) } else { BroadcastItem::Logged }));
        }
    }

    /// Broadcasts an event that is not logged, such as a chunk of a message. Drops it if it is too large.
    pub fn publish_ephemeral(&self, timestamp: String, subject: &EventContext, event: &Event) -> Result<()> {
        let envelope = envelope(timestamp, subject, event)?;
        if envelope.payload.get().len() > MAX_BROADCAST_BYTES {
            // Buffered for slow subscribers it could exhaust memory. The whole message follows later.
            return Ok(());
        }
        drop(self.0.send(BroadcastItem::Event(LoggedEvent { position: None, envelope })));
        Ok(())
    }

    pub(super) fn receiver(&self) -> broadcast::Receiver<BroadcastItem> {
        self.0.subscribe()
    }
}
