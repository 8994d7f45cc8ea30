//! Agents as models of chat completions. Each request is an unattended run in its own session. Earlier messages that
//! the client supplies precede the task as plain text, marked as quoted, so that they cannot pass for a tool result
//! or for the persona.

mod output_stream;

use moxxy_store::{self as store, Tx, events::Subscription};
use moxxy_system::tasks::Policy;
use moxxy_types::{
    error::{Error, Problem, Result},
    events::Filter,
    idempotency::Claim,
    ids::{Name, RunId},
    messages::{Message, Role},
    runs::{Failure, Origin, QueuedRun, Run, RunUsage, Status, Stop},
    tokens::Principal,
};
use tokio::sync::oneshot;

pub use output_stream::OutputStream;

use crate::services::runs::{self, Runs, Started};

/// Separator between the messages of an answer.
const MESSAGE_SEPARATOR: &str = "\n\n";
/// Types of the events that end a run.
const FINAL_EVENTS: [&str; 3] = ["run.completed", "run.failed", "run.cancelled"];

/// Messages of a client to an agent.
#[derive(Debug)]
pub struct Conversation {
    /// Earlier messages that the client supplies, oldest first.
    pub earlier: Vec<EarlierMessage>,
    pub task: String,
}

/// An earlier message that the client supplies, unverified.
#[derive(Debug)]
pub struct EarlierMessage {
    pub role: Role,
    pub content: String,
}

/// A run for a waiting client. Dropping this before the run ends means that the client disconnected, and stops the
/// run.
#[derive(Debug)]
pub struct ChatRun {
    pub run: Run,
    /// Whether an earlier request with the same `Idempotency-Key` started it.
    pub before: bool,
    disconnect_guard: oneshot::Sender<()>,
}

/// An agent's answer in a run.
#[derive(Debug)]
pub struct Answer {
    /// Text of all its messages, including those before tool calls.
    pub content: String,
    /// Stop reason of the last model call.
    pub stop_reason: String,
    pub usage: RunUsage,
}

/// Starts a run. With an `Idempotency-Key` the run continues if the client disconnects, and a retry gets its answer.
pub async fn start(
    runs: &Runs,
    principal: Principal,
    agent: Name,
    id: RunId,
    conversation: Conversation,
    claim: Option<Claim>,
) -> Result<ChatRun> {
    runs.activation.check()?;
    let (disconnect_guard, disconnected) = oneshot::channel();
    let (worker, survives_disconnect) = (runs.clone(), claim.is_some());
    let queueing = async move {
        let by = principal.clone();
        let queued = worker
            .store
            .write(move |tx| Box::pin(async move { queue(tx, &by, &agent, id, conversation, claim).await }));
        let started = queued.await?;
        runs::wake(&worker, &started.run);
        if !survives_disconnect {
            let (watcher, run) = (worker.clone(), started.run.clone());
            let watching = async move { stop_if_left(&watcher, &principal, run, disconnected).await };
            worker.tasks.spawn("the client of a run", Policy::Job, watching);
        }
        Ok(started)
    };
    // A client that disconnects now is detected once the run exists.
    let Started { run, before } = runs.tasks.run_detached("queueing", queueing).await?;
    Ok(ChatRun { run, before, disconnect_guard })
}

async fn queue(
    tx: &mut Tx,
    principal: &Principal,
    agent: &Name,
    id: RunId,
    conversation: Conversation,
    claim: Option<Claim>,
) -> Result<Started> {
    let key = store::agents::get(tx, agent).await?.key;
    if let Some(before) = runs::claimed(tx, claim.as_ref()).await? {
        return Ok(before);
    }
    let Conversation { earlier, task } = conversation;
    let session_id = store::sessions::open(tx, key, &Name::from_db(session(&id))).await?;
    let new = QueuedRun {
        id: &id,
        agent: key,
        session: &session_id,
        task: &task,
        started_by: principal.name(),
        unattended: true,
        origin: Origin::ChatCompletions,
    };
    store::runs::insert(tx, &new).await?;
    let run = runs::queued(tx, &id, principal.name(), claim.as_ref()).await?;
    for EarlierMessage { role, content } in earlier {
        let quoted = Message { quoted: true, ..Message::new(&run, role, content, tx.now()) };
        store::messages::insert(tx, &quoted).await?;
    }
    Ok(Started { run, before: false })
}

