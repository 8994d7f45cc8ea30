//! Background service: the tasks of the server, its jobs and their shutdown.

mod driver;

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
};

use moxxy_store::{self as store, Store, Tx};
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::{
    error::Result,
    jobs::{Job, NewJob},
};
use serde_json::json;

use driver::{Driver, Handlers};

pub use driver::{Effect, Next, Recurrence};

/// All tasks, the handlers of jobs, and the lock on the data directory that they use.
#[derive(Debug, Clone)]
pub struct Background {
    pub(crate) store: Store,
    tasks: Tasks,
    handlers: Arc<Mutex<Handlers>>,
    /// Prevents other servers from using the data directory.
    lock: Option<Arc<File>>,
}

impl Background {
    /// `lock` is that of the data directory.
    pub fn new(store: &Store, tasks: Tasks, lock: Option<File>) -> Self {
        Self { store: store.clone(), tasks, handlers: Arc::default(), lock: lock.map(Arc::new) }
    }

    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Returns the lock on the data directory.
    pub(crate) fn lock(&self) -> Option<Arc<File>> {
        self.lock.clone()
    }

    /// Sets the handler of a kind of jobs. Has no effect after [`Self::start_jobs`].
    pub fn register<F>(
        &self,
        kind: &'static str,
        recurrence: Recurrence,
        handler: impl Fn(Job) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Effect>> + Send + 'static,
    {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(kind, recurrence, Arc::new(move |job| Box::pin(handler(job))));
    }

    /// Starts the driver of jobs, with those that are repeated. Jobs of kinds without a handler wait.
    pub async fn start_jobs(&self) -> Result<()> {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let repeated = handlers.repeated();
        let start = self.store.write(move |tx| {
            Box::pin(async move {
                for kind in repeated {
                    start_repeated(tx, kind).await?;
                }
                Ok(())
            })
        });
        start.await?;
        let driver = Driver::new(self.store.clone(), self.tasks.clone(), handlers);
        // At a shutdown it gives jobs back before it ends.
        self.tasks.spawn("jobs", Policy::Vital, driver.run());
        Ok(())
    }
}

/// Makes the only job of a repeated kind due now.
async fn start_repeated(tx: &mut Tx, kind: &'static str) -> Result<()> {
    let job = NewJob {
        kind,
        key: kind.to_owned(),
        agent: None,
        origin: None,
        payload: json!({}),
        due_at: tx.now(),
        created_by: "server".to_owned(),
    };
    store::jobs::insert(tx, &job).await?;
    store::jobs::hasten(tx, kind).await
}
