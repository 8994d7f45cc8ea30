//! Driver of jobs. It sleeps until the next job is due, claims what is, and runs each job in a task of its own. A job
//! that fails is retried with exponential back-off; after its last attempt it is dead.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use moxxy_store::{self as store, Store, Tx, events};
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::{
    clock,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{self, JobId},
    jobs::Job,
};
use tokio::{sync::Semaphore, time::timeout};

/// Maximum number of claims in a row.
const MAX_CLAIMS: usize = 64;
/// Maximum number of jobs that run at the same time.
const MAX_CONCURRENT: usize = 16;
/// Duration of a lease, in seconds. It is renewed while the job runs.
const LEASE_SECONDS: i64 = 60;
/// Interval of renewals.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(20);
/// Maximum time of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Maximum time between looks for due jobs. Clocks may jump, so a job may be due early.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// Pause after a failure of the database.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// First pause before a retry, in seconds; each further one is twice as long.
const MIN_BACKOFF_SECONDS: i64 = 2;
/// Maximum pause before a retry, in seconds.
const MAX_BACKOFF_SECONDS: i64 = 3600;
/// Number of attempts until a job is dead.
const MAX_ATTEMPTS: i64 = 8;
/// Maximum length of a stored error, in bytes.
const MAX_ERROR_BYTES: usize = 1024;

/// Runs the jobs of one kind.
pub(super) type Handler = Arc<dyn Fn(Job) -> BoxFuture<'static, Result<Effect>> + Send + Sync>;
type Commit = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Next>> + Send>;

/// Effect of a job, committed together with its completion, so that it happens once.
pub struct Effect {
    commit: Commit,
    after: Box<dyn FnOnce() + Send>,
}

/// What becomes of a job that succeeded.
#[derive(Debug, Clone)]
pub enum Next {
    Done,
    /// It is due again at this time.
    At(String),
}

/// Handlers by kind.
#[derive(Clone, Default)]
pub(super) struct Handlers(HashMap<&'static str, (Handler, Recurrence)>);

/// Whether a job of the kind ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurrence {
    /// It ends with a success, or dead after its last attempt.
    Once,
    /// It is repeated, and never dead.
    Repeated,
}

#[derive(Clone)]
pub(super) struct Driver {
    pub store: Store,
    pub tasks: Tasks,
    pub handlers: Handlers,
    /// Id of this driver's leases.
    lease: String,
    permits: Arc<Semaphore>,
    running: Arc<Mutex<HashSet<JobId>>>,
}

impl Effect {
    pub fn new<F>(commit: F) -> Self
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Next>> + Send + 'static,
    {
        Self { commit: Box::new(commit), after: Box::new(|| {}) }
    }

    /// An effect without changes.
    pub fn none(next: Next) -> Self {
        Self::new(move |_| Box::pin(async move { Ok(next) }))
    }

    /// Adds what is done after the commit. It is skipped if the server stops.
    pub fn then(self, after: impl FnOnce() + Send + 'static) -> Self {
        Self { after: Box::new(after), ..self }
    }
}

impl Handlers {
    pub(super) fn insert(&mut self, kind: &'static str, recurrence: Recurrence, handler: Handler) {
        self.0.insert(kind, (handler, recurrence));
    }

    /// Returns the kinds of repeated jobs.
    pub(super) fn repeated(&self) -> Vec<&'static str> {
        let is_repeated = |(_, (_, recurrence)): &(_, &(Handler, Recurrence))| *recurrence == Recurrence::Repeated;
        self.0.iter().filter(is_repeated).map(|(kind, _)| *kind).collect()
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}

impl Driver {
    pub(super) fn new(store: Store, tasks: Tasks, handlers: Handlers) -> Self {
        Self {
            store,
            tasks,
            handlers,
            lease: ids::event(),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            running: Arc::default(),
        }
    }

