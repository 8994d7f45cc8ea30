//! Skills that exhaust the server's resources: time, memory, handles and the compiler. Each attack ends as its
//! test states, and harms nothing else.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    harness::test_component,
    malformed_modules::{Crafted, SPIN},
    server_attacks::Besieged,
};

const CPU: &str = "used up its 300 ms of processor time";
const MEMORY: &str = "asked for more than its 134217728 bytes of memory";
const RESULT: &str = "passed more than 4194304 bytes at once";

#[tokio::test]
async fn endless_loops_end_wherever_they_are() {
    let server = Besieged::start().await;
    server.ends(Crafted::new("loop").call(SPIN), CPU).await;
    server.ends(Crafted::new("loop-in-realloc").realloc(SPIN), CPU).await;
    let post_return = format!(r#"(func (export "cabi_post_moxxy:plugin/tools@0.2.0#call") (param i32) {SPIN})"#);
    server.ends(Crafted::new("loop-after").fields(post_return), CPU).await;
    let start = format!("(func $start {SPIN}) (start $start)");
    server
        .refuses(Crafted::new("loop-at-start").fields(start), &format!("Its get-manifest() failed: `component` {CPU}"))
        .await;
    let list_tools = Crafted::new("loop-in-list").list_tools(SPIN);
    server.refuses(list_tools, &format!("Its list-tools() failed: `component` {CPU}")).await;
    // The engine checks the time between the fills, not during one.
    let fill = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 67108864))";
    server.ends(Crafted::new("fill").pages(1100).forever(fill), CPU).await;
}

#[tokio::test]
async fn a_destructor_runs_in_its_own_time_or_not_at_all() {
    let server = Besieged::start().await;
    let dropped = Crafted::with_resource("loop-in-drop", SPIN).call("(call $drop (call $new (i32.const 1)))");
    server.ends(dropped, CPU).await;
    let left = "(drop (call $new (i32.const 1)))";
    server.bears(Crafted::with_resource("left-behind", SPIN).call(left)).await;
    // The store drops what a call leaves behind without running its destructor; the same for a provider's
    // completion.
    let source = json!({ "base64": BASE64_STANDARD.encode(fs::read(test_component("spin_in_drop")).unwrap()) });
    server.server.post("/v1/providers", json!({ "id": "spin", "component": source })).await.expect(201);
    let agent = json!({ "name": "eve", "provider": "spin", "model": "last" });
    server.server.post("/v1/agents", agent).await.expect(201);
    let run = server.server.run("eve", "go").await;
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!("done")), "{run}");
    server.is_unharmed("spin_in_drop").await;
}

/// Returns a skill that repeatedly allocates a mebibyte and writes to it.
fn memory_bomb() -> Crafted {
    let bomb = "(if (i32.lt_s (memory.grow (i32.const 16)) (i32.const 0)) (then unreachable))
        (memory.fill (i32.mul (i32.sub (memory.size) (i32.const 16)) (i32.const 65536)) (i32.const 1) (i32.const 1048576))";
    Crafted::new("memory-bomb").forever(bomb)
}

#[tokio::test]
async fn memory_has_one_limit_for_all_of_it() {
    let server = Besieged::start().await;
    server.ends(memory_bomb(), MEMORY).await;
    // The memory was really used, and it is released.
    assert!(server.status("VmHWM:") > 100 * 1024);
    server
        .refuses(Crafted::new("memory-large").pages(3200), &format!("Its get-manifest() failed: `component` {MEMORY}"))
        .await;
    server
        .refuses(Crafted::new("memory-huge").pages(65536), "4294967296 which exceeds the limit of 0x20000000 bytes")
        .await;
    // A skill that handles a failed allocation continues, until another limit ends it.
    let refused = "(drop (memory.grow (i32.const 60000)))";
    server.bears(Crafted::new("memory-refused").call(refused)).await;
    server.ends(Crafted::new("memory-refused-loop").forever(refused), CPU).await;
    // Each memory is small, and only the last allocation fails.
    let memories = "(memory $a 1) (memory $b 1) (memory $c 1)";
    let grow = ["$a", "$b", "$c"].map(|memory| {
        format!("(if (i32.lt_s (memory.grow {memory} (i32.const 16)) (i32.const 0)) (then unreachable))")
    });
    server.ends(Crafted::new("memories-grow").fields(memories).forever(&grow.concat()), MEMORY).await;
    let memories = "(memory 700) (memory 700) (memory 700)";
    server.refuses(Crafted::new("memories-large").fields(memories), MEMORY).await;
    server
        .refuses(
            Crafted::new("memories-many").fields("(memory 1) ".repeat(20)),
            "count of 21 exceeds the per-instance limit of 4",
        )
        .await;
}

