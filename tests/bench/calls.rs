//! Benchmark of the cost of a tool call, as a ratio to bare Wasmtime.
//!
//! Each call creates a store and an instance, makes the call and drops them, with the same engine, guest and
//! input, alternating in one run. Also measures the speed-up from one thread to two.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use moxxy_runtime::{CallContext, Plugins};
use moxxy_server::config::Config;
use moxxy_types::{digest::Digest, ids::Name};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, ResourceType, types::ComponentItem},
};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

const ROUNDS: usize = 40;
const CALLS: usize = 250;

/// Component with a call of it.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    file: &'static str,
    tool: &'static str,
    arguments: &'static str,
    /// Text that the result contains.
    says: &'static str,
}

/// Skill that measures the engine's cost.
const TEXT: Case = Case {
    what: "Rust, wasm32-wasip2",
    file: "components/text.wasm",
    tool: "word_count",
    arguments: r#"{"text":"the quick brown fox jumps over the lazy dog"}"#,
    says: "9",
};

/// Skills by language and build target.
const TABLE: [Case; 4] = [
    TEXT,
    Case { what: "Rust, wasm32-unknown-unknown", file: "test-components/text_module.wasm", ..TEXT },
    Case {
        what: "JavaScript, StarlingMonkey",
        file: "test-components/regex.wasm",
        tool: "find",
        arguments: r#"{"pattern":"o","flags":"","text":"the quick brown fox"}"#,
        says: "o",
    },
    Case {
        what: "Python, CPython",
        file: "test-components/stats.wasm",
        tool: "describe",
        arguments: r#"{"numbers":[1,2,3]}"#,
        says: "2",
    },
];

mod bindings {
    #![allow(unsafe_code, clippy::all, reason = "generated code")]
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package moxxy:bench;
            world bare {
                import wasi:config/store@0.2.0-rc.1;
                import moxxy:plugin/vault@0.2.0;
                export moxxy:plugin/tools@0.2.0;
            }
        ",
        world: "moxxy:bench/bare",
        exports: { default: async },
    });
}

/// Baseline: bare Wasmtime.
struct Floor {
    case: Case,
    engine: Engine,
    skill: bindings::BarePre<State>,
}

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoHooks,
    table: ResourceTable,
}

/// Denies every outgoing request.
struct NoHooks;

type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Transfer), Error>> + Send>;

