//! Components that misbehave: rejected at install with the reason, or ended with a precise error, while
//! everything else continues.

use serde_json::{Value, json};

use crate::{
    harness::{Server, test_component},
    outcomes::outcome,
};

async fn server() -> Server {
    let server = Server::with(|config| {
        config.plugins.skill_cpu = 100;
        config.plugins.skill_wall = 5000;
        config.plugins.describe_cpu = 100;
        config.plugins.memory = 32 << 20;
        config.plugins.result = 1 << 20;
        config.server.upload_limit = 1 << 20;
        // Its own cache, to see the remaining files.
        config.data.cache = config.data.home.join("cache");
    })
    .await;
    server.offline("ada", "planner").await;
    server
}

#[tokio::test]
async fn uploads_that_are_no_component_are_refused_with_the_reason() {
    let server = server().await;
    let whole = std::fs::read(test_component("misbehave")).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    let cases: [(Vec<u8>, &str); 12] = [
        (Vec::new(), "not WebAssembly but empty"),
        (
            b"#!/bin/sh\necho hello".to_vec(),
            "not WebAssembly but a text. A component is wanted, a `.wasm` file: `moxxy build`",
        ),
        ("<!doctype html><p>Grüß Gott".into(), "a page of HTML or XML"),
        (b"\n(component)".to_vec(), "its text format"),
        (b"PK\x03\x04".to_vec(), "a zip archive"),
        (vec![0; 600], "a file of another kind"),
        (whole[..whole.len() / 2].to_vec(), "damaged or cut off"),
        (whole[..6].to_vec(), "the beginning of it"),
        (flipped, "It"),
        (b"\0asm\x01\0\0\0".to_vec(), "a core module, not a component"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "of no world that Moxxy knows: it exports nothing"),
        (std::fs::read(test_component("other_world")).unwrap(), "of no world that Moxxy knows"),
    ];
    for (bytes, reason) in cases {
        let message = server.upload_bytes("ada", bytes).await.error(400, "invalid_component");
        assert!(message.contains(reason), "{reason}: {message}");
        outcome("an upload that is no component", &message);
    }
    let large = server.upload_bytes("ada", vec![0; (1 << 20) + 1]).await.error(413, "body_too_large");
    assert!(large.contains("1048577 bytes; the limit is 1048576"), "{large}");
    unchanged(&server).await;
}

#[tokio::test]
async fn components_that_misbehave_at_install_are_refused_with_the_reason() {
    let server = server().await;
    let cases = [
        ("unknown_import", "imports `evil:thing/door@1.0.0`, which Moxxy does not offer"),
        ("trap_in_manifest", "get-manifest() failed: `component` trapped"),
        ("loop_in_manifest", "get-manifest() failed: `component` used up its 100 ms of processor time"),
        ("loop_in_list_tools", "list-tools() failed: `component` used up its 100 ms of processor time"),
        ("bad_name", "its name \"../evil\" is not 1 to 64 of a-z, 0-9 and -"),
        ("bad_host", "the host \"*.com\" is no name such as api.example.com"),
        ("bad_text", "the reason for a host has control characters in it"),
        ("bad_schema", "the parameters of the tool"),
        ("remote_schema", "`#/properties/place/$ref` refers to `http://169.254.169.254/latest/meta-data`"),
        ("duplicate_tool", "twice"),
    ];
    for (component, reason) in cases {
        let message = server.upload("ada", component).await.error(400, "invalid_component");
        assert!(message.contains(reason), "{component}: {message}");
    }
    unchanged(&server).await;
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// Checks that nothing was installed or left behind, and that the server works.
async fn unchanged(server: &Server) {
    assert_eq!(server.get("/v1/agents/ada/skills").await.expect(200), json!([]));
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 1);
    assert_eq!(files_below(&server.home.path().join("components")), 1);
    let cache = server.home.path().join("cache");
    assert_eq!(files_below(&cache), 2, "the code of the one component, and its seal");
    server.install("ada", "text").await;
}

