//! Commits of a run. The end of a step and the start of the next one are committed together, so that a step takes one
//! flush to disk. The end of a step waits at most [`MAX_DEFERRAL`] for that.

use std::{pin::pin, time::Duration};

use futures_util::future::BoxFuture;
use moxxy_store::Tx;
use moxxy_types::error::Result;
use tokio::{sync::Mutex, time::sleep};

use crate::services::runs::{executor::RunExecutor, model::ModelEnd, tool::ToolEnd};

/// Maximum time that the end of a step waits for the start of the next one.
const MAX_DEFERRAL: Duration = Duration::from_millis(20);

/// End of a step. It may be written twice; the second time does nothing.
#[derive(Debug, Clone)]
pub(super) enum StepEnd {
    Model(Box<ModelEnd>),
    Tool(Box<ToolEnd>),
}

/// Ends of steps that wait for the next commit of the run, in order.
#[derive(Debug, Default)]
pub(super) struct Deferred(Mutex<Vec<StepEnd>>);

impl StepEnd {
    async fn write(self, tx: &mut Tx) -> Result<()> {
        match self {
            Self::Model(end) => end.write(tx).await.map(drop),
            Self::Tool(end) => end.write(tx).await.map(drop),
        }
    }
}

impl RunExecutor<'_> {
    /// Defers the end of a step to the next commit.
    pub(super) async fn defer(&self, end: StepEnd) {
        self.deferred.0.lock().await.push(end);
    }

    /// Returns the number of tool calls that the model requested and that are not stored yet.
    pub(super) async fn deferred_tool_calls(&self) -> usize {
        let calls = |end: &StepEnd| if let StepEnd::Model(end) = end { end.message.calls().len() } else { 0 };
        self.deferred.0.lock().await.iter().map(calls).sum()
    }

    /// Commits what was deferred and then `transaction`, both or neither. Retries while the storage fails.
    pub(super) async fn commit<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Clone + Send + 'static,
    {
        // Later commits wait, because the order of the ends matters.
        let mut deferred = self.deferred.0.lock().await;
        if deferred.is_empty() {
            drop(deferred);
            return self.runs.store.persist(transaction).await;
        }
        let ends = deferred.clone();
        let committing = self.runs.store.persist(move |tx| {
            Box::pin(async move {
                for end in ends {
                    end.write(tx).await?;
                }
                transaction(tx).await
            })
        });
        let done = committing.await?;
        deferred.clear();
        Ok(done)
    }

    /// Commits what was deferred.
    pub(super) async fn flush(&self) -> Result<()> {
        if self.deferred.0.lock().await.is_empty() {
            return Ok(());
        }
        self.commit(|_| Box::pin(async { Ok(()) })).await
    }

    /// Executes a step. If it does not start soon, what was deferred is committed meanwhile.
    pub(super) async fn with_deferred<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        let mut step = pin!(step);
        tokio::select! {
            biased;
            done = &mut step => return done,
            () = sleep(MAX_DEFERRAL) => {}
        }
        let (flushed, done) = tokio::join!(self.flush(), step);
        flushed?;
        done
    }
}