    /// Runs jobs until the shutdown. Then gives those back that have not begun to commit.
    pub(super) async fn run(self) {
        let shutdown = self.tasks.shutdown().clone();
        let mut changes = self.store.job_changes();
        let mut renewal = tokio::time::interval(RENEWAL_INTERVAL);
        let mut renewed = Instant::now();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            let pause = self.start_due().await.unwrap_or_else(|error| {
                tracing::error!(?error, "failed to look for due jobs");
                Some(RETRY_INTERVAL)
            });
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = changes.changed(), if pause.is_some() => {}
                () = tokio::time::sleep(pause.unwrap_or(MAX_SLEEP)) => {}
                permit = self.permits.acquire(), if pause.is_none() => drop(permit),
                // Only while jobs run: an idle server is not woken.
                _ = renewal.tick(), if self.permits.available_permits() < MAX_CONCURRENT => {}
            }
            if renewed.elapsed() >= RENEWAL_INTERVAL {
                self.renew().await;
                renewed = Instant::now();
            }
        }
        let lease = self.lease.clone();
        let released = self.store.write(move |tx| Box::pin(async move { store::jobs::release(tx, &lease).await }));
        if let Err(error) = released.await {
            tracing::warn!(?error, "failed to give jobs back; they are claimed again when their leases end");
        }
    }

    /// Starts due jobs, and returns the time until the next one, or `None` if no more can run now.
    async fn start_due(&self) -> Result<Option<Duration>> {
        let kinds = self.handlers.kinds();
        // A limited number of times, so that leases are renewed in between.
        for _ in 0..MAX_CLAIMS {
            let free = self.permits.available_permits();
            if free == 0 {
                return Ok(None);
            }
            let next = store::jobs::next_due(&mut *self.store.read().await?, &kinds).await?;
            let clock = self.store.clock();
            let until = |time: String| clock::parse(&time).map_or(time::Duration::ZERO, |time| time - clock.now());
            let pause = next.map_or(MAX_SLEEP, |next| Duration::try_from(until(next)).unwrap_or_default());
            if !pause.is_zero() {
                return Ok(Some(pause.min(MAX_SLEEP)));
            }
            let claimed = self.claim(kinds.clone(), free).await?;
            if claimed.is_empty() {
                // Those that are due run here already, and their leases are about to be renewed.
                return Ok(Some(RETRY_INTERVAL));
            }
            for job in claimed {
                self.start(job).await?;
            }
        }
        Ok(Some(Duration::ZERO))
    }

    fn running(&self) -> MutexGuard<'_, HashSet<JobId>> {
        // No update panics halfway, so the set is valid even if the lock is poisoned.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim(&self, kinds: Vec<&'static str>, limit: usize) -> Result<Vec<Job>> {
        let (lease, running) = (self.lease.clone(), self.running().iter().cloned().collect::<Vec<_>>());
        let claim = self.store.write(move |tx| {
            Box::pin(async move {
                let until = tx.after(LEASE_SECONDS);
                store::jobs::claim(tx, &lease, (&kinds, &running), &until, limit).await
            })
        });
        claim.await
    }

    async fn renew(&self) {
        let (lease, running) = (self.lease.clone(), self.running().iter().cloned().collect::<Vec<_>>());
        let renewed = self.store.write(move |tx| {
            Box::pin(async move {
                let until = tx.after(LEASE_SECONDS);
                store::jobs::renew(tx, &lease, &running, &until).await
            })
        });
        if let Err(error) = renewed.await {
            tracing::error!(?error, "failed to renew the leases of jobs");
        }
    }

    async fn start(&self, job: Job) -> Result<()> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(Error::internal)?;
        let (driver, id) = (self.clone(), job.id.clone());
        self.running().insert(id.clone());
        self.tasks.spawn("job", Policy::Job, async move {
            driver.attempt(job).await;
            driver.running().remove(&id);
            drop(permit);
        });
        Ok(())
    }

    async fn attempt(&self, job: Job) {
        let (id, kind, attempts) = (job.id.clone(), job.kind.clone(), job.attempts);
        let ended = match self.handlers.0.get(&*job.kind) {
            // The server was killed in each attempt.
            Some((_, Recurrence::Once)) if attempts > MAX_ATTEMPTS => {
                Err(Error::internal("the server stopped during each attempt"))
            }
            Some((handler, _)) => self.carry_out(handler, job.clone()).await,
            None => Err(Error::internal("no handler for this kind of job")),
        };
        let Err(error) = ended else { return };
        if self.tasks.shutdown().is_cancelled() {
            // Given back by `run`.
            return;
        }
        tracing::warn!(job = %id, kind, attempts, ?error, "a job failed");
        if let Err(error) = self.fail(job, &error).await {
            tracing::error!(job = %id, ?error, "failed to record the failure of a job");
        }
    }

    /// Runs a job and commits its effect.
    async fn carry_out(&self, handler: &Handler, job: Job) -> Result<()> {
        let (id, attempt, lease) = (job.id.clone(), job.attempts, self.lease.clone());
        let running = AssertUnwindSafe(async { handler(job).await }).catch_unwind();
        let ended =
            timeout(ATTEMPT_TIMEOUT, running).await.map_err(|_| Error::internal("the attempt took too long"))?;
        let Effect { commit, after } = ended.unwrap_or_else(|_| Err(Error::internal("a job panicked")))?;
        self.store.write(move |tx| Box::pin(async move { complete(tx, (&id, attempt), &lease, commit).await })).await?;
        after();
        Ok(())
    }

    async fn fail(&self, job: Job, error: &Error) -> Result<()> {
        let ends = self.handlers.0.get(&*job.kind).is_some_and(|(_, recurrence)| *recurrence == Recurrence::Once);
        let retries = !ends || job.attempts < MAX_ATTEMPTS;
        let (lease, mut error) = (self.lease.clone(), error.to_string());
        error.truncate(error.floor_char_boundary(MAX_ERROR_BYTES));
        let recorded = self.store.persist(move |tx| {
            Box::pin(async move {
                let retry_at = retries.then(|| tx.after(backoff(job.attempts)));
                if !store::jobs::is_held(tx, &job.id, &lease, job.attempts).await? {
                    return Ok(());
                }
                store::jobs::fail(tx, &job.id, &error, retry_at.as_deref()).await?;
                let (job_id, kind, origin) = (job.id, job.kind, job.origin);
                let subject = EventContext { agent: job.agent_id, ..EventContext::default() };
                let event = match retry_at {
                    Some(retry_at) => {
                        Event::JobFailed { job_id, kind, origin, attempt: job.attempts, message: error, retry_at }
                    }
                    None => Event::JobDead { job_id, kind, origin, attempts: job.attempts, message: error },
                };
                events::record(tx, &subject, event).await
            })
        });
        recorded.await
    }
}

/// Commits the effect of a job with its completion, unless another driver took the job over.
async fn complete(tx: &mut Tx, (id, attempt): (&JobId, i64), lease: &str, commit: Commit) -> Result<()> {
    if !store::jobs::is_held(tx, id, lease, attempt).await? {
        return Err(Error::internal("the lease of the job was lost"));
    }
    match commit(tx).await? {
        Next::Done => store::jobs::delete(tx, id).await,
        Next::At(due_at) => store::jobs::repeat(tx, id, &due_at).await,
    }
}

/// Returns the pause before the next attempt, in seconds.
fn backoff(attempts: i64) -> i64 {
    let doubled = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    MIN_BACKOFF_SECONDS.saturating_mul(1 << doubled).min(MAX_BACKOFF_SECONDS)
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Effect")
    }
}
