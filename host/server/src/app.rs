//! Every long-lived handle, and the only place that wires them together.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use moxxy_egress::Egress;
use moxxy_runtime::Plugins;
use moxxy_secrets::MasterKey;
use moxxy_store::{self as store, Store, events::Events};
use moxxy_system::{
    directory,
    in_flight::InFlight,
    tasks::{Policy, Tasks},
};
use moxxy_types::{
    clock::Clock,
    digest::MacKey,
    error::{Error, Result},
    ids::TokenId,
};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::{
    config::Config,
    services::{
        audit,
        bootstrap::Bootstrap,
        idempotency::Keys,
        models::Lists,
        provider_concurrency::ProviderConcurrency,
        questions,
        refusals::Refusals,
        retention,
        runs::{self, Scheduler},
        vault,
    },
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
    /// From which every other key derives.
    pub master: MasterKey,
    /// The one way out.
    pub egress: Egress,
    /// How the very first token is made from elsewhere.
    pub bootstrap: Arc<Bootstrap>,
    /// What is being carried out under an `Idempotency-Key`.
    pub idempotency: Keys,
    /// Tells streams that some token was revoked.
    pub revoked: watch::Sender<()>,
    /// The tokens that were refused and are not told of yet.
    pub refusals: Arc<Refusals>,
    /// The tokens whose use is being noted.
    pub noting: InFlight<TokenId>,
    /// How many large bodies may be taken in yet.
    pub uploads: Arc<Semaphore>,
    /// How many event streams may be opened yet.
    pub streams: Arc<Semaphore>,
    /// Tells that a question was asked.
    pub asked: Arc<Notify>,
    /// It was restored from a backup and waits for its activation: until then no run is carried out.
    pub restored: bool,
    /// What providers told of their models.
    pub models: Arc<Lists>,
    /// How many calls of each provider run at once.
    pub lanes: Arc<ProviderConcurrency>,
    /// How many providers may be checked yet: one at a time.
    pub checks: Arc<Semaphore>,
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
        let events = Events::default();
        let store = Store::open(&config.database(), events.clone(), clock, &tasks).await?;
        let (master, new) = vault::unlock(&config, &store).await?;
        audit::begin(&store, &master, new).await?;
        let seal = master.derive("moxxy compiled code 1");
        let plugins = Arc::new(Plugins::new(&config.plugins, config.connections(), &home, &config.data.cache, seal)?);
        let first = !store::tokens::any(&mut *store.read().await?).await?;
        let restored = store::backup::is_restored(&mut *store.read().await?).await?;
        let app = Self {
            restored,
            bootstrap: Arc::new(Bootstrap::new(first, store.clock())?),
            idempotency: Keys { mac: MacKey::new(master.derive("moxxy idempotency 1")), open: InFlight::default() },
            revoked: watch::Sender::default(),
            refusals: Arc::default(),
            noting: InFlight::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            streams: Arc::new(Semaphore::new(config.server.waiting())),
            asked: Arc::default(),
            models: Arc::default(),
            lanes: Arc::default(),
            checks: Arc::new(Semaphore::new(1)),
            runs: Arc::new(Scheduler::new(config.runs.concurrent_sessions)),
            master,
            egress: Egress::new(&config.egress, &tasks)?,
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
        questions::spawn_expiry_task(&app);
        audit::spawn_expiry_task(&app).await?;
        retention::spawn_expiry_task(&app);
        Ok(app)
    }

    /// Refuses to act in a restored server that waits for its activation.
    pub fn check_active(&self) -> Result<()> {
        if !self.restored {
            return Ok(());
        }
        let message = "This server was restored from a backup, and waits for a decision about the runs that had not \
                       ended: stop it, and run `moxxy restore --activate --resume` or `--activate --cancel`";
        Err(Error::unavailable("not_activated", message))
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

/// Works on the database of a data directory that no server uses, with the master key.
pub async fn offline<T>(config: &Config, work: impl AsyncFnOnce(&Store, MasterKey) -> Result<T>) -> Result<T> {
    let _lock = open_home(&config.data.home)?;
    let tasks = Tasks::default();
    let store = Store::open(&config.database(), Events::default(), Clock::system(), &tasks).await?;
    let done = async {
        let (master, new) = vault::unlock(config, &store).await?;
        audit::begin(&store, &master, new).await?;
        work(&store, master).await
    };
    let done = done.await;
    drop(store);
    tasks.finished().await;
    done
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
    // A lock of the process, not of the open file: that one lives on in a child which was forked when
    // its server was killed, until it runs its program, and a server started meanwhile would refuse.
    match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let message = format!("Another Moxxy is using the data directory {}", home.display());
            Err(Error::conflict("data_in_use", message))
        }
        Err(error) => Err(unusable(error.into())),
    }
}
