//! Events: what happened, in a closed catalogue, and how clients see it.

mod catalogue;

use std::sync::Arc;

pub use catalogue::{Event, Interrupted, RefusedFrom, Usage};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::{Error, Result},
    ids::{self, Name, RunId},
};

/// Who does what nobody asked for.
pub const SERVER: &str = "server";
pub const COMPONENT: &str = "component:";

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
pub struct LoggedEvent {
    pub position: Option<i64>,
    pub envelope: Envelope,
}

/// What an event is about, and whose doing it is.
#[derive(Debug, Clone)]
pub struct EventContext {
    pub agent: Option<Name>,
    pub run: Option<RunId>,
    /// A token's id, `local`, `bootstrap`, `offline`, `component:NAME`, or `server`.
    pub actor: String,
}

impl Default for EventContext {
    fn default() -> Self {
        Self { agent: None, run: None, actor: SERVER.to_owned() }
    }
}

impl EventContext {
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

pub fn envelope(timestamp: String, subject: &EventContext, event: &Event) -> Result<Envelope> {
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

/// Which events a subscriber wants; an empty list stands for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub agents: Vec<String>,
    pub runs: Vec<String>,
    /// Types, or groups such as `run.*`.
    pub types: Vec<String>,
}

impl Filter {
    /// A type, or a group of types, that no event is of.
    pub fn unknown_type(&self) -> Option<&String> {
        self.types.iter().find(|wanted| !Event::TYPES.iter().any(|known| covers(wanted, known)))
    }

    pub fn matches(&self, event: &Envelope) -> bool {
        let any = |wanted: &[String], value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|v| wanted.contains(v))
        };
        let kind = self.types.is_empty() || self.types.iter().any(|wanted| covers(wanted, &event.event_type));
        any(&self.agents, &event.agent_id) && any(&self.runs, &event.run_id) && kind
    }
}

pub fn covers(wanted: &str, event_type: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => prefix.ends_with('.') && event_type.starts_with(prefix),
        None => wanted == event_type,
    }
}