impl WasiHttpHooks for NoHooks {
    fn send_request(&mut self, _: http::Request<WasiBody>, _: Option<RequestOptions>, _: Transfer) -> Sending {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Floor {
    fn new(case: Case, engine: &Engine) -> Self {
        let component = Component::new(engine, case.component()).unwrap();
        let mut linker: Linker<State> = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
        define_ours(&mut linker, &component);
        let skill = bindings::BarePre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { case, engine: engine.clone(), skill }
    }

    async fn call(&self) {
        let state = State {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: NoHooks,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        let skill = self.skill.instantiate_async(&mut store).await.unwrap();
        let output =
            skill.moxxy_plugin_tools().call_call(&mut store, self.case.tool, self.case.arguments).await.unwrap();
        assert!(output.unwrap().content.contains(self.case.says));
    }
}

/// Defines the imports outside WASI 0.2. No call of the table uses them.
fn define_ours(linker: &mut Linker<State>, component: &Component) {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !["moxxy:", "wasi:config", "wasi:keyvalue", "wasi:logging"].iter().any(|ours| name.starts_with(ours)) {
            continue;
        }
        let mut instance = linker.instance(name).unwrap();
        for (name, export) in interface.exports(&engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    instance.func_new(name, |_, _, _, _| wasmtime::bail!("it is not called")).unwrap();
                }
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(())).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// Skill in our runtime, without the server's database.
#[derive(Clone)]
struct Ours {
    case: Case,
    plugins: Arc<Plugins>,
    digest: Digest,
    name: Name,
}

impl Ours {
    fn new(case: Case, plugins: &Arc<Plugins>, runtime: &tokio::runtime::Runtime) -> Self {
        let bytes = std::fs::read(case.path()).unwrap();
        let admitted = runtime.block_on(plugins.admit(Digest::compute(&bytes), bytes)).unwrap();
        let (digest, name) = (admitted.description.digest.clone(), admitted.description.manifest.name.clone());
        Self { case, plugins: Arc::clone(plugins), digest, name }
    }

    async fn call(&self) {
        let context = CallContext::new(self.name.clone());
        let (tool, arguments) = (self.case.tool.into(), self.case.arguments.into());
        let called = self.plugins.call_tool(&self.digest, context, tool, arguments).await;
        assert!(called.result.unwrap().into_text().contains(self.case.says));
    }

    fn work(&self) -> impl Fn() -> Work + Send + Clone + 'static {
        let ours = self.clone();
        move || {
            let ours = ours.clone();
            Box::pin(async move { ours.call().await })
        }
    }
}

fn main() {
    let home = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let with_threads = |threads| {
        let mut config = Config::at(home.path()).unwrap();
        config.plugins.compiler = Some(env!("CARGO_BIN_EXE_moxxy").into());
        config.plugins.threads = threads;
        Arc::new(Plugins::new(&config.plugins, home.path(), &config.data.cache, [7; 32]).unwrap())
    };
    let plugins = with_threads(0);
    let ours = Ours::new(TEXT, &plugins, &runtime);
    let floor = Arc::new(Floor::new(TEXT, &plugins.engine()));
    for tasks in [1, 4] {
        compare(&floor, &ours, &runtime, tasks);
    }
    scale(&Ours::new(TEXT, &with_threads(1), &runtime), &Ours::new(TEXT, &with_threads(2), &runtime));
    table(&plugins, &runtime);
}

impl Case {
    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(self.file)
    }

    /// Returns the component. Wraps a core module, as an install does.
    fn component(&self) -> Vec<u8> {
        let bytes = std::fs::read(self.path()).unwrap();
        match wasmparser::Parser::is_core_wasm(&bytes) {
            true => wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap(),
            false => bytes,
        }
    }
}

/// Measures sequential calls of each language, as a ratio to bare Wasmtime with the same component.
fn table(plugins: &Arc<Plugins>, runtime: &tokio::runtime::Runtime) {
    println!("one call at a time, from a guests' thread");
    for case in TABLE {
        if !case.path().exists() {
            println!("  {:38} was not built", case.what);
            continue;
        }
        let (floor, ours) = (Arc::new(Floor::new(case, &plugins.engine())), Ours::new(case, plugins, runtime));
        let (mut bare, mut same) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(floor_round(&floor, &ours, 1));
            same.push(our_round(&ours, 1));
        }
        let (bare, same) = (Figures::of(bare), Figures::of(same));
        println!(
            "  {:38} {:9} bytes   bare p50 {:7.1} µs   ours p50 {:7.1} µs ({:.2})   p99 {:7.1} µs ({:.2})",
            case.what,
            std::fs::metadata(case.path()).unwrap().len(),
            bare.p50,
            same.p50,
            same.p50 / bare.p50,
            same.p99,
            same.p99 / bare.p99,
        );
    }
}

/// Measures the throughput of one thread and of two, alternating. The fastest round counts, because other load on
/// the machine slows two threads more than one.
fn scale(one: &Ours, two: &Ours) {
    println!("8 at once, {ROUNDS} rounds of {CALLS} calls each, from the guests' own threads, fastest round");
    let rate = |ours: &Ours| Figures::of(vec![our_round(ours, 8)]).rate;
    let (mut of_one, mut of_two) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        of_one = of_one.max(rate(one));
        of_two = of_two.max(rate(two));
    }
    println!("  1 thread {of_one:.0} calls/s, 2 threads {of_two:.0} calls/s: {:.2} times as many", of_two / of_one);
}

/// Measures all three variants, alternating, with `tasks` concurrent calls.
fn compare(floor: &Arc<Floor>, ours: &Ours, runtime: &tokio::runtime::Runtime, tasks: usize) {
    println!("{tasks} at once, {ROUNDS} rounds of {CALLS} calls each; times per call, ratios to bare wasmtime");
    let (mut bare, mut same, mut hop) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(floor_round(floor, ours, tasks));
        same.push(our_round(ours, tasks));
        hop.push(round(tasks, |work| drop(runtime.spawn(work)), ours.work()));
    }
    let (bare, same, hop) = (Figures::of(bare), Figures::of(same), Figures::of(hop));
    bare.show("bare wasmtime", &bare);
    same.show("our call, from a guests' thread", &bare);
    hop.show("our call, from a server's thread", &bare);
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a round of bare Wasmtime on the guests' threads.
fn floor_round(floor: &Arc<Floor>, ours: &Ours, tasks: usize) -> (Vec<Duration>, Duration) {
    let floor = Arc::clone(floor);
    round(
        tasks,
        |work| ours.plugins.spawn(work),
        move || {
            let floor = Arc::clone(&floor);
            Box::pin(async move { floor.call().await })
        },
    )
}

/// Runs a round of our call on the guests' threads.
fn our_round(ours: &Ours, tasks: usize) -> (Vec<Duration>, Duration) {
    round(tasks, |work| ours.plugins.spawn(work), ours.work())
}

/// Returns the durations of a round's calls, and of the round.
fn round(
    tasks: usize,
    spawn: impl Fn(Work),
    call: impl Fn() -> Work + Send + Clone + 'static,
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
