//! Deletion of runs that have ended, with their messages, steps and events. Usage stays counted.

use moxxy_store::{self as store, Store, Tx, events};
use moxxy_types::{
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, RunId, SessionId},
    tokens::Principal,
};

use crate::services::runs::{self, Runs};

/// Number of rows that one transaction removes, so that others can write in between.
const ROWS_PER_TRANSACTION: u64 = 1000;

/// Deletes a run that has ended.
pub async fn delete(runs: &Runs, principal: Principal, agent: &Name, id: RunId) -> Result<()> {
    let run = runs::get(runs, agent, &id).await?;
    if run.status.is_open() {
        return Err(Error::conflict("run_open", format!("Run '{id}' has not ended; stop it first")));
    }
    if store::questions::any_standing_of(&mut *runs.store.read().await?, &id).await? {
        return Err(holds_decision());
    }
    let (store, subject) = (runs.store.clone(), EventContext::agent(agent).by(principal.name()));
    let removal = async move { remove(&store, (id, run.session_id), subject, false).await };
    // A deletion that has begun is completed, even if the client disconnects.
    runs.tasks.run_detached("run removal", removal).await
}

/// Removes a run in pieces, and records that. `with_session`: also removes its session if no runs are left in it.
pub async fn remove(
    store: &Store,
    (id, session): (RunId, SessionId),
    subject: EventContext,
    with_session: bool,
) -> Result<()> {
    loop {
        let (id, session, subject) = (id.clone(), session.clone(), subject.clone());
        let removing = store.write(move |tx| {
            Box::pin(async move {
                if store::runs::remove_rows(tx, &id, ROWS_PER_TRANSACTION).await? == ROWS_PER_TRANSACTION {
                    return Ok(false);
                }
                store::sessions::recount_left_out(tx, &session).await?;
                if with_session {
                    store::sessions::delete_without_runs(tx, &session).await?;
                }
                events::record(tx, &subject, Event::RunDeleted { deleted_run_id: id }).await?;
                Ok(true)
            })
        });
        if removing.await? {
            return Ok(());
        }
    }
}

/// Error for what cannot be deleted, because a person decided in it on calls of other runs.
pub fn holds_decision() -> Error {
    let message = "A decision on tool calls that was made here still holds for other runs; set the agent's tool policy \
                   anew to revoke it, then delete";
    Error::conflict("decision_holds", message)
}

/// Removes the rows of a run in pieces.
pub async fn remove_rows(store: &Store, id: RunId) -> Result<()> {
    loop {
        let id = id.clone();
        if store.write(move |tx| Box::pin(remove_piece(tx, id))).await? < ROWS_PER_TRANSACTION {
            return Ok(());
        }
    }
}

async fn remove_piece(tx: &mut Tx, id: RunId) -> Result<u64> {
    store::runs::remove_rows(tx, &id, ROWS_PER_TRANSACTION).await
}