#[tokio::test]
async fn tables_have_an_end() {
    let server = Besieged::start().await;
    server
        .refuses(
            Crafted::new("table-huge").fields("(table 10000000 funcref)"),
            "10000000 which exceeds the limit of 20000",
        )
        .await;
    server
        .refuses(
            Crafted::new("tables-many").fields("(table 1 funcref) ".repeat(50)),
            "count of 50 exceeds the per-instance limit of 8",
        )
        .await;
    let grow = "(drop (table.grow $t (ref.null func) (i32.const 1000000)))";
    let table = |name| Crafted::new(name).fields("(table $t 0 funcref)");
    server.ends(table("table-bomb").forever(grow), CPU).await;
    // Failed allocations do not count.
    let room = "(if (i32.lt_s (memory.grow (i32.const 1000)) (i32.const 0)) (then unreachable))";
    server.bears(table("table-refused").call(grow.repeat(30) + room)).await;
}

#[tokio::test]
async fn deep_recursion_ends_at_the_bottom_of_the_stack() {
    let server = Besieged::start().await;
    let down = "(func $down (param i64) (result i64) (i64.add (call $down (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))";
    let skill = Crafted::new("recursion").fields(down).call("(drop (call $down (i64.const 0)))");
    server.ends(skill, "ran out of stack: it recursed too deeply").await;
}

/// Returns a skill whose result is the first 64 MiB of its memory.
fn large_result() -> Crafted {
    let result = "(i32.store offset=8 (i32.const 131072) (i32.const 67108864)) (return (i32.const 131072))";
    Crafted::new("result").pages(1100).call(result)
}

#[tokio::test]
async fn large_values_do_not_cross() {
    let server = Besieged::start().await;
    server.ends(large_result(), RESULT).await;
    // Two million tools of 28 bytes, with empty texts.
    let many = "(i32.store (i32.const 65536) (i32.const 131072))
        (i32.store offset=4 (i32.const 65536) (i32.const 2000000)) (return (i32.const 65536))";
    server.refuses(Crafted::new("strings-many").pages(1100).list_tools(many), RESULT).await;
    // A thousand tools whose names are all the same mebibyte.
    let alias = "(loop $more
            (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 28))) (i32.const 262144))
            (i32.store offset=4 (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 28))) (i32.const 1048576))
            (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
        (i32.store (i32.const 65536) (i32.const 131072))
        (i32.store offset=4 (i32.const 65536) (i32.const 1000)) (return (i32.const 65536))";
    server.refuses(Crafted::new("strings-same").pages(32).list_tools(alias), RESULT).await;
    let headers = "(call $from-list (i32.const 131072) (i32.const 4000000) (i32.const 65536))";
    let headers = Crafted::new("headers-many")
        .wit(
            "import wasi:http/types@0.2.0;",
            "package wasi:http@0.2.0 { interface types {
                variant header-error { invalid-syntax, forbidden, immutable }
                resource fields {
                    from-list: static func(entries: list<tuple<string, list<u8>>>) -> result<fields, header-error>;
                }
            } }",
        )
        .imports(r#"(import "wasi:http/types@0.2.0" "[static]fields.from-list" (func $from-list (param i32 i32 i32)))"#)
        .pages(1100)
        .call(headers);
    server.ends(headers, RESULT).await;
}

