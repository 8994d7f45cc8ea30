//! The Wasmtime engine: one for all calls, with an instance pool. The compiling process uses
//! an engine with the same settings for code generation and no pool.

use moxxy_types::error::{Error, Result};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::Options;

/// Maximum WebAssembly stack of a call, in bytes.
const MAX_STACK_BYTES: usize = 512 * 1024;
/// Size of a call's async stack, in bytes.
const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Limits per component: counts, elements, and bytes for [`MAX_INSTANCE_BYTES`]. Python and JavaScript builds come
/// close to these.
const MAX_CORE_INSTANCES: u32 = 64;
const MAX_MEMORIES: u32 = 4;
const MAX_TABLES: u32 = 8;
const MAX_TABLE_ELEMENTS: usize = 20_000;
const MAX_INSTANCE_BYTES: usize = 10 * 1024 * 1024;
/// Bytes at the start of a memory that are overwritten rather than unmapped after a call.
const KEEP_RESIDENT_BYTES: usize = 128 * 1024;
/// Instances beyond those that the semaphores admit, for descriptions during installation.
const EXTRA_INSTANCES: u32 = 2;

/// Creates the engine for calls. If the address space is too small for a pool, for example
/// because of process limits, instances are allocated on demand, which is slower.
pub(crate) fn for_calls(config: &Options, has_swap: bool) -> Result<Engine> {
    let mut settings = settings();
    settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config, has_swap)));
    let engine = Engine::new(&settings).or_else(|error| {
        tracing::warn!(%error, "no instance pool: calls are slower and few run at once; is the address space limited?");
        settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&settings)
    });
    engine.map_err(internal)
}

/// Creates the engine for compilation.
pub(crate) fn for_compilation() -> Result<Engine> {
    let mut settings = settings();
    settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&settings).map_err(internal)
}

fn settings() -> Config {
    let mut settings = Config::new();
    settings
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(MAX_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .wasm_memory64(false);
    settings
}

fn pool(config: &Options, has_swap: bool) -> PoolingAllocationConfig {
    let calls = config.concurrent_skills + config.concurrent_providers + EXTRA_INSTANCES;
    if has_swap {
        tracing::info!("swap is enabled, so calls reset their memory the slower way");
    }
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls * MAX_CORE_INSTANCES)
        .total_memories(calls * MAX_MEMORIES)
        .total_tables(calls * MAX_TABLES)
        .total_stacks(calls)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_component_instance_size(MAX_INSTANCE_BYTES)
        .max_core_instance_size(MAX_INSTANCE_BYTES)
        .max_memory_size(config.memory.max(config.most_memory))
        .max_unused_warm_slots(calls)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES / 2)
        .pagemap_scan(if has_swap { Enabled::No } else { Enabled::Auto });
    pool
}

pub(crate) fn internal(error: wasmtime::Error) -> Error {
    Error::internal(format!("{error:?}"))
}
