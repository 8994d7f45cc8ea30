//! Serial execution of a session's runs. Each session with runs has a worker, which ends when none are left.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use moxxy_store as store;
use moxxy_system::tasks::Policy;
use moxxy_types::{
    error::{Error, Result},
    ids::{RunId, SessionId},
    runs::Run,
};

use crate::services::runs::{Runs, executor, resume};

/// Pause before a retry after a database error.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the worker of a run's session, unless it is running.
pub fn wake(runs: &Runs, run: &Run) {
    if runs.activation.is_pending() {
        return;
    }
    let (worker, run) = (runs.clone(), run.clone());
    if runs.scheduler.claim(&run.session_id) {
        runs.tasks.spawn("session", Policy::Job, async move { work(&worker, &run).await });
    }
}

/// Carries out the runs of a session. `first` is that which woke the worker.
async fn work(runs: &Runs, first: &Run) {
    let session = &first.session_id;
    let mut again = false;
    loop {
        let drained = drain(runs, first, again).await;
        again = drained.is_err();
        if let Err(error) = drained {
            if error.is_database_damaged() {
                tracing::error!(%session, "the runs of a session cannot go on, because the database is damaged");
                runs.store.record_damage();
                return runs.scheduler.release(session);
            }
            tracing::error!(%session, error = ?error, "failed to continue the runs of a session; trying again");
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = runs.tasks.shutdown().cancelled() => {}
            }
        }
        runs.scheduler.release(session);
        // A run may have been queued between the last check and the release.
        let more = !runs.tasks.shutdown().is_cancelled() && !matches!(next(runs, session).await, Ok(None));
        if !(more && runs.scheduler.claim(session)) {
            return;
        }
    }
}

async fn drain(runs: &Runs, first: &Run, again: bool) -> Result<()> {
    let session = &first.session_id;
    if again {
        resume::resume_interrupted(runs, session).await?;
    }
    while let Some(run) = next(runs, session).await? {
        let permit = tokio::select! {
            permit = runs.scheduler.session_permit(first) => permit,
            () = runs.tasks.shutdown().cancelled() => return Ok(()),
        };
        let control = runs.scheduler.begin(&run);
        let ended = AssertUnwindSafe(executor::carry_out(runs, &run, &control)).catch_unwind().await;
        let ended = ended.unwrap_or_else(|_| Err(Error::internal("a run panicked")));
        runs.scheduler.end(&run);
        drop(permit);
        match ended {
            Ok(executor::End::Ended | executor::End::Waiting) => {}
            Ok(executor::End::Paused) => return Ok(()),
            // Nothing that was done is lost, and the storage may recover.
            Err(error) if error.is_storage_error() => return Err(error),
            Err(error) => executor::fail_run(runs, &run, &error).await?,
        }
    }
    Ok(())
}

async fn next(runs: &Runs, session: &SessionId) -> Result<Option<RunId>> {
    store::runs::next_in(&mut *runs.store.read().await?, session).await
}
