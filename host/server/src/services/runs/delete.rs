//! Deletion of runs that have ended, with their messages, steps and events. Usage stays counted.

use moxxy_store::{self as store, Store, Tx, events};
use moxxy_types::{
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, RunId},
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
    let removal = async move {
        remove_rows(&store, id.clone()).await?;
        let recorded = store.write(move |tx| {
            Box::pin(async move {
                store::sessions::recount_left_out(tx, &run.session_id).await?;
                events::record(tx, &subject, Event::RunDeleted { deleted_run_id: id }).await
            })
        });
        recorded.await
    };
    // A deletion that has begun is completed, even if the client disconnects.
    runs.tasks.run_detached("run removal", removal).await
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
