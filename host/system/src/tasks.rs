//! The only module that starts tasks and threads, each with a policy for its end, and the runtime
//! on which components run, apart from the server's.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::Poll,
};

use moxxy_types::error::{Error, Result};
use tokio::{runtime, sync::oneshot};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// What the end of a task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It lasts as long as the server; if it ends before a shutdown, the server stops.
    Vital,
    /// It has a job and ends with it, or is cut off after the grace period of a shutdown.
    Job,
    /// It ends by itself when nothing feeds it any more, and is never cut off.
    Drain,
}

/// Knows every task and stops the server when a vital one dies.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
    died: Arc<Mutex<Option<String>>>,
}

impl Tasks {
    /// Cancelled when the server stops.
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
                // Boxed, for each layer around it would make room for it once more.
                let (cut_off, task) = (self.cut_off.clone(), Box::pin(task));
                tokio::spawn(async move {
                    cut_off.run_until_cancelled_owned(task).await;
                })
            }
        };
        self.tracker.spawn(async move {
            let end = inner.await;
            let early = policy == Policy::Vital && !tasks.shutdown.is_cancelled();
            let panicked = end.is_err_and(|e| e.is_panic());
            if panicked || early {
                tracing::error!(task = name, panicked, "a background task died");
                tasks.record_failure(name, policy);
            }
        });
    }

    /// Carries a job to its end, even if its caller stops waiting for it.
    pub async fn run_detached<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, ended) = oneshot::channel();
        // The caller may be gone.
        self.spawn(name, Policy::Job, async move { drop(sender.send(job.await)) });
        ended.await.map_err(|_| Error::unavailable("shutting_down", "The server is shutting down"))?
    }

    /// Ends what is still running, where it is.
    pub fn abort_all(&self) {
        self.cut_off.cancel();
    }

    /// Waits for every task to end.
    pub async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Which task died, if one did.
    pub fn first_failure(&self) -> Result<()> {
        let died = self.died.lock().map_err(|_| Error::internal("a lock was poisoned"))?;
        match died.as_deref() {
            Some(name) => Err(Error::internal(format!("the background task `{name}` died"))),
            None => Ok(()),
        }
    }

    fn record_failure(&self, name: &str, policy: Policy) {
        if let Ok(mut died) = self.died.lock() {
            died.get_or_insert_with(|| name.to_owned());
        }
        // The server can do without one job, not without the others.
        if policy != Policy::Job {
            self.shutdown.cancel();
        }
    }
}

/// Starts a thread that ends by itself.
pub fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop).map_err(Error::internal)
}

/// The threads that the server itself runs on.
#[derive(Debug, Clone)]
pub struct ServerRuntime(runtime::Handle);

impl ServerRuntime {
    /// Those of the caller.
    pub fn current() -> Self {
        Self(runtime::Handle::current())
    }

    /// Runs a future there, whoever waits for it.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.0.spawn(work).await.map_err(Error::internal)
    }

    /// Starts a task there that lasts no longer than whoever wants it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task(AbortOnDropHandle::new(self.0.spawn(work)))
    }
}

/// Runs blocking work away from the server's threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// Runs work on so many bytes away from the server's threads, if it takes long.
pub async fn heavy<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= LIGHT { Ok(work()) } else { blocking(work).await }
}

/// What the server's threads work through without keeping others waiting, in bytes.
const LIGHT: usize = 64 * 1024;

/// How much the threads of components give way to others, as in nice(1).
const NICENESS: i32 = 10;

/// Threads for the work of components. What computes there for long slows others of its kind, never the
/// server's input and output.
#[derive(Debug)]
pub struct GuestRuntime {
    runtime: Option<runtime::Runtime>,
    handle: runtime::Handle,
}

/// A task that is ended when this is dropped.
#[derive(Debug)]
pub struct Task<T>(AbortOnDropHandle<T>);

impl GuestRuntime {
    pub fn new(name: &str, threads: usize) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .on_thread_start(lower_priority)
            // A guest that yields at each tick makes every poll last one tick: look at timers
            // and at new work after each of them.
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

    /// Runs a guest to its end. A change of threads and back takes several times as long as a
    /// short call, so one that is likely to be `brief` begins where the caller is. If it has not
    /// ended when it first lets others run, which is after about one tick, it moves.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
        brief: bool,
    ) -> Result<T> {
        let mut task = Box::pin(task);
        if brief {
            let begun = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))))).await;
            match begun {
                Ok(Poll::Ready(ended)) => return Ok(ended),
                Ok(Poll::Pending) => {}
                Err(_) => return Err(Error::internal("a call panicked")),
            }
        }
        self.spawn(task).await
    }
}

/// Lowers the priority of the current thread, so that a component that computes for long takes no
/// time that the server's input and output needs.
fn lower_priority() {
    // On Linux the process 0 stands for the calling thread. Without it only fairness is worse.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "guests run at the server's own priority");
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
    /// Lets it run to its end.
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
