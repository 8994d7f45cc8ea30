//! Clients that wait for the answer of a run.

use std::time::Duration;

use moxxy_store as store;
use moxxy_system::tasks::Policy;
use moxxy_types::{
    error::Error,
    runs::{Run, Stop},
    tokens::Principal,
};
use tokio::sync::oneshot;

use crate::services::runs::{self, Runs};

/// How a client sends a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt {
    /// Whether the client says how often it sent the request, so that it may send it again.
    pub may_be_repeated: bool,
    /// Whether the client sent the request before.
    pub is_repeated: bool,
}

/// A run for a waiting client. Dropping this before the run ends means that the client disconnected.
#[derive(Debug)]
pub struct ChatRun {
    pub run: Run,
    /// Whether an earlier request started it.
    pub before: bool,
    disconnect_guard: oneshot::Sender<()>,
}

impl ChatRun {
    /// Marks the answer as delivered to the client.
    pub fn end(self) {
        // Fails for detached runs, which have no receiver.
        self.disconnect_guard.send(()).ok();
    }
}

/// Stops the run if all its clients disconnect, unless it is detached from them. If one may come back, the run waits for it.
pub(super) fn watch(runs: &Runs, principal: Principal, run: Run, before: bool, attempt: Attempt) -> ChatRun {
    let (disconnect_guard, disconnected) = oneshot::channel();
    if !run.options.detached {
        runs.present.enter(&run.run_id);
        let (watcher, run) = (runs.clone(), run.clone());
        runs.tasks.spawn("the client of a run", Policy::Job, async move {
            let has_left = has_left(&watcher, disconnected).await;
            watcher.present.leave(&run.run_id);
            if has_left {
                stop_if_alone(&watcher, &principal, run, attempt).await;
            }
        });
    }
    ChatRun { run, before, disconnect_guard }
}

/// Waits for the end of a client's request. Returns whether the client left before it. A shutdown does not stop the run:
/// like every other run, it resumes afterwards and ends by itself.
async fn has_left(runs: &Runs, disconnected: oneshot::Receiver<()>) -> bool {
    tokio::select! {
        biased;
        () = runs.tasks.shutdown().cancelled() => false,
        stayed = disconnected => stayed.is_err(),
    }
}

/// Stops the run if no client waits for it. A client that repeats a request, or whose run has called a tool, has time to
/// come back, so that the tool is not called twice.
async fn stop_if_alone(runs: &Runs, principal: &Principal, run: Run, attempt: Attempt) {
    if attempt.may_be_repeated || has_called_a_tool(runs, &run).await {
        let time = Duration::from_secs(runs.config.runs.return_time);
        tokio::select! {
            () = runs.tasks.shutdown().cancelled() => return,
            () = tokio::time::sleep(time) => {}
        }
    }
    if !runs.present.is_empty(&run.run_id) {
        return;
    }
    match runs::stop(runs, principal, run, Stop::Now).await {
        // The run has ended, or was deleted with its agent.
        Ok(_) | Err(Error::NotFound(_) | Error::Conflict(..)) => {}
        Err(error) => tracing::error!(?error, "failed to stop a run after its client disconnected"),
    }
}

async fn has_called_a_tool(runs: &Runs, run: &Run) -> bool {
    let called = async { store::steps::any_tool_call(&mut *runs.store.read().await?, &run.run_id).await };
    called.await.unwrap_or(true)
}
