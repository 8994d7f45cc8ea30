//! Jobs, as operators see them.

use moxxy_store as store;
use moxxy_types::{
    error::{Error, Result},
    ids::{JobId, Name},
    jobs::{Filter, Job, Status},
    paging::{Page, PageRequest},
};

use crate::background::Background;

/// Returns a page of jobs, oldest first.
pub async fn list(
    background: &Background,
    agent: Option<&Name>,
    status: Option<Status>,
    kind: Option<String>,
    page: &PageRequest,
) -> Result<Page<Job>> {
    let mut db = background.store.read().await?;
    let agent = match agent {
        Some(name) => Some(store::agents::get(&mut db, name).await?.key),
        None => None,
    };
    store::jobs::list(&mut db, &Filter { agent, status, kind }, page).await
}

pub async fn get(background: &Background, id: &JobId) -> Result<Job> {
    store::jobs::get(&mut *background.store.read().await?, id).await
}

/// Makes a job due now, with all its attempts.
pub async fn retry(background: &Background, id: JobId) -> Result<Job> {
    let retry = background.store.write(move |tx| {
        Box::pin(async move {
            let job = store::jobs::get(tx, &id).await?;
            if !store::jobs::retry(tx, &id).await? {
                return Err(running(&job));
            }
            store::jobs::get(tx, &id).await
        })
    });
    retry.await
}

/// Deletes a dead job. Its work is never done.
pub async fn delete(background: &Background, id: JobId) -> Result<()> {
    let delete = background.store.write(move |tx| {
        Box::pin(async move {
            let job = store::jobs::get(tx, &id).await?;
            if job.status != Status::Dead {
                let message = format!("Job '{id}' is {}; only a dead job can be deleted", job.status.into_str());
                return Err(Error::conflict("job_needed", message));
            }
            store::jobs::delete(tx, &id).await
        })
    });
    delete.await
}

fn running(job: &Job) -> Error {
    Error::conflict("job_running", format!("Job '{}' is running; retry it after it ends", job.id))
}
