//! The six services, and the only place that wires them together.

use std::{fs, path::Path, sync::Arc};

use moxxy_store::{self as store, Store, events::Events as Broadcast};
use moxxy_system::{directory, tasks::Tasks};
use moxxy_types::{
    clock::Clock,
    error::{Error, Result},
};

use crate::{
    background::Background,
    config::Config,
    services::{
        access::Access,
        activation::Activation,
        agents, audit,
        components::Components,
        events::Events,
        installations, questions, retention,
        runs::{self, Runs},
        unlock,
        vault::Vault,
    },
};

/// The services of a running server. No two of them hold each other.
#[derive(Debug, Clone)]
pub struct App {
    pub access: Access,
    pub events: Events,
    pub vault: Vault,
    pub components: Components,
    pub runs: Runs,
    pub background: Background,
}

impl App {
    /// Locks and opens the data directory, registers the installed components, and resumes the runs that had not
    /// ended.
    pub async fn start(config: &Arc<Config>, clock: Clock, tasks: Tasks) -> Result<Self> {
        let lock = directory::lock(&config.data.home)?;
        refuse_lost_database(config)?;
        let broadcast = Broadcast::default();
        let store = Store::open(&config.database(), broadcast.clone(), clock, &tasks).await?;
        let (master, new) = unlock::unlock(config, &store).await?;
        audit::begin(&store, &master, new).await?;
        let activation = Activation::new(store::backup::is_restored(&mut *store.read().await?).await?);
        let access = Access::new(&store, &tasks, &master).await?;
        let vault = Vault::new(&store, &master);
        let components = Components::new(config, &store, &tasks, &vault, activation)?;
        let app = Self {
            access,
            events: Events::new(&store, broadcast.clone(), config.server.waiting()),
            vault,
            runs: Runs::new(config, &components, broadcast),
            components,
            background: Background::new(&store, tasks, Some(lock)),
        };
        app.components.restore().await?;
        runs::resume_all(&app.runs).await?;
        questions::register_jobs(&app.runs, &app.background);
        agents::register_jobs(&app.runs, &app.background);
        installations::remove::register_jobs(&app.components, &app.background);
        audit::register_jobs(&app.access, config.audit.keep_days, &app.background).await?;
        retention::register_jobs(config, &app.events, &app.runs, &app.background);
        app.background.start_jobs().await?;
        Ok(app)
    }
}

/// Refuses to start if the database is missing or empty beside installed components: with a new database, they would
/// be removed as unused.
fn refuse_lost_database(config: &Config) -> Result<()> {
    let (home, database) = (&config.data.home, config.database());
    let log = database.with_extension("db-wal");
    let has_data = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
    if has_data(&database) || has_data(&log) || !moxxy_runtime::has_uploads(home) {
        return Ok(());
    }
    let message = format!(
        "The database {} is missing or empty, but {} has installed components: put the database back, or restore a \
         backup into another data directory with `moxxy restore`. To start anew, remove {}",
        database.display(),
        home.display(),
        home.join("components").display()
    );
    Err(Error::conflict("database_missing", message))
}
