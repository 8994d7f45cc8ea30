//! Background tasks and threads, each with a policy for its end, and the separate runtime for components. No
//! other module starts tasks or threads.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use moxxy_types::error::{Error, Result};
use tokio::{
    runtime,
    sync::oneshot,
    time::{Instant, sleep},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Effect of the end of a task on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Runs as long as the server. If it ends or panics before a shutdown, the server stops.
    Vital,
    /// Ends with its work, or is aborted after the grace period of a shutdown. A panic is logged.
    Job,
    /// Ends when its input is closed, and is never aborted. If it panics, the server stops.
    Drain,
}

/// First pause before a panicked task is restarted. It doubles with each panic, and is reset once the task has
/// run for longer than the maximum.
const MIN_RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Maximum pause before a panicked task is restarted.
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(60);

/// Tracks every task and stops the server when a vital one fails.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    abort: CancellationToken,
    failures: Arc<Mutex<Failures>>,
}

/// Names of failed tasks.
#[derive(Debug, Default)]
struct Failures {
    first: Option<&'static str>,
    /// First failed task that stops the server.
    fatal: Option<&'static str>,
}

impl Tasks {
    /// Returns the token that is cancelled when the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    pub fn spawn<F>(&self, name: &'static str, policy: Policy, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        let inner = match policy {
            Policy::Drain => tokio::spawn(task),
            Policy::Vital | Policy::Job => {
                // Boxed, because each layer around it would reserve space for it again.
                let (abort, task) = (self.abort.clone(), Box::pin(task));
                tokio::spawn(async move {
                    abort.run_until_cancelled_owned(task).await;
                })
            }
        };
        self.tracker.spawn(async move {
            let outcome = inner.await;
            let ended_early = policy == Policy::Vital && !tasks.shutdown.is_cancelled();
            let panicked = outcome.is_err_and(|e| e.is_panic());
            if panicked || ended_early {
                tracing::error!(task = name, panicked, "a background task failed");
                tasks.record_failure(name, policy != Policy::Job);
            }
        });
    }

    /// Runs a task as long as the server. If it panics, it is restarted with exponential back-off.
    pub fn keep_running<F>(&self, name: &'static str, task: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(name, Policy::Job, async move {
            let mut pause = MIN_RESTART_PAUSE;
            loop {
                let started = Instant::now();
                let mut attempt = AbortOnDropHandle::new(tokio::spawn(task()));
                let ended = tokio::select! {
                    ended = &mut attempt => ended,
                    () = tasks.shutdown.cancelled() => {
                        attempt.abort();
                        // Its last poll may still run, and panic.
                        (&mut attempt).await
                    }
                };
                if !ended.is_err_and(|e| e.is_panic()) {
                    return;
                }
                tasks.record_failure(name, false);
                if started.elapsed() > MAX_RESTART_PAUSE {
                    pause = MIN_RESTART_PAUSE;
                }
                tracing::error!(task = name, ?pause, "a background task panicked and will restart after a pause");
                if tasks.shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(MAX_RESTART_PAUSE);
            }
        });
    }

    /// Runs a job to its end, even if its caller stops waiting for it.
    pub async fn run_detached<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, ended) = oneshot::channel();
        // The send fails if the caller stopped waiting.
        self.spawn(name, Policy::Job, async move { drop(sender.send(job.await)) });
        ended.await.map_err(|_| Error::unavailable("shutting_down", "The server is shutting down"))?
    }

    /// Aborts the tasks that are still running, except those with [`Policy::Drain`].
    pub fn abort_all(&self) {
        self.abort.cancel();
    }

    /// Waits for every task to end.
    pub async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Returns an error if a task failed that the server cannot run without.
    pub fn fatal_failure(&self) -> Result<()> {
        failure_result(self.failures().fatal)
    }

    /// Returns an error if any task failed.
    pub fn first_failure(&self) -> Result<()> {
        failure_result(self.failures().first)
    }

    fn record_failure(&self, name: &'static str, fatal: bool) {
        let mut failures = self.failures();
        failures.first.get_or_insert(name);
        if fatal {
            failures.fatal.get_or_insert(name);
            self.shutdown.cancel();
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // Every use leaves the value consistent, so poisoning is ignored.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure_result(task: Option<&'static str>) -> Result<()> {
    task.map_or(Ok(()), |name| Err(Error::internal(format!("the background task `{name}` failed"))))
}

/// Starts a thread that ends by itself.
pub fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop).map_err(Error::internal)
}