/// Returns the unique name of a run's conversation.
fn session(id: &RunId) -> String {
    id.as_str().replacen("run_", "chat-", 1)
}

/// Stops the run if the client disconnects. A shutdown does not stop it: like every other run, it resumes afterwards
/// and ends by itself.
async fn stop_if_left(runs: &Runs, principal: &Principal, run: Run, disconnected: oneshot::Receiver<()>) {
    let left = tokio::select! {
        biased;
        () = runs.tasks.shutdown().cancelled() => false,
        stayed = disconnected => stayed.is_err(),
    };
    if !left {
        return;
    }
    match runs::stop(runs, principal, run, Stop::Now).await {
        // The run was deleted with its agent.
        Ok(_) | Err(Error::NotFound(_)) => {}
        Err(error) => tracing::error!(?error, "failed to stop a run after its client disconnected"),
    }
}

impl ChatRun {
    /// Marks the answer as delivered to the client.
    pub fn end(self) {
        // Fails for runs with an `Idempotency-Key`, which have no receiver.
        self.disconnect_guard.send(()).ok();
    }
}

/// Waits for the end of a run and returns it. Fails at a shutdown.
pub async fn ended(runs: &Runs, run: &Run) -> Result<Run> {
    let filter = Filter {
        runs: vec![run.run_id.to_string()],
        types: FINAL_EVENTS.map(str::to_owned).into(),
        ..Filter::default()
    };
    let mut subscription = Subscription::new(&runs.events, &runs.store, filter, None).await?;
    loop {
        let now = runs::get(runs, &run.agent_id, &run.run_id).await?;
        if !now.status.is_open() {
            return Ok(now);
        }
        tokio::select! {
            event = subscription.next() => event?.ok_or_else(shutting_down)?,
            () = runs.tasks.shutdown().cancelled() => return Err(shutting_down()),
        };
    }
}

/// Returns the agent's answer in a run that has ended, or the reason why there is none as an error.
pub async fn answer(runs: &Runs, agent: &Name, id: &RunId) -> Result<Answer> {
    let mut db = runs.store.read().await?;
    let run = runs::get_of_agent(&mut db, agent, id).await?;
    if let Some(failure) = run.error {
        return Err(failed(failure));
    }
    if run.status != Status::Completed {
        return Err(Error::conflict("run_stopped", "The run was stopped before it had an answer"));
    }
    let messages = store::messages::of_run(&mut db, id).await?;
    let own = |message: &&Message| message.role == Role::Assistant && !message.quoted && !message.content.is_empty();
    let said: Vec<&str> = messages.iter().filter(own).map(|message| message.content.as_str()).collect();
    let output = store::steps::last_model_output(&mut db, id).await?;
    let stop_reason = output.as_ref().and_then(|output| output.get("stop_reason")?.as_str());
    Ok(Answer {
        content: said.join(MESSAGE_SEPARATOR),
        stop_reason: stop_reason.unwrap_or_default().to_owned(),
        usage: store::usage::of_run(&mut db, id).await?,
    })
}

/// Maps the failure of a run to an error whose kind tells the client how to react.
fn failed(failure: Failure) -> Error {
    let Failure { code, message } = failure;
    let kind = code.clone();
    let problem = Problem::new(code, message);
    match &*kind {
        "context_too_long" | "content_refused" => Error::Invalid(problem, Vec::new()),
        "provider_rate_limited"
        | "step_limit"
        | "token_limit"
        | "time_limit"
        | "tool_call_limit"
        | "cost_limit"
        | "daily_token_limit"
        | "daily_cost_limit" => Error::Exhausted(problem),
        "provider_overloaded" | "provider_unreachable" | "busy" => Error::Unavailable(problem),
        _ => Error::ComponentError(problem),
    }
}

fn shutting_down() -> Error {
    Error::unavailable("shutting_down", "The server is shutting down; the run goes on when it starts again")
}
