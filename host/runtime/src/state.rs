//! State of one call, held in its `Store`.

use std::{sync::Arc, time::Duration};

use moxxy_types::{components::Staged, events::Usage};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{HostWallClock, ResourceTable, ResourceTableError, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use super::{
    CallContext, Failure, Limit,
    imports::{http::Hooks, logging::Log, stdio::Captured},
    limits::Limits,
    meter::Meter,
};

/// Maximum number of open handles of a call.
const MAX_HANDLES: usize = 1024;
/// Maximum number of random bytes per request.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;
/// Maximum size of one set of request headers, in bytes. A call may hold as many sets as handles.
const MAX_HEADERS_BYTES: usize = 16 * 1024;
/// Substrings that identify errors of the engine and of WASI, which have no types.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls";
const OUT_OF_MEMORY: &str = "(os error 12)";
const HANDLES_REFUSED: &str = "store handle limit exceeded";
const RANDOM_REFUSED: &str = "requested len";
const HEADERS_REFUSED: &str = "total size of fields exceeds limit";
/// Size of a table element in the pool, in bytes.
const TABLE_ELEMENT_BYTES: usize = 8;
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 8;
const MAX_MEMORIES: usize = 4;

/// State that the imports work on.
pub(crate) struct CallState {
    pub(super) context: CallContext,
    pub(super) table: ResourceTable,
    pub(super) http: WasiHttpCtx,
    pub(super) hooks: Hooks,
    pub(super) staged: Staged,
    pub(super) staged_bytes: usize,
    pub(super) listed_keys: usize,
    pub(super) log: Log,
    /// Number of questions that the call asked the user.
    pub(super) question_count: usize,
    /// The last question, if it has no answer yet.
    pub(super) pending_question: Option<String>,
    wasi: WasiCtx,
    output: Captured,
    memory: MemoryLimiter,
    meter: Arc<Meter>,
    host_calls: u64,
    max_host_calls: u64,
    /// Bytes that the call received from the host.
    pub(super) received_bytes: usize,
    /// Bytes that the call sent to the host.
    pub(super) sent_bytes: usize,
}

/// Counts all memories and tables of a call together.
#[derive(Debug)]
struct MemoryLimiter {
    limit: usize,
    used: usize,
    refused: bool,
}

impl CallState {
    /// Creates the store of a call, with every limit set. It contains only what the context grants.
    pub(crate) fn store(engine: &Engine, context: CallContext, limits: &Limits, meter: &Arc<Meter>) -> Store<Self> {
        let output = Captured::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(output.clone())
            .stderr(output.clone())
            .max_random_size(MAX_RANDOM_BYTES)
            .allow_ip_name_lookup(false);
        if context.frozen_clock {
            wasi.wall_clock(FrozenClock);
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HEADERS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let memory = MemoryLimiter { limit: limits.memory, used: 0, refused: false };
        let meter = Arc::clone(meter);
        let hooks = Hooks::new(context.outgoing.clone());
        let state = Self {
            context,
            table,
            http,
            hooks,
            staged: Staged::new(),
            staged_bytes: 0,
            listed_keys: 0,
            log: Log::default(),
            question_count: 0,
            pending_question: None,
            wasi: wasi.build(),
            output,
            memory,
            meter,
            host_calls: 0,
            max_host_calls: limits.host_calls,
            received_bytes: 0,
            sent_bytes: 0,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.result);
        store.set_max_component_handles(MAX_HANDLES);
        // A call that starts just before a tick gets a whole tick before it yields.
        store.set_epoch_deadline(2);
        store.epoch_deadline_callback(|call| match call.data().exceeds_budget() {
            true => Ok(UpdateDeadline::Interrupt),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        store
    }

    /// Returns the call's usage so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            cpu_us: u64::try_from(self.meter.used().as_micros()).unwrap_or(u64::MAX),
            memory: self.memory.used,
            host_calls: self.host_calls,
            received: self.received_bytes,
            sent: self.sent_bytes.saturating_add(self.output.written()),
        }
    }

    /// Counts a call of an import. Every path from the linker to this state goes through here.
    pub(super) fn count_host_call(&mut self) -> &mut Self {
        self.host_calls = self.host_calls.saturating_add(1);
        self
    }

    fn exceeds_budget(&self) -> bool {
        self.meter.is_exhausted() || self.host_calls > self.max_host_calls
    }

    /// Classifies the error of a failed call.
    pub(crate) fn failure(&self, error: &wasmtime::Error, limits: &Limits) -> Failure {
        let name = &self.context.component;
        let limit = |limit, what: String| Failure::Limit { limit, message: format!("`{name}` {what}") };
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) if self.host_calls > self.max_host_calls => {
                limit(Limit::HostCalls, format!("made more than its {} calls of the host", limits.host_calls))
            }
            Some(Trap::Interrupt) => {
                limit(Limit::Cpu, format!("used up its {} ms of processor time", limits.cpu.as_millis()))
            }
            Some(Trap::StackOverflow) => limit(Limit::Stack, "ran out of stack: it recursed too deeply".into()),
            None if contains_text(error, FUEL_EXHAUSTED) => {
                limit(Limit::Result, format!("passed more than {} bytes at once", limits.result))
            }
            None if contains_text(error, RANDOM_REFUSED) => {
                limit(Limit::Result, format!("asked for more than {MAX_RANDOM_BYTES} random bytes at once"))
            }
            None if contains_text(error, HEADERS_REFUSED) => {
                limit(Limit::Result, format!("made headers of more than {MAX_HEADERS_BYTES} bytes"))
            }
            None if contains_text(error, HANDLES_REFUSED) || is_table_full(error) => {
                limit(Limit::Handles, format!("held more than {MAX_HANDLES} handles at once"))
            }
            // Most components trap when an allocation is refused.
            _ if self.memory.refused => {
                limit(Limit::Memory, format!("asked for more than its {} bytes of memory", limits.memory))
            }
            Some(trap) => {
                let stack = matches!(trap, Trap::MemoryOutOfBounds);
                let stack = if stack { " (perhaps its stack was full)" } else { "" };
                Failure::Trapped { message: format!("`{name}` trapped: {trap}{stack}{}", self.captured_output()) }
            }
            None if contains_text(error, OUT_OF_MEMORY) => {
                let message = "The system refused memory for the call: raise its limits (ulimit -v, vm.max_map_count)";
                Failure::refused("out_of_memory", message)
            }
            None => {
                let cause = error.root_cause();
                Failure::Trapped { message: format!("`{name}` failed: {cause}{}", self.captured_output()) }
            }
        }
    }

    fn captured_output(&self) -> String {
        let redactor = self.context.secrets.as_ref().and_then(|secrets| secrets.redactor());
        let text = self.output.text(&redactor.unwrap_or_default());
        if text.is_empty() { String::new() } else { format!("; it wrote: {text}") }
    }
}

/// Whether the error contains these words. The engine has no type for such errors.
fn contains_text(error: &wasmtime::Error, words: &str) -> bool {
    error.chain().any(|cause| cause.to_string().contains(words))
}

fn is_table_full(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
}

impl MemoryLimiter {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // The engine would refuse this afterwards, so it must not be counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let used = self.used.saturating_add(desired.saturating_sub(current));
        self.refused |= used > self.limit;
        if used <= self.limit {
            self.used = used;
        }
        used <= self.limit
    }
}

/// A wall clock that always returns the Unix epoch.
struct FrozenClock;

impl HostWallClock for FrozenClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.count_host_call();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl std::fmt::Debug for CallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallState").field("context", &self.context).finish_non_exhaustive()
    }
}
