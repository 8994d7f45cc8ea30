//! Who is running: which sessions have a worker, how to stop a run, and how many conversations of
//! an agent run at once.

use moxxy_types::{
    agents::AgentKey,
    ids::{RunId, SessionId, StepId},
    runs::Stop,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The switches of a run, for what it is doing now.
#[derive(Debug, Clone, Default)]
pub struct Control {
    pub step: CancellationToken,
    pub now: CancellationToken,
    said: Arc<Mutex<Said>>,
}

/// What a model said so far, for those who missed a piece.
#[derive(Debug, Default)]
struct Said {
    step: Option<StepId>,
    text: String,
}

#[derive(Debug)]
pub struct Scheduler {
    state: Mutex<State>,
    concurrent_sessions: usize,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashSet<SessionId>,
    runs: HashMap<RunId, Control>,
    agents: HashMap<AgentKey, Arc<Semaphore>>,
}

impl Control {
    /// Whether the run was asked to stop.
    pub fn is_asked(&self) -> bool {
        self.now.is_cancelled() || self.step.is_cancelled()
    }

    /// Keeps what a model says in a step.
    pub(super) fn say(&self, step: &StepId, text: &str) {
        let mut said = self.said();
        if said.step.as_ref() != Some(step) {
            *said = Said { step: Some(step.clone()), text: String::new() };
        }
        said.text.push_str(text);
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        // Each use leaves it whole.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// `concurrent_sessions` of one agent run at once.
    pub fn new(concurrent_sessions: usize) -> Self {
        Self { state: Mutex::default(), concurrent_sessions }
    }

    /// What a run's model said in a step so far, behind so many bytes.
    pub fn said(&self, run: &RunId, step: &str, from: usize) -> Option<String> {
        let control = self.state().runs.get(run).cloned()?;
        let said = control.said();
        let is_this = said.step.as_ref().is_some_and(|known| known.as_str() == step);
        Some(said.text.get(from..).filter(|_| is_this)?.to_owned())
    }

    /// Asks a run to stop, if it has begun.
    pub(super) fn stop(&self, run: &RunId, stop: Stop) {
        let Some(control) = self.state().runs.get(run).cloned() else { return };
        match stop {
            Stop::Step => control.step.cancel(),
            Stop::Now => control.now.cancel(),
        }
    }

    /// Whether the caller is to be the session's worker.
    pub(super) fn claim(&self, session: &SessionId) -> bool {
        self.state().sessions.insert(session.clone())
    }

    pub(super) fn release(&self, session: &SessionId) {
        self.state().sessions.remove(session);
    }

    pub(super) fn begin(&self, run: &RunId) -> Control {
        self.state().runs.entry(run.clone()).or_default().clone()
    }

    pub(super) fn end(&self, run: &RunId) {
        self.state().runs.remove(run);
    }

    /// The turns of an agent's conversations.
    pub(super) fn turns(&self, agent: AgentKey) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(self.concurrent_sessions));
        Arc::clone(self.state().agents.entry(agent).or_insert_with(new))
    }

    /// Drops what is known of an agent that is gone.
    pub fn forget(&self, agent: AgentKey) {
        self.state().agents.remove(&agent);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each use leaves the state whole, so a panic elsewhere has not harmed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
