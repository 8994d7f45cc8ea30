//! State of running sessions: which of them have a worker, how to stop a run, and how many sessions of an agent run
//! concurrently.

use moxxy_system::fair_semaphore::{FairPermit, FairSemaphore};
use moxxy_types::{
    agents::AgentKey,
    ids::{RunId, SessionId, StepId},
    runs::{Run, Stop},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Cancellation tokens and current output of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    pub step: CancellationToken,
    pub now: CancellationToken,
    live_output: Arc<Mutex<LiveOutput>>,
}

/// Output of a model so far, for streams that missed a delta.
#[derive(Debug, Default)]
struct LiveOutput {
    step: Option<StepId>,
    text: String,
}

/// What a model said in a step.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub step: StepId,
    pub text: String,
}

#[derive(Debug)]
pub struct Scheduler {
    state: Mutex<State>,
    concurrent_sessions: usize,
    concurrent_chats: usize,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashSet<SessionId>,
    runs: HashMap<RunId, Control>,
    agents: HashMap<AgentKey, [Arc<FairSemaphore<String>>; 2]>,
}

impl Control {
    /// Whether the run was asked to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.now.is_cancelled() || self.step.is_cancelled()
    }

    /// Appends to the output of a step.
    pub(super) fn append(&self, step: &StepId, text: &str) {
        let mut live_output = self.live_output();
        if live_output.step.as_ref() != Some(step) {
            *live_output = LiveOutput { step: Some(step.clone()), text: String::new() };
        }
        live_output.text.push_str(text);
    }

    /// Returns the output of the last step so far.
    pub(super) fn latest_output(&self) -> Option<Said> {
        let live_output = self.live_output();
        Some(Said { step: live_output.step.clone()?, text: live_output.text.clone() })
    }

    fn live_output(&self) -> MutexGuard<'_, LiveOutput> {
        // No update panics halfway, so the value is valid even if the lock is poisoned.
        self.live_output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// Creates a scheduler. Of one agent, at most `concurrent_sessions` sessions and `concurrent_chats` sessions of chat
    /// completions run concurrently.
    pub fn new(concurrent_sessions: usize, concurrent_chats: usize) -> Self {
        Self { state: Mutex::default(), concurrent_sessions, concurrent_chats }
    }

    /// Returns the output of a run's step so far, from byte `from` on.
    pub fn live_output(&self, run: &RunId, step: &str, from: usize) -> Option<String> {
        let control = self.state().runs.get(run).cloned()?;
        let live_output = control.live_output();
        let is_this = live_output.step.as_ref().is_some_and(|known| known.as_str() == step);
        Some(live_output.text.get(from..).filter(|_| is_this)?.to_owned())
    }

    /// Signals a run to stop, if it has started.
    pub(super) fn stop(&self, run: &RunId, stop: Stop) {
        let Some(control) = self.state().runs.get(run).cloned() else { return };
        match stop {
            Stop::Step => control.step.cancel(),
            Stop::Now => control.now.cancel(),
        }
    }

    /// Claims a session. Returns whether the caller is now its worker.
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

    /// Waits until the session of a run may run. Free places go in turn to those who started the runs.
    pub(super) async fn session_permit(&self, run: &Run) -> FairPermit<String> {
        let new = |places| Arc::new(FairSemaphore::new(places, places));
        let new = || [new(self.concurrent_sessions), new(self.concurrent_chats)];
        let permits = {
            let mut state = self.state();
            let [sessions, chats] = state.agents.entry(run.agent).or_insert_with(new);
            Arc::clone(if run.origin.is_chat() { chats } else { sessions })
        };
        permits.acquire(&run.started_by).await
    }

    /// Removes the state of a deleted agent.
    pub fn forget(&self, agent: AgentKey) {
        self.state().agents.remove(&agent);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