#[tokio::test]
async fn host_calls_have_an_end() {
    let server = Besieged::start().await;
    let log = Crafted::new("log-lines")
        .imports(r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#)
        .forever("(call $log (i32.const 2) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 1000))");
    server.ends(log, "`log-lines` ").await;
    let config = Crafted::new("host-calls")
        .imports(r#"(import "wasi:config/store@0.2.0-rc.1" "get" (func $get (param i32 i32 i32)))"#)
        .forever("(call $get (i32.const 0) (i32.const 9) (i32.const 65536))");
    server.ends(config, "`host-calls` ").await;
}

/// Returns a skill that repeatedly reads this many random bytes.
fn random(name: &'static str, bytes: u64) -> Crafted {
    Crafted::new(name)
        .wit(
            "import wasi:random/random@0.2.0;",
            "package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }",
        )
        .imports(r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#)
        .forever(&format!("(call $random (i64.const {bytes}) (i32.const 65536))"))
}

#[tokio::test]
async fn randomness_comes_in_small_pieces() {
    let server = Besieged::start().await;
    server.ends(random("random-huge", 1 << 30), "asked for more than 65536 random bytes at once").await;
    server.ends(random("random-much", 1 << 16), CPU).await;
}

#[tokio::test]
async fn sleep_ends_with_the_call() {
    let server = Besieged::with(&[("MOXXY_PLUGINS_SKILL_WALL", "2000")]).await;
    let sleep = "(call $block (call $timer (i64.const 3600000000000)))";
    server.ends(Crafted::with_timers("sleep").call(sleep), "`sleep` took more than its 2000 ms").await;
    // The limit of a description's processor time, plus five seconds.
    let at_install = "Its list-tools() failed: `component` took more than its 5300 ms";
    server.refuses(Crafted::with_timers("sleep-in-list").list_tools(sleep), at_install).await;
}

/// Starts a server with low limits for the compiler and an empty cache.
async fn with_little_compiler() -> Besieged {
    let options = [
        // In the data directory.
        ("MOXXY_DATA_CACHE", ""),
        ("MOXXY_PLUGINS_COMPILE_CPU", "5"),
        ("MOXXY_PLUGINS_COMPILE_MEMORY", "536870912"),
    ];
    Besieged::with(&options).await
}

const COMPILING: &str = "Compiling it takes more than 5 s of processor time or 536870912 bytes of memory";

#[tokio::test]
async fn code_that_takes_too_long_to_compile_is_refused() {
    let server = with_little_compiler().await;
    // The compiler considers each local at each branch.
    let locals = "(local i64)".repeat(10_000);
    let branches: String = (0..10_000)
        .map(|i| format!("(if (i64.eqz (local.get {i})) (then (local.set {} (i64.const {i}))))", (i + 1) % 10_000))
        .collect();
    let function = format!("(func (export \"branches\") {locals} {branches})");
    server.refuses(Crafted::new("branches").fields(function), COMPILING).await;
}

#[tokio::test]
async fn much_code_is_compiled_as_long_as_it_takes_little() {
    let server = with_little_compiler().await;
    let functions = |count: usize| (0..count).map(|i| format!("(func (export \"f{i}\"))")).collect::<String>();
    server.bears(Crafted::new("functions").fields(functions(5000))).await;
    server.refuses(Crafted::new("functions-many").fields(functions(100_000)), COMPILING).await;
    let straight =
        |code: &str, times: usize| format!("(global $g (mut i64) (i64.const 0)) (func {})", code.repeat(times));
    // Two megabytes of code without effect, and one and a half with effect.
    server.bears(Crafted::new("straight").fields(straight("(drop (i32.const 1))", 700_000))).await;
    let work = straight("(global.set $g (i64.add (global.get $g) (i64.const 1)))", 200_000);
    server.refuses(Crafted::new("straight-work").fields(work), COMPILING).await;
    // WebAssembly's own limit is 7,654,321 bytes.
    let long = straight("(drop (i64.const -9223372036854775808))", 640_000);
    server.refuses(Crafted::new("straight-long").fields(long), "exceeds limit of 7654321").await;
}

#[tokio::test]
async fn many_attacks_at_once_leave_nothing_behind() {
    let server = Besieged::start().await;
    let attacks = [memory_bomb(), large_result(), random("random", 1 << 16)];
    for attack in &attacks {
        server.server.upload_bytes("ada", attack.module()).await.expect(201);
    }
    for _ in 0..5 {
        let calls = attacks.each_ref().map(|attack| server.server.invoke("ada", attack.name(), "go", json!({})));
        for ended in join_all(calls).await {
            ended.error(500, "component_limit");
        }
    }
    server.is_unharmed("all").await;
}
