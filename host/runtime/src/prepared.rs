//! A component prepared at installation: loaded, linked and checked. A call only creates an instance.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use moxxy_types::{
    components::{Description, World},
    events::Usage,
};
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker},
};

use super::{
    bindings::{models::ModelsWorldPre, plugin::PluginWorldPre, tools::ToolsWorldPre},
    limits::Limits,
    schemas::ToolSchemas,
    state::CallState,
};

/// A component whose world and imports were checked.
#[derive(Clone)]
pub(crate) struct Linked {
    pub plugin: PluginWorldPre<CallState>,
    pub exports: Exports,
}

#[derive(Clone)]
pub enum Exports {
    Tools(ToolsWorldPre<CallState>),
    Models(ModelsWorldPre<CallState>),
}

impl Exports {
    /// The engine that the component was loaded into.
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Tools(pre) => pre.engine(),
            Self::Models(pre) => pre.engine(),
        }
    }
}

/// A component that can be called.
pub struct Prepared {
    pub description: Arc<Description>,
    pub exports: Exports,
    pub limits: Limits,
    pub schemas: Arc<ToolSchemas>,
    /// Moving average of the processor time per call, in microseconds.
    average_micros: AtomicU64,
}

/// Processor time, in microseconds, below which a call is not worth a change of threads.
const SHORT_CALL_MICROS: u64 = 200;

impl Linked {
    /// Links a component. The error is a sentence for its author.
    pub(crate) fn new(linker: &Linker<CallState>, component: &Component, world: World) -> Result<Self, String> {
        let instance: InstancePre<CallState> = linker
            .instantiate_pre(component)
            .map_err(|e| format!("Its imports do not fit what Moxxy offers: {e:#}"))?;
        let misfit = |e: wasmtime::Error| format!("Its exports do not fit Moxxy's WIT: {e:#}");
        let exports = match world {
            World::Skill => Exports::Tools(ToolsWorldPre::new(instance.clone()).map_err(misfit)?),
            World::Provider => Exports::Models(ModelsWorldPre::new(instance.clone()).map_err(misfit)?),
        };
        Ok(Self { plugin: PluginWorldPre::new(instance).map_err(misfit)?, exports })
    }
}

impl Prepared {
    pub fn new(description: Arc<Description>, exports: Exports, limits: Limits, schemas: ToolSchemas) -> Self {
        // Not short-running until observed.
        Self {
            description,
            exports,
            limits,
            schemas: Arc::new(schemas),
            average_micros: AtomicU64::new(2 * SHORT_CALL_MICROS),
        }
    }

    /// Whether a call is likely to end quickly.
    pub fn is_short_running(&self) -> bool {
        self.average_micros.load(Relaxed) < SHORT_CALL_MICROS
    }

    /// Updates the average with the usage of a call. Losing a concurrent update does no harm.
    pub fn observe(&self, usage: Usage) {
        let average = (self.average_micros.load(Relaxed).saturating_mul(7)).saturating_add(usage.cpu_us) / 8;
        self.average_micros.store(average, Relaxed);
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("digest", &self.description.digest).finish_non_exhaustive()
    }
}
