//! Which components are installed, and which of them are loaded. A loaded one takes an open file
//! and some memory mappings, so their number is bounded: loading one more drops the one that was
//! used least recently. A call under way keeps its component until it ends.

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

use super::{
    Plugins, compile,
    limits::Limits,
    prepared::{Linked, Prepared},
    rejected,
};

/// How long a component that could not be loaded is not tried again: a try may read megabytes,
/// or compile.
const PAUSE: Duration = Duration::from_secs(5);

pub struct Registry {
    installed: RwLock<HashMap<Digest, Entry>>,
    /// How many may be loaded.
    bound: usize,
    /// How many uses there were, which puts them in order.
    uses: AtomicU64,
    /// Whose files are read at once: a read takes memory and a core.
    reads: Semaphore,
}

struct Entry {
    description: Arc<Description>,
    prepared: Option<Arc<Prepared>>,
    /// The number of its last use.
    used: AtomicU64,
    loading: Loading,
}

/// Held by the one who loads a component, while others wait for it; why that failed last.
type Loading = Arc<Mutex<Option<Failed>>>;

struct Failed {
    at: Instant,
    why: String,
}

/// What happens to a component that is loaded beyond the bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// It takes the place of another.
    Replace,
    /// It is left out.
    Leave,
}

impl Registry {
    pub fn new(bound: usize, reads: usize) -> Self {
        Self {
            installed: RwLock::default(),
            bound: bound.max(1),
            uses: AtomicU64::new(0),
            reads: Semaphore::new(reads),
        }
    }

