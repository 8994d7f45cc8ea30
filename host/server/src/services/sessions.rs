//! Sessions: an agent's conversations. Their histories never mix.

use moxxy_store::{self as store, Db, Tx, events};
use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, RunId, SessionId},
    messages::Message,
    paging::{Page, PageRequest},
    sessions::{Session, default_conversation},
    tokens::Principal,
};

use crate::services::runs::{self, Runs, holds_decision};

/// Number of runs that a deletion reads at once.
const RUNS_PER_READ: i64 = 100;

/// Finds a session by its id, or the open session of a conversation by its name. Returns `None` if the default
/// conversation has not started; for any other conversation that is an error.
async fn find(db: &mut Db, agent: AgentKey, wanted: Option<String>) -> Result<Option<SessionId>> {
    let name = match wanted.map(session_id) {
        None => default_conversation(),
        Some(Ok(id)) => return store::sessions::get(db, agent, &id).await.map(|session| Some(session.id)),
        Some(Err(name)) => Name::try_from(name)?,
    };
    match store::sessions::current(db, agent, &name).await? {
        None if name != default_conversation() => Err(Error::not_found("session", name)),
        session => Ok(session),
    }
}

/// Returns a page of an agent's sessions, oldest first.
pub async fn list(runs: &Runs, agent: &Name, page: &PageRequest) -> Result<Page<Session>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let sessions = store::sessions::list(&mut db, key, page).await?;
    Ok(page.cut(sessions, |session| session.id.to_string()))
}

/// Returns a page of the messages of one session, oldest first: of `session`, an id or a conversation's name, or else
/// of the session of `run`, or else of the default conversation. With `run`, only its messages.
pub async fn messages(
    runs: &Runs,
    agent: &Name,
    session: Option<String>,
    run: Option<&RunId>,
    page: &PageRequest,
) -> Result<Page<Message>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let of_run = match run {
        Some(run) => Some(runs::get_of_agent(&mut db, agent, run).await?.session_id),
        None => None,
    };
    let found = match (session, &of_run) {
        // A run belongs to exactly one session.
        (None, Some(session)) => Some(session.clone()),
        (wanted, _) => find(&mut db, key, wanted).await?,
    };
    let is_of_run = |session: &SessionId| of_run.as_ref().is_none_or(|of_run| of_run == session);
    let Some(session) = found.filter(is_of_run) else { return Ok(Page { items: Vec::new(), next: None }) };
    store::messages::page(&mut db, &session, run, page).await
}

/// Stops the agent's runs and starts a new session of its default conversation.
pub async fn reset(runs: &Runs, principal: Principal, agent: Name) -> Result<SessionId> {
    runs::stop_all(runs, &principal, &agent, moxxy_types::runs::Stop::Now).await?;
    runs.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                store::sessions::close(tx, key, &default_conversation()).await?;
                let session_id = store::sessions::open(tx, key, &default_conversation()).await?;
                let reset = Event::AgentReset { session_id: session_id.clone() };
                events::record(tx, &EventContext::agent(&agent).by(principal.name()), reset).await?;
                Ok(session_id)
            })
        })
        .await
}

/// Deletes a session that no open run is in, with its runs.
pub async fn delete(runs: &Runs, principal: Principal, agent: Name, id: SessionId) -> Result<()> {
    let store = runs.store.clone();
    let removal = async move {
        let (name, session) = (agent.clone(), id.clone());
        // New runs of the conversation begin another session from now on.
        store.write(move |tx| Box::pin(async move { close_for_removal(tx, &name, &session).await })).await?;
        loop {
            let some = store::runs::of_session(&mut *store.read().await?, &id, RUNS_PER_READ).await?;
            if some.is_empty() {
                break;
            }
            for run in some {
                runs::remove_rows(&store, run).await?;
            }
        }
        let subject = EventContext::agent(&agent).by(principal.name());
        let removed = store.write(move |tx| {
            Box::pin(async move {
                refuse_open(tx, &id).await?;
                store::sessions::delete(tx, &id).await?;
                events::record(tx, &subject, Event::SessionDeleted { session_id: id }).await
            })
        });
        removed.await
    };
    // A deletion that has begun is completed, even if the client disconnects.
    runs.tasks.run_detached("session removal", removal).await
}

async fn close_for_removal(tx: &mut Tx, agent: &Name, id: &SessionId) -> Result<()> {
    let key = store::agents::get(tx, agent).await?.key;
    store::sessions::get(tx, key, id).await?;
    refuse_open(tx, id).await?;
    if store::questions::any_standing_in(tx, id).await? {
        return Err(holds_decision());
    }
    store::sessions::close_one(tx, id).await
}

async fn refuse_open(db: &mut Db, id: &SessionId) -> Result<()> {
    if store::runs::any_open_in(db, id).await? {
        let message = format!("A run of session '{id}' has not ended; stop it first");
        return Err(Error::conflict("run_open", message));
    }
    Ok(())
}

/// Parses a session id. Returns the text as the error.
fn session_id(text: String) -> Result<SessionId, String> {
    SessionId::try_from(text.clone()).map_err(|_| text)
}
