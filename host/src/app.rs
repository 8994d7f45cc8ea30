//! Every long-lived handle, and the only place that wires them together.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use tempfile::NamedTempFile;
use tokio::sync::{RwLock, Semaphore, watch};

use crate::{
    clock::Clock,
    config::Config,
    digest::{self, MacKey},
    directory,
    domain::{
        bootstrap::Bootstrap,
        idempotency::Keys,
        runs::{self, Scheduler},
    },
    error::{Error, Result},
    events::Events,
    ids::{self, TokenId},
    plugins::Plugins,
    single::Single,
    store::{self, Store},
    tasks::{Policy, Tasks},
};

/// Large bodies that are taken in at once: each lies in the memory.
const UPLOADS: usize = 16;

#[derive(Debug, Clone)]
pub struct App {
    /// What the operator chose.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// Where events are broadcast.
    pub events: Events,
    /// The components, and the threads that run them.
    pub plugins: Arc<Plugins>,
    /// How the very first token is made from elsewhere.
    pub bootstrap: Arc<Bootstrap>,
    /// What is being carried out under an `Idempotency-Key`.
    pub idempotency: Keys,
    /// Tells streams that some token was revoked.
    pub revoked: watch::Sender<()>,
    /// The tokens whose use is being noted.
    pub noting: Single<TokenId>,
    /// How many large bodies may be taken in yet.
    pub uploads: Arc<Semaphore>,
    /// How many event streams may be opened yet.
    pub streams: Arc<Semaphore>,
    /// Who is running.
    pub runs: Arc<Scheduler>,
    /// Every task, and the shutdown that ends them.
    pub tasks: Tasks,
    /// Read while a component is being installed, written while unused ones are removed.
    pub installing: Arc<RwLock<()>>,
    /// Keeps other servers away from the data directory.
    _lock: Arc<File>,
}

impl App {
    /// Opens the data directory, makes what is installed ready to be called, and takes up the
    /// runs that had not ended.
    pub async fn start(config: Config, clock: Clock, tasks: Tasks) -> Result<Self> {
        let home = config.data.home.clone();
        let lock = open_home(&home)?;
        let key = master_key(&config)?;
        let events = Events::default();
        let store = Store::open(&config.database(), events.clone(), clock, &tasks).await?;
        let seal = digest::derive(&key, "moxxy compiled code 1");
        let plugins = Arc::new(Plugins::new(&config, &home, &config.data.cache, seal)?);
        let first = !store::tokens::any(&mut *store.read().await?).await?;
        let app = Self {
            bootstrap: Arc::new(Bootstrap::new(first, store.clock())?),
            idempotency: Keys { mac: MacKey::derive(&key, "moxxy idempotency 1"), open: Single::default() },
            revoked: watch::Sender::default(),
            noting: Single::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            streams: Arc::new(Semaphore::new(config.server.waiting())),
            runs: Arc::new(Scheduler::new(config.runs.concurrent_sessions)),
            config: Arc::new(config),
            store,
            events,
            plugins,
            tasks,
            installing: Arc::default(),
            _lock: Arc::new(lock),
        };
        app.restore().await?;
        runs::resume_all(&app).await?;
        Ok(app)
    }

    /// Makes every installed component known. To load them takes seconds where there are many, so
    /// the server does not wait for it: a call loads what it needs, the rest follows.
    async fn restore(&self) -> Result<()> {
        self.store.write(|tx| Box::pin(store::components::delete_unused(tx))).await?;
        let known = store::components::list(&mut *self.store.read().await?).await?;
        self.plugins.restore(known);
        let (plugins, shutdown) = (Arc::clone(&self.plugins), self.tasks.shutdown().clone());
        self.tasks.spawn("loading", Policy::Job, async move {
            shutdown.run_until_cancelled(plugins.load_all()).await;
        });
        Ok(())
    }
}

/// The bits of a mode that let the group or others write.
const OTHERS_WRITE: u32 = 0o022;

/// Makes the data directory, or takes it, for as long as the file is held.
pub fn open_home(home: &Path) -> Result<File> {
    let unusable = |e: std::io::Error| {
        let message = format!("Cannot use the data directory {}: {e}", home.display());
        Error::conflict("data_unusable", message)
    };
    directory::make_private(home).map_err(unusable)?;
    let mode = fs::metadata(home).map_err(unusable)?.permissions().mode();
    if mode & OTHERS_WRITE != 0 {
        let message = format!("Others can write to the data directory {}: chmod go-w it", home.display());
        return Err(Error::conflict("data_unusable", message));
    }
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(home.join("moxxy.lock"));
    let lock = lock.map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::Error(error)) => Err(unusable(error)),
        Err(fs::TryLockError::WouldBlock) => {
            let message = format!("Another Moxxy is using the data directory {}", home.display());
            Err(Error::conflict("data_in_use", message))
        }
    }
}

/// The configured master key, or the one in the data directory, made at the first start.
fn master_key(config: &Config) -> Result<[u8; 32]> {
    let path = config.data.home.join("master.key");
    let (text, place) = match config.data.master_key.expose() {
        Some(text) => (text.to_owned(), "`data.master_key`".to_owned()),
        None if path.exists() => (fs::read_to_string(&path).map_err(Error::internal)?, path.display().to_string()),
        None => return make_key(&path),
    };
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
        Error::invalid("invalid_master_key", format!("The master key in {place} is not 64 hexadecimal digits"))
    })?;
    Ok(key)
}

fn make_key(path: &Path) -> Result<[u8; 32]> {
    let key = ids::key()?;
    let directory = path.parent().unwrap_or(Path::new("."));
    // Readable by its owner alone; whole, or not there.
    let mut file = NamedTempFile::new_in(directory).map_err(Error::internal)?;
    file.write_all(hex::encode(key).as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(Error::internal)?;
    file.persist_noclobber(path).map_err(Error::internal)?;
    Ok(key)
}
