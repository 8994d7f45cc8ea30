//! Epoch clock: interrupts guests at each tick, so that limits are enforced. It stands still while no guest runs, so that
//! an idle server does not wake up.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use moxxy_system::tasks;
use moxxy_types::error::Result;
use wasmtime::{Engine, EngineWeak};

/// Clock of all engines. It ends when this is dropped.
pub(crate) struct EpochClock(Arc<Shared>);

/// A call, during which the clock ticks.
pub(crate) struct Ticking(Arc<Shared>);

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    engines: Vec<EngineWeak>,
    is_closed: bool,
}

impl EpochClock {
    /// Starts the clock's thread.
    pub(crate) fn start(tick: Duration) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let ticking = Arc::clone(&shared);
        tasks::spawn_thread("moxxy-epoch", move || ticking.run(tick))?;
        Ok(Self(shared))
    }

    /// Ticks for the guests of an engine, too.
    pub(crate) fn add(&self, engine: &Engine) {
        self.0.state().engines.push(engine.weak());
    }

    pub(crate) fn tick(&self) -> Ticking {
        if self.0.calls.fetch_add(1, SeqCst) == 0 {
            // With the lock, so that the thread is either waiting or has yet to look.
            let _state = self.0.state();
            self.0.changed.notify_one();
        }
        Ticking(Arc::clone(&self.0))
    }
}

impl Shared {
    fn run(&self, tick: Duration) {
        let mut next = Instant::now();
        loop {
            let idle = |state: &mut State| self.calls.load(SeqCst) == 0 && !state.is_closed;
            let state = self.changed.wait_while(self.state(), idle);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return;
            }
            state.engines.retain(|engine| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
            drop(state);
            // By absolute time, so that delays do not add up.
            next = (next + tick).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()).max(tick / 2));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EpochClock {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}
