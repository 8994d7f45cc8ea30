//! WebAssembly runtime for components, based on wasmtime. [`Plugins::admit`] installs a component;
//! [`Plugins::call_tool`] and [`Plugins::complete`] call one. A [`CallContext`] carries the capabilities of a
//! call; this crate knows neither the rules nor the database behind it.

mod bindings;
mod call;
mod capacity;
pub mod compile;
mod context;
mod describe;
mod engine;
mod epoch;
mod exports;
mod failure;
mod files;
mod imports;
mod inspect;
mod limits;
mod manifest;
mod meter;
mod options;
mod output;
pub mod permission_requests;
mod precompiled;
mod prepared;
mod previous;
mod registry;
mod schemas;
mod state;
mod stream_redaction;
mod swap;

use std::{
    path::Path,
    sync::{Arc, OnceLock, RwLock},
    time::Duration,
};

use moxxy_secrets::Redactor;
use moxxy_system::{
    fair_semaphore::{FairPermit, FairSemaphore},
    tasks::{self, GuestRuntime, Task},
};
use moxxy_types::{
    components::{Staged, World},
    digest::Digest,
    error::{Error, Result},
    events::Usage,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

pub use bindings::models::exports::moxxy::plugin::models;
pub use context::{AnsweredQuestion, CallContext, Caller, Config, Denial, Outgoing, Progress, Secrets, Storage};
pub use failure::{Failure, Learned, Limit};
pub use files::{has_uploads, upload};
pub use imports::logging::{Line, Log};
pub use inspect::{component as accepted, world_of};
pub use options::Options;
pub use output::Output;
pub use permission_requests::{ANY_HOST, host as host_pattern};
pub use prepared::Prepared;

use self::{
    call::Call,
    epoch::{EpochClock, Ticking},
    files::Files,
    limits::Limits,
    registry::Registry,
    swap::HostEngine,
};

/// Maximum number of concurrent installations. Compilations run one at a time.
const MAX_CONCURRENT_INSTALLATIONS: usize = 16;
/// Maximum time to list the models of a provider, because a client waits for it.
const MODEL_LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Capacity of a completion's channel, in chunks, before the provider has to wait.
const COMPLETION_BUFFER_CHUNKS: usize = 32;

/// The installed components of this server and their runtime.
pub struct Plugins {
    config: Options,
    clock: EpochClock,
    host_engine: RwLock<Arc<HostEngine>>,
    files: Arc<Files>,
    guests: GuestRuntime,
    /// Threads for validation against schemas.
    schemas: GuestRuntime,
    registry: Registry,
    /// Limits concurrent installations: one compiles, the others wait and hold their uploads in memory.
    uploads: Semaphore,
    compiler: Semaphore,
    skills: FairSemaphore<String>,
    providers: FairSemaphore<String>,
}

/// The outcome of a tool call. The caller commits the staged writes together with the result, or drops them.
#[derive(Debug, Clone)]
pub struct ToolCallResult {
    pub result: Result<Output, Failure>,
    pub usage: Usage,
    pub staged: Staged,
    pub log: Log,
}

/// A running completion. Dropping it cancels it.
#[derive(Debug)]
pub struct Completion {
    chunks: mpsc::Receiver<Result<models::Chunk, Failure>>,
    outcome: Arc<OnceLock<(Usage, Redactor)>>,
    _task: Task<()>,
}

/// Held during a call.
struct CallPermit {
    _permit: FairPermit<String>,
    _ticking: Ticking,
}

impl Plugins {
    /// Creates the runtime. `key` seals compiled code.
    pub fn new(config: &Options, home: &Path, cache: &Path, key: [u8; 32]) -> Result<Self> {
        let clock = EpochClock::start(Duration::from_millis(config.tick))?;
        let engine = HostEngine::new(config, swap::is_enabled(), &clock)?;
        Ok(Self {
            files: Arc::new(Files::open(home, cache, engine.linker.engine(), key)?),
            guests: GuestRuntime::new("moxxy-guest", config.workers())?,
            schemas: GuestRuntime::new("moxxy-schema", config.workers())?,
            registry: Registry::new(capacity::max_loaded(config), config.workers()),
            uploads: Semaphore::new(MAX_CONCURRENT_INSTALLATIONS),
            compiler: Semaphore::new(1),
            skills: capacity::permits(config.concurrent_skills),
            providers: capacity::permits(config.concurrent_providers),
            config: config.clone(),
            host_engine: RwLock::new(Arc::new(engine)),
            clock,
        })
    }

    /// Installs an upload: compiles it in a child process, links it, reads its manifest, and stores it by its
    /// digest. All or nothing. A component that is already installed is not compiled again.
    pub async fn admit(&self, digest: Digest, upload: Vec<u8>) -> Result<Arc<Prepared>> {
        // A new upload repairs a component that cannot be loaded.
        if let Ok(prepared) = self.prepared(&digest).await {
            return Ok(prepared);
        }
        let busy = |_| Error::unavailable("busy", "Too many components are being installed; try again later");
        let _slot = self.uploads.try_acquire().map_err(busy)?;
        let _permit = self.compiler.acquire().await.map_err(Error::internal)?;
        if let Some(prepared) = self.registry.loaded(&digest) {
            return Ok(prepared);
        }
        let admitted = self.install(upload, digest.clone()).await;
        if admitted.is_err() {
            self.files.remove_compiled(&digest);
        }
        admitted
    }

    async fn install(&self, upload: Vec<u8>, digest: Digest) -> Result<Arc<Prepared>> {
        let size = upload.len();
        let files = Arc::clone(&self.files);
        let received = tasks::blocking(move || files.write_temporary_upload(&upload)).await??;
        let component = self.load_or_compile(&digest, &received).await?;
        let engine = self.host_engine();
        if !engine.is(component.engine()) {
            return Err(Error::unavailable("busy", "The engine was just replaced; try again"));
        }
        let description = self.describe(&engine, &component, digest, size).await?;
        let (files, digest) = (Arc::clone(&self.files), description.digest.clone());
        tasks::blocking(move || files.store_upload(received, &digest)).await??;
        let prepared = self.link(&engine, &component, Arc::new(description)).await?;
        self.registry.insert(&prepared);
        self.unload_if_outdated(&prepared);
        Ok(prepared)
    }

    /// Calls a skill's tool. `arguments` is a JSON object.
    pub async fn call_tool(
        &self,
        digest: &Digest,
        context: CallContext,
        tool: String,
        arguments: String,
    ) -> ToolCallResult {
        let admitted = self.admit_call(digest, &context, &self.skills).await;
        let (prepared, permit) = match admitted {
            Ok(admitted) => admitted,
            Err(failure) => return ToolCallResult::not_started(failure),
        };
        let short_running = prepared.is_short_running();
        let work = async move {
            let mut call = Call::new(prepared.exports.engine(), context, &prepared.limits);
            let result = match prepared.exports.world() {
                World::Skill => call.tool(&prepared.exports, &tool, &arguments).await,
                World::Provider => Err(wrong_world("skill")),
            };
            let redactor = call.redactor();
            let (usage, staged, mut log) = call.end();
            prepared.observe(usage);
            drop(permit);
            let result = match redactor {
                None => result,
                Some(redactor) => {
                    log.redact(&redactor);
                    result.map(|output| output.redacted(&redactor)).map_err(|failure| failure.redacted(&redactor))
                }
            };
            ToolCallResult { result, usage, staged, log }
        };
        let outcome = self.guests.run(work, short_running).await;
        outcome.unwrap_or_else(|error| ToolCallResult::not_started(panicked(&error)))
    }

    /// Lists the models of a provider.
    pub async fn list_models(&self, digest: &Digest, context: CallContext) -> Result<Vec<models::Model>, Failure> {
        let (prepared, permit) = self.admit_call(digest, &context, &self.providers).await?;
        let name = context.component.clone();
        let work = async move {
            let _permit = permit;
            // A client waits for the list, as for a first token.
            let wall = prepared.limits.first_token.min(MODEL_LIST_TIMEOUT);
            let limits = Limits { wall, ..prepared.limits.clone() };
            let mut call = Call::new(prepared.exports.engine(), context, &limits);
            match prepared.exports.world() {
                World::Provider => {
                    let models = call.list_models(&prepared.exports).await;
                    let redactor = call.redactor().unwrap_or_default();
                    let mut log = call.end().2;
                    log.redact(&redactor);
                    log.write(&name);
                    models
                        .map(|models| models.into_iter().map(|model| output::redact_model(model, &redactor)).collect())
                        .map_err(|failure| failure.redacted(&redactor))
                }
                World::Skill => Err(wrong_world("provider")),
            }
        };
        self.guests.spawn(work).await.unwrap_or_else(|error| Err(panicked(&error)))
    }

    /// Starts a completion.
    pub async fn complete(
        &self,
        digest: &Digest,
        context: CallContext,
        request: models::Request,
    ) -> Result<Completion, Failure> {
        let (prepared, permit) = self.admit_call(digest, &context, &self.providers).await?;
        let (sender, chunks) = mpsc::channel(COMPLETION_BUFFER_CHUNKS);
        let (name, outcome) = (context.component.clone(), Arc::<OnceLock<_>>::default());
        let task_outcome = Arc::clone(&outcome);
        let task = self.guests.spawn(async move {
            let _permit = permit;
            let mut call = Call::new(prepared.exports.engine(), context, &prepared.limits);
            let result = match prepared.exports.world() {
                World::Provider => call.complete(&prepared.exports, &request, &sender).await,
                World::Skill => Err(wrong_world("provider")),
            };
            let redactor = call.redactor().unwrap_or_default();
            let (usage, _, mut log) = call.end();
            log.redact(&redactor);
            log.write(&name);
            task_outcome.get_or_init(|| (usage, redactor.clone()));
            if let Err(failure) = result.map_err(|failure| failure.redacted(&redactor)) {
                // Sending fails if the receiver was dropped, which is fine.
                drop(sender.send(Err(failure)).await);
            }
        });
        Ok(Completion { chunks, outcome, _task: task })
    }

    /// Returns the engine, for benchmarks.
    #[doc(hidden)]
    pub fn engine(&self) -> wasmtime::Engine {
        self.host_engine().linker.engine().clone()
    }

    /// Runs a future on the guest threads, for benchmarks.
    #[doc(hidden)]
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.guests.spawn(work).detach();
    }

    /// Loads the component and waits for a permit. Skills and providers have separate permits, so slow
    /// providers do not delay tools.
    async fn admit_call(
        &self,
        digest: &Digest,
        context: &CallContext,
        permits: &FairSemaphore<String>,
    ) -> Result<(Arc<Prepared>, CallPermit), Failure> {
        let permit = |permit| CallPermit { _permit: permit, _ticking: self.clock.tick() };
        // Fast path: the component is loaded and a permit is free.
        if !context.stop.is_cancelled()
            && let Some(prepared) = self.registry.loaded(digest)
            && let Some(free) = permits.try_acquire(&context.holder())
        {
            return Ok((prepared, permit(free)));
        }
        let name = &context.component;
        let unavailable = |why| Failure::refused("component_unavailable", format!("`{name}` cannot be loaded: {why}"));
        let admitted = async {
            // Load before waiting, so that no permit is held while loading. Hold only a weak reference while
            // waiting, so that waiting calls do not keep more components loaded than allowed.
            let prepared = Arc::downgrade(&self.prepared(digest).await.map_err(unavailable)?);
            let holder = context.holder();
            let acquiring = permits.acquire(&holder);
            let acquired = match context.waits_for_turn {
                true => acquiring.await,
                false => timeout(self.config.admission_wait(), acquiring).await.map_err(|_| {
                    Failure::refused("busy", format!("Too many calls are running; `{name}` got no turn"))
                })?,
            };
            match prepared.upgrade() {
                Some(prepared) => Ok((prepared, permit(acquired))),
                None => Ok((self.prepared(digest).await.map_err(unavailable)?, permit(acquired))),
            }
        };
        let stopped = || Err(Failure::refused("stopped", "The call was stopped"));
        context.stop.run_until_cancelled(admitted).await.unwrap_or_else(stopped)
    }
}

impl ToolCallResult {
    /// Creates the result of a call that did not start.
    fn not_started(failure: Failure) -> Self {
        Self { result: Err(failure), usage: Usage::default(), staged: Staged::new(), log: Log::default() }
    }
}

impl Completion {
    /// Waits for the next chunk. The last one is a stop or a failure.
    pub async fn next(&mut self) -> Option<Result<models::Chunk, Failure>> {
        self.chunks.recv().await
    }

    /// Returns the usage, once there are no more chunks.
    pub fn usage(&self) -> Usage {
        self.outcome.get().map(|(usage, _)| *usage).unwrap_or_default()
    }

    /// Returns a redactor for the call's secrets, once there are no more chunks.
    pub fn redactor(&self) -> Redactor {
        self.outcome.get().map(|(_, redactor)| redactor.clone()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("config", &self.config).finish_non_exhaustive()
    }
}

fn wrong_world(wanted: &str) -> Failure {
    Failure::refused("wrong_world", format!("The component is not a {wanted}"))
}

fn panicked(error: &Error) -> Failure {
    tracing::error!(error = ?error, "a call ended without a result");
    Failure::refused("internal", "The call ended without a result")
}
