//! Swap: the engine resets memory faster if no page of it can be swapped out, so swap decides on its settings. The
//! scan for dirty pages misses swapped pages, and a call could read memory of the previous call.

use std::{
    convert::Infallible,
    fs::{self, File},
    io,
    sync::{Arc, PoisonError},
};

use moxxy_types::error::Result;
use tokio::io::{Interest, unix::AsyncFd};
use wasmtime::{Engine, component::Linker};

use super::{Options, Plugins, engine, imports, prepared::Prepared, state::CallState};

/// Swap areas of the system (proc(5)). A change has the priority event of poll(2).
const SWAPS: &str = "/proc/swaps";

/// Whether memory could be swapped out.
pub(crate) fn is_enabled() -> bool {
    fs::read_to_string(SWAPS).map_or(true, |table| table.lines().count() > 1)
}

/// Creates an engine, and the linker with the interfaces that components import from it.
pub(crate) fn create_linker(config: &Options, has_swap: bool) -> Result<Arc<Linker<CallState>>> {
    let engine = engine::for_calls(config, has_swap)?;
    imports::linker(&engine).map(Arc::new).map_err(engine::internal)
}

impl Plugins {
    pub(crate) fn linker(&self) -> Arc<Linker<CallState>> {
        Arc::clone(&self.linker.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the engine whenever swap is enabled or disabled, until the runtime ends.
    pub async fn follow_swap(&self) {
        let Err(error) = self.follow_changes().await;
        tracing::error!(?error, "cannot notice changes of the system's swap: restart the server after one");
    }

    async fn follow_changes(&self) -> io::Result<Infallible> {
        #[expect(deprecated, reason = "its successor is unsafe, for types other than files")]
        let swaps = AsyncFd::with_interest(File::open(SWAPS)?, Interest::PRIORITY)?;
        let mut had_swap = is_enabled();
        loop {
            swaps.ready(Interest::PRIORITY).await?.clear_ready();
            let has_swap = is_enabled();
            if has_swap != had_swap {
                had_swap = has_swap;
                self.replace_engine(has_swap).map_err(io::Error::other)?;
            }
        }
    }

    /// Runs all later calls on a new engine. Running calls end on the old one.
    #[doc(hidden)]
    pub fn replace_engine(&self, has_swap: bool) -> Result<()> {
        let linker = create_linker(&self.config, has_swap)?;
        tracing::info!(has_swap, "the engine was replaced");
        *self.linker.write().unwrap_or_else(PoisonError::into_inner) = linker;
        self.registry.unload_all();
        Ok(())
    }

    /// Unloads all components if the engine was replaced while this one was being loaded.
    pub(crate) fn unload_if_outdated(&self, prepared: &Prepared) {
        if !Engine::same(prepared.exports.engine(), self.linker().engine()) {
            self.registry.unload_all();
        }
    }
}
