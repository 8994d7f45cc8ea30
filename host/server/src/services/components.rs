//! The service of installed components: their life cycle, and the resources of their calls.

use std::sync::Arc;

use moxxy_egress::Egress;
use moxxy_runtime::Plugins;
use moxxy_store::{self as store, Condition, Store};
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::error::Result;
use tokio::sync::{RwLock, Semaphore};

use crate::{
    config::Config,
    services::{
        activation::Activation, model_lists::ModelLists, provider_concurrency::ProviderConcurrency, vault::Vault,
    },
};

/// Installed skills and providers, and the resources of their calls.
#[derive(Debug, Clone)]
pub struct Components {
    pub store: Store,
    /// Compiled components, and the threads that run them.
    pub plugins: Arc<Plugins>,
    pub(super) config: Arc<Config>,
    pub(super) tasks: Tasks,
    pub(super) egress: Egress,
    pub(super) vault: Vault,
    pub(super) activation: Activation,
    pub(super) models: Arc<ModelLists>,
    pub(super) concurrency: Arc<ProviderConcurrency>,
    /// Permits for conformance checks: one runs at a time.
    pub(super) checks: Arc<Semaphore>,
    /// Read-locked during an installation, write-locked during the removal of unused components.
    pub(super) installing: Arc<RwLock<()>>,
}

impl Components {
    pub fn new(
        config: &Arc<Config>,
        store: &Store,
        tasks: &Tasks,
        vault: &Vault,
        activation: Activation,
    ) -> Result<Self> {
        let data = &config.data;
        let seal = vault.master.derive("moxxy compiled code 1");
        let plugins = Plugins::new(&config.plugins, &data.home, &data.cache, seal)?;
        Ok(Self {
            store: store.clone(),
            plugins: Arc::new(plugins),
            config: Arc::clone(config),
            tasks: tasks.clone(),
            egress: Egress::new(&config.egress, tasks)?,
            vault: vault.clone(),
            activation,
            models: Arc::default(),
            concurrency: Arc::default(),
            checks: Arc::new(Semaphore::new(1)),
            installing: Arc::default(),
        })
    }

    /// Registers every installed component. Loading many takes seconds, so the server does not wait for it: a call
    /// loads the component that it needs, a background task the others.
    pub async fn restore(&self) -> Result<()> {
        self.store.write(|tx| Box::pin(store::components::delete_unused(tx))).await?;
        let known = store::components::list(&mut *self.store.read().await?).await?;
        self.plugins.restore(known);
        let (plugins, shutdown) = (Arc::clone(&self.plugins), self.tasks.shutdown().clone());
        self.tasks.spawn("loading", Policy::Job, async move {
            shutdown.run_until_cancelled(plugins.load_all()).await;
        });
        let plugins = Arc::clone(&self.plugins);
        self.tasks.keep_running("swap", move || {
            let plugins = Arc::clone(&plugins);
            async move { plugins.follow_swap().await }
        });
        Ok(())
    }

    /// Returns the state of the database in a word, and the number of distinct installed components.
    pub async fn database_health(&self) -> (&'static str, Option<i64>) {
        let counted = async { store::components::count(&mut *self.store.read().await?).await };
        let counted: Result<i64> = counted.await;
        let state = match (&counted, self.store.condition()) {
            (_, Condition::Missing) => "missing",
            (Err(error), _) if error.is_database_damaged() => "damaged",
            (_, Condition::Damaged) => "damaged",
            (Err(_), Condition::Sound) => "unreachable",
            (Ok(_), Condition::Sound) => "ok",
        };
        (state, counted.ok())
    }

    /// Records that a request has met a damaged part of the database.
    pub fn record_damage(&self) {
        self.store.record_damage();
    }

    /// Blocks outgoing requests to the server's own address.
    pub fn refuse_own_address(&self, address: std::net::SocketAddr) {
        self.egress.block_listener(address);
    }
}
