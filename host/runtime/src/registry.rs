//! Registry of installed components and LRU cache of loaded ones. A loaded component uses an open file and
//! memory mappings, so their number is limited. Loading one more evicts the least recently used. Running calls
//! keep their component until they end.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use moxxy_system::tasks;
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};
use wasmtime::component::Component;

use super::{HostEngine, Plugins, compile, describe::rejected, exports::Exports, limits::Limits, prepared::Prepared};

/// Time before a failed load is retried. Each try may read megabytes or compile.
const LOAD_RETRY_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct Registry {
    installed: RwLock<HashMap<Digest, Entry>>,
    /// Maximum number of loaded components.
    max_loaded: usize,
    /// Counter of uses, for LRU order.
    uses: AtomicU64,
    /// Limits concurrent reads of files: each uses memory and a core.
    reads: Semaphore,
}

struct Entry {
    description: Arc<Description>,
    prepared: Option<Arc<Prepared>>,
    /// Value of the use counter at its last use.
    used: AtomicU64,
    loading: Loading,
}

/// Locked while a component is loading. Holds the last failure.
type Loading = Arc<Mutex<Option<FailedLoad>>>;

struct FailedLoad {
    at: Instant,
    why: String,
}

/// What to do with a component that was loaded when the limit is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    /// Evict another component.
    Evict,
    /// Discard the component.
    Discard,
}

impl Registry {
    pub(crate) fn new(max_loaded: usize, reads: usize) -> Self {
        Self {
            installed: RwLock::default(),
            max_loaded: max_loaded.max(1),
            uses: AtomicU64::new(0),
            reads: Semaphore::new(reads),
        }
    }

