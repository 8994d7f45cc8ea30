//! Runs: tasks, executed in steps that are stored before they start and closed after they end. The next step is
//! derived from the stored state, so a run resumes after a restart in the same way as after each step.

mod approval;
mod arguments;
mod call;
mod commit;
mod compaction;
mod control;
mod delete;
mod executor;
mod fallback;
mod history;
mod model;
mod output;
mod questions;
mod queue;
mod resume;
mod state;
mod tool;
mod tool_call_limit;
mod tool_names;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

pub use control::Scheduler;
pub use delete::{delete, holds_decision, remove, remove_rows};
pub(super) use output::check_schema;
pub(super) use questions::record_expired;
pub use queue::wake;
pub use resume::{cancel_all, resume_all};

use crate::{
    config::Config,
    services::{activation::Activation, components::Components, etag::Versioned},
};
use moxxy_store::{
    self as store, Db, Store, Tx,
    events::{self, Events as Broadcast, Subscription},
    idempotency::Outcome,
};
use moxxy_system::{presence::Presence, tasks::Tasks};
use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    events::{self as event, Event, EventContext},
    idempotency::{Claim, Earlier},
    ids::{Name, RunId},
    paging::{Page, PageRequest},
    runs::{Filter, Origin, QueuedRun, Run, RunOptions, RunUsage, Status, Step, Stop},
    sessions::default_conversation,
    tokens::Principal,
};

/// The service of runs and of an agent's sessions, questions and policies.
#[derive(Debug, Clone)]
pub struct Runs {
    pub(super) store: Store,
    pub(super) tasks: Tasks,
    pub(super) config: Arc<Config>,
    pub(super) components: Components,
    pub(super) events: Broadcast,
    pub(super) activation: Activation,
    pub(super) scheduler: Arc<Scheduler>,
    /// Clients that wait for the answer of a run.
    pub(super) present: Presence<RunId>,
}

/// Maximum length of a task, in bytes.
pub const MAX_TASK_BYTES: usize = 256 * 1024;
/// Maximum time that a stop waits for the run to end before it returns.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A run with all that is known of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RunDetail")]
pub struct Detail {
    #[serde(flatten)]
    pub run: Run,
    /// In the order in which they began.
    pub steps: Vec<Step>,
    /// Of all its steps together.
    pub usage: RunUsage,
    /// The provider that makes as many calls as it may, while the run waits for its turn there.
    pub waits_for: Option<Name>,
}

impl Versioned for Detail {}

/// A task for an agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// What is to be done, in your words: 1 byte to 256 KiB.
    pub task: String,
    /// The conversation; `default` if absent.
    pub session: Option<Name>,
    /// JSON Schema that the final answer has to fit, up to 64 KiB: an object, `true` or `false`. The value is then in
    /// `output_json`. A first answer that does not fit is sent back to the model with what is wrong; a second one fails
    /// the run (`output_invalid`).
    pub output_schema: Option<Value>,
}

/// Result of a start.
#[derive(Debug)]
pub struct Started {
    pub run: Run,
    /// Whether an earlier request with the same `Idempotency-Key` started the run.
    pub before: bool,
}

impl Runs {
    pub fn new(config: &Arc<Config>, components: &Components, events: Broadcast) -> Self {
        Self {
            store: components.store.clone(),
            tasks: components.tasks.clone(),
            config: Arc::clone(config),
            components: components.clone(),
            events,
            activation: components.activation,
            scheduler: Arc::new(Scheduler::new(config.runs.concurrent_sessions, config.runs.concurrent_chats)),
            present: Presence::default(),
        }
    }

    /// Whether runs start, or wait for the activation of a restored server.
    pub fn activation(&self) -> Activation {
        self.activation
    }
}

/// Returns a page of runs of an agent, or of all agents, newest first.
pub async fn list(
    runs: &Runs,
    agent: Option<&Name>,
    status: Option<Status>,
    origin: Option<Origin>,
    page: &PageRequest,
) -> Result<Page<Run>> {
    let mut db = runs.store.read().await?;
    let agent = match agent {
        Some(name) => Some(store::agents::get(&mut db, name).await?.key),
        None => None,
    };
    store::runs::list(&mut db, &Filter { agent, status, origin }, page).await
}

