//! What happened, told once and in order: an event is inserted in the transaction of the change
//! that it tells of, and broadcast after the commit. The catalogue is closed.

mod catalogue;
mod subscribe;

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::broadcast;

pub use catalogue::{Event, Interrupted, RefusedFrom, Usage};
pub use subscribe::{Filter, Subscription};

use crate::{
    store::{self, Tx},
    types::{
        error::{Error, Result},
        ids::{self, Name, RunId},
    },
};

/// The largest payload that is broadcast, in bytes; larger ones are read from the log.
const LARGE: usize = 16 * 1024;
/// How many events a subscriber may lag behind before it reads them from the log.
const BUFFER: usize = 1024;

/// Who does what nobody asked for.
const SERVER: &str = "server";
const COMPONENT: &str = "component:";

/// The envelope, as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct Envelope {
    pub event_id: String,
    pub timestamp: String,
    pub agent_id: Option<String>,
    pub run_id: Option<String>,
    /// Counts the events of a run from 1 without a gap; absent outside runs and on live events.
    pub sequence: Option<i64>,
    pub event_type: String,
    /// JSON, kept as text: reading the log never depends on what is in it.
    pub payload: Arc<RawValue>,
}

/// An event with its place in the log; `None` for events that are live only.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub position: Option<i64>,
    pub envelope: Envelope,
}

/// What an event is about, and whose doing it is.
#[derive(Debug, Clone)]
pub struct Subject {
    pub agent: Option<Name>,
    pub run: Option<RunId>,
    /// A token's id, `local`, `bootstrap`, `offline`, `component:NAME`, or `server`.
    pub actor: String,
}

impl Default for Subject {
    fn default() -> Self {
        Self { agent: None, run: None, actor: SERVER.to_owned() }
    }
}

/// Where events are broadcast.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<News>);

/// What subscribers are sent.
#[derive(Debug, Clone)]
enum News {
    Event(Recorded),
    /// There is something in the log that is too large to be held for slow readers.
    Logged,
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(BUFFER).0)
    }
}

impl Subject {
    pub fn agent(agent: &Name) -> Self {
        Self { agent: Some(agent.clone()), ..Self::default() }
    }

    pub fn run(agent: &Name, run: &RunId) -> Self {
        Self { agent: Some(agent.clone()), run: Some(run.clone()), ..Self::default() }
    }

    /// Whose doing it is.
    pub fn by(self, actor: &str) -> Self {
        Self { actor: actor.to_owned(), ..self }
    }

    /// What a component does by itself.
    pub fn by_component(self, component: &Name) -> Self {
        self.by(&format!("{COMPONENT}{component}"))
    }
}

impl Events {
    /// Tells subscribers of committed events, in log order. Only the store's writer calls this.
    pub(crate) fn broadcast(&self, events: Vec<Recorded>) {
        for event in events {
            let small = event.envelope.payload.get().len() <= LARGE;
            // No subscriber is no failure.
            drop(self.0.send(if small { News::Event(event) } else { News::Logged }));
        }
    }

    /// Tells subscribers of something that is not kept, such as a piece of a message, unless it is
    /// too large.
    pub fn live(&self, timestamp: String, subject: &Subject, event: &Event) -> Result<()> {
        let envelope = envelope(timestamp, subject, event)?;
        if envelope.payload.get().len() > LARGE {
            // Held for slow readers it could fill the memory; the whole message is told later.
            return Ok(());
        }
        drop(self.0.send(News::Event(Recorded { position: None, envelope })));
        Ok(())
    }

    fn receiver(&self) -> broadcast::Receiver<News> {
        self.0.subscribe()
    }
}

/// Inserts an event into the log, in the transaction of the change that it tells of.
pub async fn record(tx: &mut Tx, subject: &Subject, event: Event) -> Result<()> {
    let envelope = envelope(tx.now(), subject, &event)?;
    if let Some(payload) = event.audited(&subject.actor)? {
        store::audit::append(tx, &subject.actor, &envelope, payload).await?;
    }
    store::events::append(tx, envelope).await
}

/// Inserts several events, in order.
pub async fn record_all(tx: &mut Tx, subject: &Subject, events: Vec<Event>) -> Result<()> {
    for event in events {
        record(tx, subject, event).await?;
    }
    Ok(())
}

fn envelope(timestamp: String, subject: &Subject, event: &Event) -> Result<Envelope> {
    let (event_type, payload) = event.parts()?;
    Ok(Envelope {
        event_id: ids::event(),
        timestamp,
        agent_id: subject.agent.as_ref().map(ToString::to_string),
        run_id: subject.run.as_ref().map(ToString::to_string),
        sequence: None,
        event_type,
        payload: to_raw_value(&payload).map_err(Error::internal)?.into(),
    })
}
