//! Agents as models of chat completions and responses. Each request is an unattended run. A conversation that a client sends again with
//! more at its end continues its session; every other one begins a session of its own. Earlier messages that the client
//! supplies precede the task as plain text, marked as quoted, so that they cannot pass for a tool result or for the
//! persona.

mod answer;
mod clients;
mod output_stream;
mod stop_words;
mod turns;

use moxxy_store::{self as store, Tx};
use moxxy_types::{
    agents::AgentKey,
    components::Tool,
    error::{Error, Result},
    idempotency::Claim,
    ids::{Name, RunId},
    messages::{Message, Role},
    runs::{Origin, QueuedRun, RunOptions},
    tokens::Principal,
};

pub use answer::{Answer, answer, ended};
pub use clients::{Attempt, ChatRun};
pub use output_stream::OutputStream;

use crate::services::{
    runs::{self, Runs, Started},
    tools::ToolSet,
};

/// Separator between the messages of an answer.
const MESSAGE_SEPARATOR: &str = "\n\n";
/// Types of the events that end a run.
const FINAL_EVENTS: [&str; 3] = ["run.completed", "run.failed", "run.cancelled"];

/// Messages of a client to an agent.
#[derive(Debug)]
pub struct Conversation {
    /// All messages, oldest first. The last one is the task, too.
    pub messages: Vec<ClientMessage>,
    pub task: String,
    pub options: RunOptions,
}

impl Conversation {
    /// Adds what the client wants to the task.
    pub fn with_note(mut self, note: Option<String>) -> Self {
        if let Some(note) = note {
            self.task = format!("{}\n\n{note}", self.task);
        }
        self
    }
}

/// A message as a client supplies it, unverified.
#[derive(Debug)]
pub struct ClientMessage {
    /// What the agent's model is shown of it, unless it is the task.
    pub shown: Vec<EarlierMessage>,
    /// Its text, if the client says that the agent said it.
    pub answer: Option<String>,
    /// Equal for equal messages only.
    pub fingerprint: String,
}

#[derive(Debug)]
pub struct EarlierMessage {
    pub role: Role,
    pub content: String,
}

/// A request for an answer.
#[derive(Debug)]
pub struct Request {
    pub agent: Name,
    pub origin: Origin,
    /// What it says, and with `options.previous` the run that it continues.
    pub conversation: Conversation,
    pub attempt: Attempt,
    /// Whether the run goes on if the client disconnects.
    pub in_background: bool,
    pub claim: Option<Claim>,
}

/// Starts a run, or joins the run of the request that this one repeats. With an `Idempotency-Key` the run continues if the
/// client disconnects, and a retry gets its answer.
pub async fn start(runs: &Runs, principal: Principal, id: RunId, mut request: Request) -> Result<ChatRun> {
    runs.activation.check()?;
    if let Some(schema) = &request.conversation.options.output_schema {
        let field = if request.origin == Origin::Responses { "text.format" } else { "response_format" };
        runs::check_schema(&runs.components.plugins, field, schema).await?;
    }
    let (worker, attempt) = (runs.clone(), request.attempt);
    let detached = request.claim.is_some() || request.in_background;
    request.conversation.options.detached = detached;
    let queueing = async move {
        let hashes = turns::hashes(&request.conversation);
        if !detached && let Some(run) = turns::repeated(&worker, &principal, &request, &hashes).await? {
            return Ok(clients::watch(&worker, principal, run, true, attempt));
        }
        let by = principal.clone();
        let queued = worker.store.write(move |tx| Box::pin(async move { queue(tx, &by, id, request, hashes).await }));
        let Started { run, before } = queued.await?;
        runs::wake(&worker, &run);
        Ok(clients::watch(&worker, principal, run, before, attempt))
    };
    // A client that disconnects now is detected once the run exists.
    runs.tasks.run_detached("queueing", queueing).await
}

async fn queue(
    tx: &mut Tx,
    principal: &Principal,
    id: RunId,
    request: Request,
    hashes: Vec<turns::Hash>,
) -> Result<Started> {
    let Request { agent, origin, conversation, claim, .. } = request;
    let key = store::agents::get(tx, &agent).await?.key;
    if let Some(before) = runs::claimed(tx, claim.as_ref()).await? {
        return Ok(before);
    }
    let Conversation { messages, task, options } = conversation;
    if !options.client_tools.is_empty() {
        check_client_tools(tx, key, &options.client_tools).await?;
    }
    let place = match &options.previous {
        Some(previous) => turns::after(tx, key, principal, previous).await?,
        None => turns::continued(tx, key, principal, &messages, &hashes).await?,
    };
    let session = match place.session {
        Some(session) => session,
        None => store::sessions::open(tx, key, &Name::from_db(session(&id))).await?,
    };
    let new = QueuedRun {
        id: &id,
        agent: key,
        session: &session,
        task: &task,
        started_by: principal.name(),
        unattended: true,
        origin,
        options: &options,
    };
    store::runs::insert(tx, &new).await?;
    let run = runs::queued(tx, &id, principal.name(), claim.as_ref()).await?;
    if let Some(hash) = hashes.last() {
        store::chat_turns::insert(tx, &id, key, principal.name(), hash).await?;
    }
    for EarlierMessage { role, content } in earlier(messages, place.known, place.branch) {
        // A client repeats its instructions in each request.
        if options.previous.is_some() && store::messages::is_quoted(tx, &session, &content).await? {
            continue;
        }
        let quoted = Message { quoted: true, ..Message::new(&run, role, content, tx.now()) };
        store::messages::insert(tx, &quoted).await?;
    }
    Ok(Started { run, before: false })
}

/// Refuses tools of a client if the agent's tool policy does not allow them, or if the agent has tools of these names.
async fn check_client_tools(tx: &mut Tx, agent: AgentKey, tools: &[Tool]) -> Result<()> {
    if !store::agents::policy(tx, agent).await?.client_tools {
        let reason = "an agent uses its own tools, and takes none from a client: install them as skills, or set \
                      `client_tools` in its tool policy";
        return Err(Error::invalid_field("tools", reason));
    }
    let skills = store::installations::skills(tx, agent).await?;
    let own = ToolSet::of_skills(&skills);
    match tools.iter().find(|tool| own.find(&tool.name).is_some()) {
        Some(tool) => Err(Error::invalid_field("tools", format!("the agent has a tool `{}` itself", tool.name))),
        None => Ok(()),
    }
}

/// Returns what a model is shown of the messages before the last one, without the first `known`, behind those of the
/// session that they branch off.
fn earlier(mut messages: Vec<ClientMessage>, known: usize, branch: Vec<EarlierMessage>) -> Vec<EarlierMessage> {
    messages.pop();
    let mut earlier = branch;
    for said in messages.into_iter().skip(known).flat_map(|message| message.shown) {
        match earlier.last_mut() {
            Some(before) if before.role == Role::Assistant && said.role == Role::Assistant => {
                before.content = format!("{}{MESSAGE_SEPARATOR}{}", before.content, said.content);
            }
            _ if said.content.trim().is_empty() => {}
            _ => earlier.push(said),
        }
    }
    earlier
}

/// Returns the unique name of a run's conversation.
fn session(id: &RunId) -> String {
    id.as_str().replacen("run_", "chat-", 1)
}
