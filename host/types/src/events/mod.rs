//! Events, their closed catalogue, and the envelope that clients receive.

mod catalogue;

use std::sync::Arc;

pub use catalogue::{Event, Interrupted, RejectionCount, Usage};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::{Error, Result},
    ids::{self, Name, RunId},
};

/// Actor of everything that the server does on its own.
pub const SERVER_ACTOR: &str = "server";
/// Prefix of the actor of everything that a component does on its own.
pub const COMPONENT_ACTOR_PREFIX: &str = "component:";

/// Event as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct Envelope {
    pub event_id: String,
    pub timestamp: String,
    pub agent_id: Option<String>,
    pub run_id: Option<String>,
    /// Position of the event in its run, from 1 without gaps. Absent outside runs and on ephemeral events.
    pub sequence: Option<i64>,
    pub event_type: String,
    /// JSON kept as text, so that reading the log never depends on its content.
    pub payload: Arc<RawValue>,
}

/// Event with its position in the log; `None` for ephemeral events.
#[derive(Debug, Clone)]
pub struct LoggedEvent {
    pub position: Option<i64>,
    pub envelope: Envelope,
}

/// Agent and run that an event is about, and its actor.
#[derive(Debug, Clone)]
pub struct EventContext {
    pub agent: Option<Name>,
    pub run: Option<RunId>,
    /// A token's id, `local`, `bootstrap`, `offline`, `component:NAME`, or `server`.
    pub actor: String,
}

impl Default for EventContext {
    fn default() -> Self {
        Self { agent: None, run: None, actor: SERVER_ACTOR.to_owned() }
    }
}

impl EventContext {
    pub fn agent(agent: &Name) -> Self {
        Self { agent: Some(agent.clone()), ..Self::default() }
    }

    pub fn run(agent: &Name, run: &RunId) -> Self {
        Self { agent: Some(agent.clone()), run: Some(run.clone()), ..Self::default() }
    }

    /// Sets the actor.
    pub fn by(self, actor: &str) -> Self {
        Self { actor: actor.to_owned(), ..self }
    }

    /// Sets a component as the actor.
    pub fn by_component(self, component: &Name) -> Self {
        self.by(&format!("{COMPONENT_ACTOR_PREFIX}{component}"))
    }
}

pub fn envelope(timestamp: String, subject: &EventContext, event: &Event) -> Result<Envelope> {
    let (event_type, payload) = event.type_and_payload()?;
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

/// Filter of a subscription. An empty list matches every event.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub agents: Vec<String>,
    pub runs: Vec<String>,
    /// Types, or groups such as `run.*`.
    pub types: Vec<String>,
}

impl Filter {
    /// Returns the wanted types, with groups resolved.
    pub fn listed_types(&self) -> Vec<String> {
        let wanted = |known: &&&str| self.types.iter().any(|wanted| type_matches(wanted, known));
        Event::TYPES.iter().filter(wanted).map(|known| (*known).to_owned()).collect()
    }

    /// Returns a type, or group of types, that matches no event.
    pub fn unknown_type(&self) -> Option<&String> {
        self.types.iter().find(|wanted| !Event::TYPES.iter().any(|known| type_matches(wanted, known)))
    }

    pub fn matches(&self, event: &Envelope) -> bool {
        let matches_any = |wanted: &[String], value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|v| wanted.contains(v))
        };
        let type_fits =
            self.types.is_empty() || self.types.iter().any(|wanted| type_matches(wanted, &event.event_type));
        matches_any(&self.agents, &event.agent_id) && matches_any(&self.runs, &event.run_id) && type_fits
    }
}

pub fn type_matches(wanted: &str, event_type: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => prefix.ends_with('.') && event_type.starts_with(prefix),
        None => wanted == event_type,
    }
}