#[tokio::test]
async fn calls_that_take_too_much_end_with_a_precise_error() {
    let server = server().await;
    server.upload("ada", "misbehave").await.expect(201);
    let cases = [
        ("spin", json!({}), "component_limit", "`misbehave` used up its 100 ms of processor time"),
        ("bomb", json!({}), "component_limit", "`misbehave` asked for more than its 33554432 bytes of memory"),
        ("sleep", json!({ "ms": 60_000 }), "component_limit", "`misbehave` took more than its 5000 ms"),
        (
            "big_result",
            json!({ "bytes": 4 << 20 }),
            "component_limit",
            "`misbehave` passed more than 1048576 bytes at once",
        ),
        ("recurse", json!({}), "component_limit", "`misbehave` ran out of stack"),
        ("trap", json!({}), "component_trapped", "`misbehave` trapped"),
        ("fail", json!({ "message": "no luck" }), "tool_failed", "no luck"),
    ];
    for (tool, arguments, code, message) in cases {
        let told = server.invoke("ada", "misbehave", tool, arguments).await.error(500, code);
        assert!(told.contains(message), "{tool}: {told}");
        outcome(&format!("a call: {tool}"), &told);
        let echo = server.invoke("ada", "misbehave", "echo", json!({ "text": "still here" })).await.expect(200);
        assert_eq!(echo, "still here");
    }
}

#[tokio::test]
async fn what_a_manifest_asks_for_has_an_end() {
    let server = Server::with(|config| {
        config.plugins.skill_cpu = 50;
        config.plugins.most_cpu = 400;
        config.plugins.memory = 4 << 20;
        config.plugins.most_memory = 48 << 20;
    })
    .await;
    server.offline("ada", "planner").await;
    server.upload("ada", "greedy").await.expect(201);
    let bomb = server.invoke("ada", "greedy", "bomb", json!({})).await.error(500, "component_limit");
    assert_eq!(bomb, "`greedy` asked for more than its 50331648 bytes of memory");
    let spin = server.invoke("ada", "greedy", "spin", json!({})).await.error(500, "component_limit");
    assert_eq!(spin, "`greedy` used up its 400 ms of processor time");
}

#[tokio::test]
async fn the_sandbox_gives_nothing() {
    let server = server().await;
    server.upload("ada", "misbehave").await.expect(201);
    server.upload("ada", "http").await.expect(201);
    let call = async |skill: &str, tool: &str, arguments: Value| server.invoke("ada", skill, tool, arguments).await;
    assert_eq!(call("misbehave", "env", json!({})).await.expect(200), json!([]));
    for path in ["/etc/passwd", ".", "/"] {
        call("misbehave", "read_file", json!({ "path": path })).await.error(500, "tool_failed");
    }
    call("misbehave", "connect", json!({})).await.error(500, "tool_failed");
    let url = format!("{}/v1/health", server.url);
    let refused = call("http", "get", json!({ "url": url })).await;
    assert!(refused.body.to_string().contains("is this server itself, which no rule allows"), "{refused:?}");
    // Excess lines are dropped, not stored.
    call("misbehave", "print", json!({ "lines": 10_000, "text": "spam" })).await.expect(200);
}

#[tokio::test]
async fn others_go_on_while_one_spins() {
    let server = Server::with(|config| config.plugins.skill_cpu = 5000).await;
    server.offline("ada", "planner").await;
    server.upload("ada", "misbehave").await.expect(201);
    let spin = server.invoke("ada", "misbehave", "spin", json!({}));
    let echoes = async {
        for _ in 0..50 {
            server.invoke("ada", "misbehave", "echo", json!({ "text": "a" })).await.expect(200);
        }
    };
    // All fifty answers arrive before the loop has used up its time.
    tokio::select! {
        biased;
        ended = spin => panic!("the loop ended first: {ended:?}"),
        () = echoes => {}
    }
}
