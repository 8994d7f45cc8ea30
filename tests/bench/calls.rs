//! What a tool call costs, as a ratio to bare wasmtime: a store, an instance, the call and their
//! end, with the same engine, the same guest and the same input, measured in turns in one run; and how
//! much faster two threads are than one.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use moxxy::{
    config::Config,
    digest::Digest,
    ids::Name,
    plugins::{CallContext, Plugins},
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

const ROUNDS: usize = 40;
const CALLS: usize = 250;
const ARGUMENTS: &str = r#"{"text":"the quick brown fox jumps over the lazy dog"}"#;

mod bindings {
    #![allow(unsafe_code, clippy::all, reason = "generated code")]
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package moxxy:bench;
            world bare {
                import wasi:config/store@0.2.0-rc.1;
                import moxxy:plugin/vault@0.1.0;
                export moxxy:plugin/tools@0.1.0;
            }
        ",
        world: "moxxy:bench/bare",
        exports: { default: async },
    });
}

/// Bare wasmtime.
struct Floor {
    engine: Engine,
    skill: bindings::BarePre<State>,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Floor {
    fn new(engine: &Engine, bytes: &[u8]) -> Self {
        let component = Component::new(engine, bytes).unwrap();
        let mut linker: Linker<State> = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let skill = bindings::BarePre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { engine: engine.clone(), skill }
    }

    async fn call(&self) {
        let state = State { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        let skill = self.skill.instantiate_async(&mut store).await.unwrap();
        let output = skill.moxxy_plugin_tools().call_call(&mut store, "word_count", ARGUMENTS).await.unwrap();
        assert!(output.unwrap().content.contains("9"));
    }
}

/// A skill in our server, without its database.
#[derive(Clone)]
struct Ours {
    plugins: Arc<Plugins>,
    digest: Digest,
    name: Name,
}

impl Ours {
    async fn call(&self) {
        let context = CallContext::new(self.name.clone());
        let (tool, arguments) = ("word_count".into(), ARGUMENTS.into());
        let called = self.plugins.call_tool(&self.digest, context, tool, arguments).await;
        assert!(called.result.unwrap().into_text().contains("9"));
    }
}

fn main() {
    let home = tempfile::TempDir::new().unwrap();
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/components/text.wasm")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let with_threads = |threads| {
        let mut config = Config::at(home.path()).unwrap();
        config.plugins.compiler = Some(env!("CARGO_BIN_EXE_moxxy").into());
        config.plugins.threads = threads;
        let plugins = Arc::new(Plugins::new(&config.plugins, home.path(), &config.data.cache, [7; 32]).unwrap());
        let admitted = runtime.block_on(plugins.admit(Digest::of(&bytes), bytes.clone())).unwrap();
        Ours { plugins, digest: admitted.description.digest.clone(), name: Name::try_from("text".to_owned()).unwrap() }
    };
    let ours = with_threads(0);
    let floor = Arc::new(Floor::new(ours.plugins.engine(), &bytes));
    for tasks in [1, 4] {
        compare(&floor, &ours, &runtime, tasks);
    }
    drop((ours, floor));
    scale(&with_threads(1), &with_threads(2));
}

/// Measures how many calls one thread makes, and two, in turns. The fastest round counts, because
/// whatever else runs on the machine takes from two threads more than from one.
fn scale(one: &Ours, two: &Ours) {
    println!("8 at once, {ROUNDS} rounds of {CALLS} calls each, from the guests' own threads, fastest round");
    let rate = |ours: &Ours| {
        let our = ours.clone();
        let call = move || -> Work {
            let our = our.clone();
            Box::pin(async move { our.call().await })
        };
        Figures::of(vec![round(8, |work| ours.plugins.spawn(work), call)]).rate
    };
    let (mut of_one, mut of_two) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        of_one = of_one.max(rate(one));
        of_two = of_two.max(rate(two));
    }
    println!("  1 thread {of_one:.0} calls/s, 2 threads {of_two:.0} calls/s: {:.2} times as many", of_two / of_one);
}

/// Measures all three in turns, with so many calls in flight.
fn compare(floor: &Arc<Floor>, ours: &Ours, runtime: &tokio::runtime::Runtime, tasks: usize) {
    println!("{tasks} at once, {ROUNDS} rounds of {CALLS} calls each; times per call, ratios to bare wasmtime");
    let (mut bare, mut same, mut hop) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let guests = |work: Work| ours.plugins.spawn(work);
        let floor = Arc::clone(floor);
        bare.push(round(tasks, guests, move || {
            let floor = Arc::clone(&floor);
            Box::pin(async move { floor.call().await })
        }));
        let our = ours.clone();
        let call = move || -> Work {
            let our = our.clone();
            Box::pin(async move { our.call().await })
        };
        same.push(round(tasks, guests, call.clone()));
        hop.push(round(tasks, |work| drop(runtime.spawn(work)), call));
    }
    let (bare, same, hop) = (Figures::of(bare), Figures::of(same), Figures::of(hop));
    bare.show("bare wasmtime", &bare);
    same.show("our call, from a guests' thread", &bare);
    hop.show("our call, from a server's thread", &bare);
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The times of one round's calls, and how long the round took.
fn round(
    tasks: usize,
    spawn: impl Fn(Work),
    call: impl Fn() -> Work + Send + Sync + Clone + 'static,
) -> (Vec<Duration>, Duration) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let start = Instant::now();
    for _ in 0..tasks {
        let (call, sender) = (call.clone(), sender.clone());
        spawn(Box::pin(async move {
            let mut times = Vec::with_capacity(CALLS);
            for _ in 0..CALLS {
                let start = Instant::now();
                call().await;
                times.push(start.elapsed());
            }
            sender.send(times).unwrap();
        }));
    }
    drop(sender);
    let times = receiver.iter().flatten().collect();
    (times, start.elapsed())
}

struct Figures {
    p50: f64,
    p99: f64,
    rate: f64,
}

impl Figures {
    fn of(rounds: Vec<(Vec<Duration>, Duration)>) -> Self {
        let total: Duration = rounds.iter().map(|(_, total)| *total).sum();
        let mut times: Vec<_> = rounds.into_iter().flat_map(|(times, _)| times).collect();
        times.sort();
        let percentile = |p: usize| times.get(times.len() * p / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        Self { p50: percentile(50), p99: percentile(99), rate: times.len() as f64 / total.as_secs_f64() }
    }

    fn show(&self, what: &str, base: &Self) {
        println!(
            "  {what:34} p50 {:6.1} µs ({:.2})   p99 {:6.1} µs ({:.2})   {:7.0} calls/s ({:.2})",
            self.p50,
            self.p50 / base.p50,
            self.p99,
            self.p99 / base.p99,
            self.rate,
            base.rate / self.rate,
        );
    }
}