    /// Returns a loaded component and marks it as used.
    pub(crate) fn loaded(&self, digest: &Digest) -> Option<Arc<Prepared>> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner);
        let entry = installed.get(digest)?;
        let prepared = entry.prepared.clone()?;
        entry.used.store(self.next_use(), Relaxed);
        Some(prepared)
    }

    /// Adds a newly installed component.
    pub(crate) fn insert(&self, prepared: &Arc<Prepared>) {
        self.register(Arc::clone(&prepared.description));
        self.insert_loaded(prepared, WhenFull::Evict);
    }

    fn register(&self, description: Arc<Description>) {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        let (digest, used, loading) = (description.digest.clone(), AtomicU64::new(0), Loading::default());
        installed.insert(digest, Entry { description, prepared: None, used, loading });
    }

    /// Stores a loaded component, unless it was removed in the meantime.
    fn insert_loaded(&self, prepared: &Arc<Prepared>, when_full: WhenFull) {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        if when_full == WhenFull::Discard && count_loaded(&installed) >= self.max_loaded {
            return;
        }
        if let Some(entry) = installed.get_mut(&prepared.description.digest) {
            entry.prepared = Some(Arc::clone(prepared));
            entry.used.store(self.next_use(), Relaxed);
        }
        let evicted = self.evict_excess(&mut installed);
        // Unmapping takes time, so release the lock first.
        drop(installed);
        drop(evicted);
    }

    fn evict_excess(&self, installed: &mut HashMap<Digest, Entry>) -> Vec<Arc<Prepared>> {
        let excess = count_loaded(installed).saturating_sub(self.max_loaded);
        if excess == 0 {
            return Vec::new();
        }
        let mut entries: Vec<_> = installed.values_mut().filter(|entry| entry.prepared.is_some()).collect();
        // The limit is at least 1, so there are more entries than the surplus.
        let (oldest, _, _) = entries.select_nth_unstable_by_key(excess, |entry| entry.used.load(Relaxed));
        oldest.iter_mut().filter_map(|entry| entry.prepared.take()).collect()
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Relaxed)
    }

    fn entry(&self, digest: &Digest) -> Option<(Arc<Description>, Loading)> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner);
        installed.get(digest).map(|entry| (Arc::clone(&entry.description), Arc::clone(&entry.loading)))
    }

    fn remove_others(&self, known: &HashSet<Digest>) -> Vec<(Digest, Entry)> {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        installed.extract_if(|digest, _| !known.contains(digest)).collect()
    }

    /// Unloads all components. The next call of each loads it again.
    pub(crate) fn unload_all(&self) {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        let unloaded: Vec<_> = installed.values_mut().filter_map(|entry| entry.prepared.take()).collect();
        // Unmapping takes time, so release the lock first.
        drop(installed);
        drop(unloaded);
    }

    fn digests(&self) -> Vec<Digest> {
        self.installed.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

fn count_loaded(installed: &HashMap<Digest, Entry>) -> usize {
    installed.values().filter(|entry| entry.prepared.is_some()).count()
}

impl Plugins {
    /// Registers components that were installed before, and removes leftover files of a crash. The first call
    /// of a component loads it.
    pub fn restore(&self, known: Vec<Description>) {
        self.files.sweep(&known.iter().map(|component| &component.digest).collect());
        for description in known {
            self.registry.register(Arc::new(description));
        }
    }

    /// Loads as many components as allowed and checks the others. Reports damaged components and compiles those
    /// without compiled code before they are called.
    pub async fn load_all(&self) {
        for digest in self.registry.digests() {
            // `load_once` logs errors. Continue with the other components.
            drop(self.load_once(&digest, WhenFull::Discard).await);
        }
        let installed = self.registry.installed.read().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(installed = installed.len(), loaded = count_loaded(&installed), "the components were checked");
    }

    /// Removes all components except these. Running calls continue.
    pub async fn retain(&self, known: &HashSet<Digest>) -> Result<()> {
        let removed = self.registry.remove_others(known);
        let files = Arc::clone(&self.files);
        // Unlinking and unmapping take time and must not block calls.
        tasks::blocking(move || removed.iter().for_each(|(digest, _)| files.remove(digest))).await
    }

    /// Checks whether a component can be called. The error says why not.
    pub async fn check(&self, digest: &Digest) -> Result<(), String> {
        self.prepared(digest).await.map(drop)
    }

    /// Returns a component for a call. Loads it if necessary. The error is a sentence.
    pub(super) async fn prepared(&self, digest: &Digest) -> Result<Arc<Prepared>, String> {
        match self.registry.loaded(digest) {
            Some(prepared) => Ok(prepared),
            None => self.load_once(digest, WhenFull::Evict).await,
        }
    }

    /// Loads a component. Concurrent callers share one load.
    async fn load_once(&self, digest: &Digest, when_full: WhenFull) -> Result<Arc<Prepared>, String> {
        let (description, loading) = self.registry.entry(digest).ok_or("it is not installed")?;
        let name = description.manifest.name.clone();
        let mut failed = loading.lock().await;
        if let Some(prepared) = self.registry.loaded(digest) {
            return Ok(prepared);
        }
        if let Some(failed) = failed.as_ref().filter(|failed| failed.at.elapsed() < LOAD_RETRY_INTERVAL) {
            return Err(failed.why.clone());
        }
        match self.load(description).await {
            Ok(prepared) => {
                *failed = None;
                self.registry.insert_loaded(&prepared, when_full);
                self.unload_if_outdated(&prepared);
                Ok(prepared)
            }
            Err(error) => {
                // Not an error if the component was removed in the meantime.
                if self.registry.entry(digest).is_some() {
                    tracing::error!(component = %name, error = ?error, "failed to load a component");
                }
                // Temporary errors are retried at once.
                if !matches!(error, Error::Unavailable(_)) {
                    *failed = Some(FailedLoad { at: Instant::now(), why: error.to_string() });
                }
                Err(error.to_string())
            }
        }
    }

    /// Loads a component from its compiled code. Compiles it again only if the code is missing or was changed.
    async fn load(&self, description: Arc<Description>) -> Result<Arc<Prepared>> {
        let digest = &description.digest;
        let (files, upload_digest) = (Arc::clone(&self.files), digest.clone());
        let upload = self.read_files(move || files.verified_upload(&upload_digest)).await??;
        loop {
            let component = match self.load_compiled(digest).await? {
                Some(component) => component,
                None => {
                    let _permit = self.compiler.acquire().await.map_err(Error::internal)?;
                    let component = self.load_or_compile(digest, &upload).await?;
                    if self.registry.entry(digest).is_none() {
                        // Removed during compilation: its compiled code was written after the removal.
                        self.files.remove_compiled(digest);
                    }
                    component
                }
            };
            let engine = self.host_engine();
            if engine.is(component.engine()) {
                return self.link(&engine, &component, description).await;
            }
        }
    }

    /// Loads compiled code, or compiles `upload` first. The caller must hold the permit of `compiler`.
    pub(super) async fn load_or_compile(&self, digest: &Digest, upload: &std::path::Path) -> Result<Component> {
        if let Some(component) = self.load_compiled(digest).await? {
            return Ok(component);
        }
        let output = self.files.create_compiled_file()?;
        compile::compile(&self.config, upload, &output).await?;
        let (files, stored_digest) = (Arc::clone(&self.files), digest.clone());
        tasks::blocking(move || files.store_compiled(output, &stored_digest)).await??;
        self.load_compiled(digest).await?.ok_or_else(|| Error::internal("compiled code is gone at once"))
    }

    /// Loads compiled code. Returns `None` if there is none that this server sealed.
    async fn load_compiled(&self, digest: &Digest) -> Result<Option<Component>> {
        let (files, engine, digest) =
            (Arc::clone(&self.files), self.host_engine().linker.engine().clone(), digest.clone());
        self.read_files(move || files.load(&engine, &digest)).await?
    }

    /// Reads and hashes a component's files on blocking threads, with limited concurrency.
    async fn read_files<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _permit = self.registry.reads.acquire().await.map_err(Error::internal)?;
        tasks::blocking(work).await
    }

    pub(super) async fn link(
        &self,
        engine: &HostEngine,
        component: &Component,
        description: Arc<Description>,
    ) -> Result<Arc<Prepared>> {
        let exports = Exports::new(&engine.linker, component).map_err(rejected)?;
        let limits = match description.world {
            World::Skill => Limits::of_skills(&self.config),
            World::Provider => Limits::of_providers(&self.config),
        };
        let limits = limits.with_requests(&description.manifest.limits, &self.config);
        let schemas = self.compile_schemas(&description).await?;
        Ok(Arc::new(Prepared::new(description, exports, limits, schemas)))
    }
}