/// Queues a run behind those of its session. The claim of an `Idempotency-Key` is stored with it, so that a later
/// request with the key finds the run.
pub async fn start(
    runs: &Runs,
    principal: Principal,
    agent: Name,
    new: NewRun,
    claim: Option<Claim>,
) -> Result<Started> {
    runs.activation.check()?;
    let NewRun { task, session, output_schema } = new;
    if task.trim().is_empty() {
        return Err(Error::invalid_field("task", "it is empty"));
    }
    if task.len() > MAX_TASK_BYTES {
        return Err(Error::invalid_field(
            "task",
            format!("it has {} bytes; the limit is {MAX_TASK_BYTES}", task.len()),
        ));
    }
    if let Some(schema) = &output_schema {
        check_schema(&runs.components.plugins, "output_schema", schema).await?;
    }
    let options = RunOptions { output_schema, ..RunOptions::default() };
    let conversation = session.unwrap_or_else(default_conversation);
    let (limit, worker) = (runs.config.runs.queue, runs.clone());
    let queueing = async move {
        let queued = worker.store.write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                if let Some(before) = claimed(tx, claim.as_ref()).await? {
                    return Ok(before);
                }
                let session_id = store::sessions::open(tx, key, &conversation).await?;
                if store::runs::queued_in(tx, &session_id).await? >= limit {
                    let message = format!("{limit} runs wait in this conversation already; try again later");
                    return Err(Error::unavailable("queue_full", message));
                }
                let id = RunId::random();
                let new = QueuedRun {
                    id: &id,
                    agent: key,
                    session: &session_id,
                    task: &task,
                    started_by: principal.name(),
                    unattended: false,
                    origin: Origin::Api,
                    options: &options,
                };
                store::runs::insert(tx, &new).await?;
                Ok(Started { run: queued(tx, &id, principal.name(), claim.as_ref()).await?, before: false })
            })
        });
        let started = queued.await?;
        queue::wake(&worker, &started.run);
        Ok(started)
    };
    // A queued run is executed even if the client disconnects now.
    runs.tasks.run_detached("queueing", queueing).await
}

/// Returns the run of an earlier request with the same key, if there is one. Otherwise claims the key.
pub(super) async fn claimed(tx: &mut Tx, claim: Option<&Claim>) -> Result<Option<Started>> {
    let Some(claim) = claim else { return Ok(None) };
    match store::idempotency::claim(tx, claim).await? {
        Some(Earlier::Run(id)) => Ok(Some(Started { run: store::runs::get(tx, &id).await?, before: true })),
        Some(other) => Err(other.into()),
        None => Ok(None),
    }
}

/// Returns an inserted run, after storing it with its key and recording its event.
pub(super) async fn queued(tx: &mut Tx, id: &RunId, by: &str, claim: Option<&Claim>) -> Result<Run> {
    if let Some(claim) = claim {
        store::idempotency::record_outcome(tx, &claim.key, Outcome::Run(id)).await?;
    }
    let run = store::runs::get(tx, id).await?;
    let (session_id, origin, origin_id) = (run.session_id.clone(), run.origin.into_str(), run.origin_id.clone());
    let told = Event::RunQueued { session_id, task: run.task.clone(), origin, origin_id };
    events::record(tx, &EventContext::run(&run.agent_id, id).by(by), told).await?;
    Ok(run)
}

/// Returns a run of the agent.
pub async fn get(runs: &Runs, agent: &Name, id: &RunId) -> Result<Run> {
    get_of_agent(&mut *runs.store.read().await?, agent, id).await
}

/// Returns a run by its id alone.
pub async fn find(runs: &Runs, id: &RunId) -> Result<Run> {
    store::runs::get(&mut *runs.store.read().await?, id).await
}

/// Returns a run of the agent, on an existing connection.
pub async fn get_of_agent(db: &mut Db, agent: &Name, id: &RunId) -> Result<Run> {
    let run = store::runs::get(db, id).await?;
    if run.agent_id == *agent { Ok(run) } else { Err(Error::not_found("run", id)) }
}

