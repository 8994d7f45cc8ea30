//! Committed events, for those who listen.

use moxxy_types::{
    error::Result,
    events::{Event, EventContext, LoggedEvent, envelope},
};
use tokio::sync::broadcast;

/// The largest payload that is broadcast, in bytes; larger ones are read from the log.
pub const LARGE: usize = 16 * 1024;
/// How many events a subscriber may lag behind before it reads them from the log.
pub const BUFFER: usize = 1024;

/// Where events are broadcast.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<BroadcastItem>);

/// What subscribers are sent.
#[derive(Debug, Clone)]
pub enum BroadcastItem {
    Event(LoggedEvent),
    /// There is something in the log that is too large to be held for slow readers.
    Logged,
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(BUFFER).0)
    }
}

impl Events {
    /// Tells subscribers of committed events, in log order. Only the store's writer calls this.
    pub fn broadcast(&self, events: Vec<LoggedEvent>) {
        for event in events {
            let small = event.envelope.payload.get().len() <= LARGE;
            // No subscriber is no failure.
            drop(self.0.send(if small { BroadcastItem::Event(event) } else { BroadcastItem::Logged }));
        }
    }

    /// Tells subscribers of something that is not kept, such as a piece of a message, unless it is
    /// too large.
    pub fn publish_ephemeral(&self, timestamp: String, subject: &EventContext, event: &Event) -> Result<()> {
        let envelope = envelope(timestamp, subject, event)?;
        if envelope.payload.get().len() > LARGE {
            // Held for slow readers it could fill the memory; the whole message is told later.
            return Ok(());
        }
        drop(self.0.send(BroadcastItem::Event(LoggedEvent { position: None, envelope })));
        Ok(())
    }

    pub(super) fn receiver(&self) -> broadcast::Receiver<BroadcastItem> {
        self.0.subscribe()
    }
}
