//! The engine: one for all calls, with a pool of instances, and its clock. The compiling process
//! has an engine with the same code-relevant settings and no pool.

use std::{
    thread,
    time::{Duration, Instant},
};

use moxxy_system::tasks;
use moxxy_types::error::{Error, Result};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::Options;

const STACK: usize = 512 * 1024;
const ASYNC_STACK: usize = 2 * 1024 * 1024;
/// Of one component. Python and JavaScript builds come close to these.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 4;
const TABLES: u32 = 8;
const TABLE_ELEMENTS: usize = 20_000;
const INSTANCE_SIZE: usize = 10 * 1024 * 1024;
/// Bytes at the start of a memory that are rewritten rather than unmapped after a call.
const KEEP_RESIDENT: usize = 128 * 1024;
/// Calls beside those that the semaphores admit: descriptions at install.
const SPARE: u32 = 2;

/// The engine for calls, with its clock. Where the address space is too small for a pool, as under
/// some limits on processes, instances are made on demand, which is slower.
pub fn calling(config: &Options) -> Result<Engine> {
    let mut settings = settings();
    settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    let engine = Engine::new(&settings).or_else(|error| {
        tracing::warn!(%error, "no pool of instances: calls will be slower and few fit at once; is the address space limited?");
        settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&settings)
    });
    let engine = engine.map_err(internal)?;
    start_clock(&engine, Duration::from_millis(config.tick))?;
    Ok(engine)
}

/// The engine that compiles.
pub fn compiling() -> Result<Engine> {
    let mut settings = settings();
    settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&settings).map_err(internal)
}

fn settings() -> Config {
    let mut settings = Config::new();
    settings
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_memory64(false);
    settings
}

fn pool(config: &Options) -> PoolingAllocationConfig {
    let calls = config.concurrent_skills + config.concurrent_providers + SPARE;
    let swaps = swaps();
    if swaps {
        tracing::info!("memory may be swapped out here, so calls clean theirs up the slower way");
    }
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls * CORE_INSTANCES)
        .total_memories(calls * MEMORIES)
        .total_tables(calls * TABLES)
        .total_stacks(calls)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_memories_per_module(MEMORIES)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(config.memory.max(config.most_memory))
        .max_unused_warm_slots(calls)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT / 2)
        .pagemap_scan(if swaps { Enabled::No } else { Enabled::Auto });
    pool
}

/// Whether memory could be swapped out. The scan that finds dirty pages overlooks those, so that
/// with swap the next call could read what the last one left.
fn swaps() -> bool {
    match std::fs::read_to_string("/proc/swaps") {
        Ok(table) => table.lines().count() > 1,
        Err(_) => true,
    }
}

/// Advances the epoch at each tick, by absolute time, until the engine is gone.
fn start_clock(engine: &Engine, tick: Duration) -> Result<()> {
    let engine = engine.weak();
    tasks::thread("moxxy-epoch", move || {
        let mut next = Instant::now();
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            next = (next + tick).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()).max(tick / 2));
        }
    })
}

pub fn internal(error: wasmtime::Error) -> Error {
    Error::internal(format!("{error:?}"))
}
