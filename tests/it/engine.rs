//! Engine of the component runtime: its replacement when the system's swap is enabled or disabled, and its clock.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use moxxy_runtime::{CallContext, Failure, Limit, Plugins};
use moxxy_types::{digest::Digest, ids::Name};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli::serve,
    harness::{Server, config, test_component},
    restart::KillOnDrop,
};

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_when_the_engine_is_replaced() {
    let home = TempDir::new().unwrap();
    let mut config = config(home.path());
    config.plugins.skill_cpu = 1000;
    config.data.cache = home.path().join("cache");
    let plugins = Plugins::new(&config.plugins, home.path(), &config.data.cache, [7; 32]).unwrap();
    let (plugins, bytes) = (Arc::new(plugins), std::fs::read(test_component("misbehave")).unwrap());
    let digest = Digest::compute(&bytes);
    plugins.admit(digest.clone(), bytes).await.unwrap();
    let call = |tool: &str, arguments: serde_json::Value| {
        let (plugins, digest, tool) = (Arc::clone(&plugins), digest.clone(), tool.to_owned());
        let context = CallContext::new(Name::try_from("misbehave".to_owned()).unwrap());
        async move { plugins.call_tool(&digest, context, tool, arguments.to_string()).await.result }
    };
    let echo = async || call("echo", json!({ "text": "a" })).await.unwrap().into_text();
    let before = echo().await;
    for has_swap in [true, false] {
        let spinning = tokio::spawn(call("spin", json!({})));
        // It runs on the engine that is replaced, which still ends it.
        assert_eq!(echo().await, before);
        plugins.replace_engine(has_swap).unwrap();
        assert_eq!(echo().await, before);
        let ended = spinning.await.unwrap();
        assert!(matches!(ended, Err(Failure::Limit { limit: Limit::Cpu, .. })), "{ended:?}");
    }
}

/// Returns how often the thread with this name has waited since its start.
fn waits(process: u32, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = tasks.map(|task| task.unwrap().path());
    let is_named = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread);
    let status = fs::read_to_string(threads.find(is_named).unwrap().join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_stands_still_while_no_guest_runs() {
    let home = TempDir::new().unwrap();
    let (process, url) = serve(home.path(), &[]);
    let id = process.id();
    let _process = KillOnDrop(process);
    let server = Server::elsewhere(url, home);
    server.offline("ada", "echo").await;
    assert_eq!(server.run("ada", "tick").await["output"], "tick");
    // A tick is 2 ms, so that many would pass during these requests.
    let (before, start) = (waits(id, "moxxy-epoch"), Instant::now());
    while start.elapsed() < Duration::from_millis(300) {
        server.get("/livez").await.expect(200);
    }
    let passed = waits(id, "moxxy-epoch") - before;
    assert!(passed <= 2, "{passed}");
    assert_eq!(server.run("ada", "tock").await["output"], "tock");
}