/// Runtime of the server itself.
#[derive(Debug, Clone)]
pub struct ServerRuntime(runtime::Handle);

impl ServerRuntime {
    /// Returns the runtime of the caller.
    pub fn current() -> Self {
        Self(runtime::Handle::current())
    }

    /// Runs a future on this runtime, even if its caller stops waiting for it.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.0.spawn(work).await.map_err(Error::internal)
    }

    /// Spawns a task on this runtime that is aborted when its handle is dropped.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task(AbortOnDropHandle::new(self.0.spawn(work)))
    }
}

/// Runs blocking work off the server's worker threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// Runs work on an input of `bytes` bytes, off the server's worker threads if the input is large.
pub async fn run_sized<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= MAX_INLINE_BYTES { Ok(work()) } else { blocking(work).await }
}

/// Maximum size of an input that is processed on the server's worker threads, in bytes.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Niceness of the threads of components, as in nice(1).
const NICENESS: i32 = 10;

/// Runtime for components. A component that computes for long slows other components, never the server's I/O.
#[derive(Debug)]
pub struct GuestRuntime {
    runtime: Option<runtime::Runtime>,
    handle: runtime::Handle,
}

/// Task that is aborted when this handle is dropped.
#[derive(Debug)]
pub struct Task<T>(AbortOnDropHandle<T>);

impl GuestRuntime {
    pub fn new(name: &str, threads: usize) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .on_thread_start(lower_priority)
            // A guest yields at each tick, so every poll lasts one tick: check timers and new work after each
            // poll.
            .event_interval(1)
            .global_queue_interval(1)
            .enable_time()
            .build()
            .map_err(Error::internal)?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task(AbortOnDropHandle::new(self.handle.spawn(task)))
    }

    /// Runs a guest to its end. Switching threads and back takes several times as long as a short call, so a task
    /// that is `short_running` starts on the caller's thread. If it is still pending when it first yields,
    /// after about one tick, it moves to this runtime.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
        short_running: bool,
    ) -> Result<T> {
        let mut task = Box::pin(task);
        if short_running {
            let first_poll = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))))).await;
            match first_poll {
                Ok(Poll::Ready(ended)) => return Ok(ended),
                Ok(Poll::Pending) => {}
                Err(_) => return Err(Error::internal("a call panicked")),
            }
        }
        self.spawn(task).await
    }
}

/// Lowers the priority of the current thread, so that a component that computes for long does not delay the
/// server's I/O.
fn lower_priority() {
    // On Linux, process 0 is the calling thread. If this fails, only fairness suffers.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "failed to lower the priority of a thread for components");
    }
}

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl<T> Task<T> {
    /// Lets the task run to its end after the handle is dropped.
    pub fn detach(self) {
        drop(self.0.detach());
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_restarted_and_ends_no_server() {
        let (tasks, started) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        let (shutdown, count) = (tasks.shutdown().clone(), Arc::clone(&started));
        tasks.keep_running("fragile", move || {
            let (number, shutdown) = (count.fetch_add(1, Ordering::SeqCst), shutdown.clone());
            async move {
                assert!(number == 2, "fails twice");
                shutdown.cancel();
            }
        });
        tasks.shutdown().cancelled().await;
        tasks.finished().await;
        assert_eq!(started.load(Ordering::SeqCst), 3);
        assert!(tasks.fatal_failure().is_ok() && tasks.first_failure().is_err());
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_no_restart() {
        let tasks = Tasks::default();
        let failed = Arc::new(tokio::sync::Notify::new());
        let notify = Arc::clone(&failed);
        tasks.keep_running("broken", move || {
            notify.notify_one();
            async { panic!("always") }
        });
        failed.notified().await;
        tasks.shutdown().cancel();
        tasks.finished().await;
    }

    #[tokio::test]
    async fn the_end_of_a_vital_task_stops_the_server() {
        for (policy, panics, stops) in [
            (Policy::Vital, true, true),
            (Policy::Vital, false, true),
            (Policy::Drain, true, true),
            (Policy::Drain, false, false),
            (Policy::Job, true, false),
            (Policy::Job, false, false),
        ] {
            let tasks = Tasks::default();
            tasks.spawn("subject", policy, async move { assert!(!panics, "as it should") });
            tasks.finished().await;
            assert_eq!(tasks.shutdown().is_cancelled(), stops, "{policy:?} {panics}");
            assert_eq!(tasks.fatal_failure().is_err(), stops, "{policy:?} {panics}");
        }
    }
}