pub async fn detail(runs: &Runs, agent: &Name, id: &RunId) -> Result<Detail> {
    let mut db = runs.store.read().await?;
    let run = get_of_agent(&mut db, agent, id).await?;
    let steps = store::steps::list(&mut db, id).await?;
    let usage = store::usage::of_run(&mut db, id).await?;
    Ok(Detail { run, steps, usage, waits_for: runs.components.concurrency.waits_for(id) })
}

/// Waits until a run has ended or waits for a person, but at most for `patience`. Returns its state then.
pub async fn wait(runs: &Runs, run: Run, patience: Duration) -> Result<Run> {
    let filter = event::Filter {
        runs: vec![run.run_id.to_string()],
        types: ["run.completed", "run.failed", "run.cancelled", "run.waiting"].map(str::to_owned).into(),
        ..event::Filter::default()
    };
    let mut subscription = Subscription::new(&runs.events, &runs.store, filter, None).await?;
    let now = get(runs, &run.agent_id, &run.run_id).await?;
    if matches!(now.status, Status::Queued | Status::Running) {
        tokio::select! {
            // However the wait ends, the current state is returned.
            _ = timeout(patience, subscription.next()) => {}
            () = runs.tasks.shutdown().cancelled() => {}
        }
        return get(runs, &run.agent_id, &run.run_id).await;
    }
    Ok(now)
}

/// Stops a run. A queued or waiting run is cancelled at once, a running one after its current step or now.
pub async fn stop(runs: &Runs, principal: &Principal, run: Run, stop: Stop) -> Result<Run> {
    if !run.status.is_open() {
        return Err(Error::conflict("run_ended", format!("Run '{}' has ended already", run.run_id)));
    }
    let (worker, asked) = (runs.clone(), run.clone());
    let subject = EventContext::run(&run.agent_id, &run.run_id).by(principal.name());
    // A stored stop takes effect even if the client disconnects now.
    runs.tasks.run_detached("stop", async move { ask_to_stop(&worker, asked, subject, stop).await }).await?;
    match stop {
        Stop::Now => wait(runs, run, STOP_WAIT).await,
        Stop::Step => get(runs, &run.agent_id, &run.run_id).await,
    }
}

async fn ask_to_stop(runs: &Runs, run: Run, subject: EventContext, stop: Stop) -> Result<()> {
    let id = run.run_id.clone();
    runs.store
        .write(move |tx| {
            Box::pin(async move {
                store::runs::ask_to_stop(tx, &id, stop).await?;
                let run = store::runs::get(tx, &id).await?;
                let idle = matches!(run.status, Status::Queued | Status::Waiting);
                if idle && store::runs::end(tx, &id, Status::Cancelled, None, None).await? {
                    questions::close(tx, &run).await?;
                    events::record(tx, &subject, Event::RunCancelled { mode: stop.into_str() }).await?;
                }
                Ok(())
            })
        })
        .await?;
    // Stored first, so that a run that starts or resumes from now on reads it.
    runs.scheduler.stop(&run.run_id, stop);
    // Runs queued behind a waiting run can start now.
    queue::wake(runs, &run);
    Ok(())
}

/// Withdraws the open approvals of an agent's waiting runs, so that the runs apply the policy again. Returns them.
pub async fn reconsider(tx: &mut Tx, agent: AgentKey) -> Result<Vec<Run>> {
    let mut waiting = store::runs::open_of(tx, agent).await?;
    waiting.retain(|run| run.status == Status::Waiting);
    for run in &waiting {
        questions::withdraw(tx, run).await?;
        store::runs::resume(tx, &run.run_id).await?;
    }
    Ok(waiting)
}

/// Stops every run of an agent and returns them.
pub async fn stop_all(runs: &Runs, principal: &Principal, agent: &Name, mode: Stop) -> Result<Vec<Run>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let open = store::runs::open_of(&mut db, key).await?;
    drop(db);
    let mut stopped = Vec::with_capacity(open.len());
    // Newest first, so that queued runs are cancelled before they could start.
    for run in open {
        match stop(runs, principal, run, mode).await {
            Ok(run) => stopped.push(run),
            // The run ended meanwhile.
            Err(Error::Conflict(..)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(stopped)
}
