//! Swap: the engine resets memory faster if no page of it can be swapped out, so swap decides on its settings. The
//! scan for dirty pages misses swapped pages, and a call could read memory of the previous call.

use std::{
    convert::Infallible,
    fs::{self, File},
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use moxxy_types::error::Result;
use tokio::io::{Interest, unix::AsyncFd};
use wasmtime::{Engine, component::Linker};

use super::{Options, Plugins, engine, epoch::EpochClock, imports, prepared::Prepared, previous, state::CallState};

/// Swap areas of the system (proc(5)). A change has the priority event of poll(2).
const SWAPS: &str = "/proc/swaps";
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Whether memory could be swapped out.
pub(crate) fn is_enabled() -> bool {
    fs::read_to_string(SWAPS).map_or(true, |table| table.lines().count() > 1)
}

/// An engine, with the interfaces that components import from it.
pub(crate) struct HostEngine {
    pub linker: Linker<CallState>,
    has_swap: bool,
}

impl HostEngine {
    pub(crate) fn new(config: &Options, has_swap: bool, clock: &EpochClock) -> Result<Self> {
        let engine = engine::for_calls(config, has_swap)?;
        clock.add(&engine);
        let mut linker = imports::linker(&engine).map_err(engine::internal)?;
        previous::add_to_linker(&mut linker).map_err(engine::internal)?;
        Ok(Self { linker, has_swap })
    }

    /// Whether a component that was loaded into `engine` runs on this one.
    pub(crate) fn is(&self, engine: &Engine) -> bool {
        Engine::same(engine, self.linker.engine())
    }
}

impl Plugins {
    pub(crate) fn host_engine(&self) -> Arc<HostEngine> {
        Arc::clone(&self.host_engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the engine whenever swap is enabled or disabled.
    pub async fn follow_swap(&self) {
        match self.follow_changes().await {
            // Without the table, memory always counts as swappable.
            Err(error) if error.kind() == io::ErrorKind::NotFound => tracing::info!("the system has no {SWAPS}"),
            Err(error) => tracing::error!(?error, "cannot follow changes of the system's swap: restart after one"),
        }
    }

    async fn follow_changes(&self) -> io::Result<Infallible> {
        #[expect(deprecated, reason = "its successor is unsafe, for types other than files")]
        let swaps = AsyncFd::with_interest(File::open(SWAPS)?, Interest::PRIORITY)?;
        loop {
            let has_swap = is_enabled();
            if has_swap == self.host_engine().has_swap {
                swaps.ready(Interest::PRIORITY).await?.clear_ready();
            } else if let Err(error) = self.replace_engine(has_swap) {
                tracing::error!(?error, "cannot create an engine for the changed swap; trying again");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }

    /// Runs all later calls on a new engine. Running calls end on the old one.
    #[doc(hidden)]
    pub fn replace_engine(&self, has_swap: bool) -> Result<()> {
        let engine = HostEngine::new(&self.config, has_swap, &self.clock)?;
        tracing::info!(has_swap, "the engine was replaced");
        *self.host_engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
        self.registry.unload_all();
        Ok(())
    }

    /// Unloads all components if the engine was replaced while this one was being loaded.
    pub(crate) fn unload_if_outdated(&self, prepared: &Prepared) {
        if !self.host_engine().is(prepared.exports.engine()) {
            self.registry.unload_all();
        }
    }
}