    /// A loaded component, to be used now.
    pub fn loaded(&self, digest: &Digest) -> Option<Arc<Prepared>> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner);
        let entry = installed.get(digest)?;
        let prepared = entry.prepared.clone()?;
        entry.used.store(self.next_use(), Relaxed);
        Some(prepared)
    }

    /// Takes in a component that was just installed.
    pub fn insert(&self, prepared: &Arc<Prepared>) {
        self.add(Arc::clone(&prepared.description));
        self.put(prepared, Beyond::Replace);
    }

    fn add(&self, description: Arc<Description>) {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        let (digest, used, loading) = (description.digest.clone(), AtomicU64::new(0), Loading::default());
        installed.insert(digest, Entry { description, prepared: None, used, loading });
    }

    /// Keeps what was loaded, unless it was removed meanwhile.
    fn put(&self, prepared: &Arc<Prepared>, beyond: Beyond) {
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        if beyond == Beyond::Leave && loaded(&installed) >= self.bound {
            return;
        }
        if let Some(entry) = installed.get_mut(&prepared.description.digest) {
            entry.prepared = Some(Arc::clone(prepared));
            entry.used.store(self.next_use(), Relaxed);
        }
        let dropped = self.drop_surplus(&mut installed);
        // Unmapping takes its time, and nobody has to wait for it.
        drop(installed);
        drop(dropped);
    }

    fn drop_surplus(&self, installed: &mut HashMap<Digest, Entry>) -> Vec<Arc<Prepared>> {
        let surplus = loaded(installed).saturating_sub(self.bound);
        if surplus == 0 {
            return Vec::new();
        }
        let mut entries: Vec<_> = installed.values_mut().filter(|entry| entry.prepared.is_some()).collect();
        // The bound is at least 1, so there are more than the surplus.
        let (oldest, _, _) = entries.select_nth_unstable_by_key(surplus, |entry| entry.used.load(Relaxed));
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

    fn digests(&self) -> Vec<Digest> {
        self.installed.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

fn loaded(installed: &HashMap<Digest, Entry>) -> usize {
    installed.values().filter(|entry| entry.prepared.is_some()).count()
}

impl Plugins {
    /// Makes components known that were installed before, and removes what a crash left on disk.
    /// They can be called: one that is not loaded is loaded by its first call.
    pub fn restore(&self, known: Vec<Description>) {
        self.files.sweep(&known.iter().map(|component| &component.digest).collect());
        for description in known {
            self.registry.add(Arc::new(description));
        }
    }

    /// Loads as many components as may be loaded, and checks the others: what is damaged is
    /// reported, and what has no compiled code any more is compiled, before somebody calls it.
    pub async fn load_all(&self) {
        for digest in self.registry.digests() {
            // Reported where it fails; the others work all the same.
            drop(self.ready(&digest, Beyond::Leave).await);
        }
        let installed = self.registry.installed.read().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(installed = installed.len(), loaded = loaded(&installed), "the components were checked");
    }

    /// Removes all components but these. Calls under way end as they would.
    pub async fn retain(&self, known: &HashSet<Digest>) -> Result<()> {
        let removed = self.registry.remove_others(known);
        let files = Arc::clone(&self.files);
        // Unlinking and unmapping take their time, and no call has to wait for it.
        tasks::blocking(move || removed.iter().for_each(|(digest, _)| files.remove(digest))).await
    }

    /// Whether a component can be called; the error says why not.
    pub async fn check(&self, digest: &Digest) -> Result<(), String> {
        self.prepared(digest).await.map(drop)
    }

    /// A component to call. One that is not loaded is loaded first. The error is a sentence.
    pub(super) async fn prepared(&self, digest: &Digest) -> Result<Arc<Prepared>, String> {
        match self.registry.loaded(digest) {
            Some(prepared) => Ok(prepared),
            None => self.ready(digest, Beyond::Replace).await,
        }
    }

    /// Loads a component once, however many ask for it.
    async fn ready(&self, digest: &Digest, beyond: Beyond) -> Result<Arc<Prepared>, String> {
        let (description, loading) = self.registry.entry(digest).ok_or("it is not installed")?;
        let name = description.manifest.name.clone();
        let mut failed = loading.lock().await;
        if let Some(prepared) = self.registry.loaded(digest) {
            return Ok(prepared);
        }
        if let Some(failed) = failed.as_ref().filter(|failed| failed.at.elapsed() < PAUSE) {
            return Err(failed.why.clone());
        }
        match self.load(description).await {
            Ok(prepared) => {
                *failed = None;
                self.registry.put(&prepared, beyond);
                Ok(prepared)
            }
            Err(error) => {
                // One that was removed meanwhile is nobody's trouble.
                if self.registry.entry(digest).is_some() {
                    tracing::error!(component = %name, error = ?error, "a component cannot be loaded");
                }
                // What may pass at any moment is tried again at once.
                if !matches!(error, Error::Unavailable(_)) {
                    *failed = Some(Failed { at: Instant::now(), why: error.to_string() });
                }
                Err(error.to_string())
            }
        }
    }

    /// Loads a component from its compiled code. It is compiled again only if that is missing or
    /// was changed.
    async fn load(&self, description: Arc<Description>) -> Result<Arc<Prepared>> {
        let digest = &description.digest;
        let (files, verified) = (Arc::clone(&self.files), digest.clone());
        let upload = self.reading(move || files.verified(&verified)).await??;
        let component = match self.load_compiled(digest).await? {
            Some(component) => component,
            None => {
                let _turn = self.compiler.acquire().await.map_err(Error::internal)?;
                let component = self.compiled(digest, &upload).await?;
                if self.registry.entry(digest).is_none() {
                    // It was removed meanwhile, and what was compiled came after that.
                    self.files.remove_compiled(digest);
                }
                component
            }
        };
        self.link(&component, description).await
    }

    /// Loads compiled code, or compiles `upload` first, for which the caller has the turn.
    pub(super) async fn compiled(&self, digest: &Digest, upload: &std::path::Path) -> Result<Component> {
        if let Some(component) = self.load_compiled(digest).await? {
            return Ok(component);
        }
        let output = self.files.compiling()?;
        compile::compile(&self.config, upload, &output).await?;
        let (files, kept) = (Arc::clone(&self.files), digest.clone());
        tasks::blocking(move || files.keep_compiled(output, &kept)).await??;
        self.load_compiled(digest).await?.ok_or_else(|| Error::internal("compiled code is gone at once"))
    }

    /// `None` when there is no compiled code that this server sealed.
    async fn load_compiled(&self, digest: &Digest) -> Result<Option<Component>> {
        let (files, engine, digest) = (Arc::clone(&self.files), self.engine.clone(), digest.clone());
        self.reading(move || files.load(&engine, &digest)).await?
    }

    /// Reads and hashes a component's files away from the server's threads, few at once.
    async fn reading<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _turn = self.registry.reads.acquire().await.map_err(Error::internal)?;
        tasks::blocking(work).await
    }

    pub(super) async fn link(&self, component: &Component, description: Arc<Description>) -> Result<Arc<Prepared>> {
        let linked = Linked::new(&self.linker, component, description.world).map_err(rejected)?;
        let limits = match description.world {
            World::Skill => Limits::of_skills(&self.config),
            World::Provider => Limits::of_providers(&self.config),
        };
        let limits = limits.asked(&description.manifest.limits, &self.config);
        let schemas = self.compile_schemas(&description).await?;
        Ok(Arc::new(Prepared::new(description, linked.exports, limits, schemas)))
    }
}
