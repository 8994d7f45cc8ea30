//! Skills that make the host allocate: handles and the data behind them.

use reqwest::Method;

use crate::{harness::send, malformed_modules::Crafted, server_attacks::Besieged};

const HANDLES: &str = "held more than 1024 handles at once";

#[tokio::test]
async fn handles_have_an_end() {
    let server = Besieged::start().await;
    let buckets = Crafted::new("buckets")
        .imports(r#"(import "wasi:keyvalue/store@0.2.0-draft2" "open" (func $open (param i32 i32 i32)))"#)
        .forever("(call $open (i32.const 0) (i32.const 0) (i32.const 65536))");
    server.ends(buckets, HANDLES).await;
    server.ends(Crafted::with_resource("things", "").forever("(drop (call $new (i32.const 1)))"), HANDLES).await;
    let timers = Crafted::with_timers("timers").forever("(drop (call $timer (i64.const 1000000000000)))");
    server.ends(timers, HANDLES).await;
}

/// Returns a skill that creates request bodies, fills each, and keeps them all.
fn bodies() -> Crafted {
    Crafted::new("bodies")
        .wit(
            "import wasi:http/types@0.2.0;",
            "package wasi:io@0.2.0 {
                interface error { resource error; }
                interface streams {
                    use error.{error};
                    variant stream-error { last-operation-failed(error), closed }
                    resource output-stream {
                        check-write: func() -> result<u64, stream-error>;
                        write: func(contents: list<u8>) -> result<_, stream-error>;
                    }
                }
            }
            package wasi:http@0.2.0 { interface types {
                use wasi:io/streams@0.2.0.{output-stream};
                resource fields { constructor(); }
                resource outgoing-request { constructor(headers: fields); body: func() -> result<outgoing-body>; }
                resource outgoing-body { write: func() -> result<output-stream>; }
            } }",
        )
        .imports(
            r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
            (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
            (import "wasi:http/types@0.2.0" "[method]outgoing-request.body" (func $body (param i32 i32)))
            (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $stream (param i32 i32)))
            (import "wasi:io/streams@0.2.0" "[method]output-stream.check-write" (func $room (param i32 i32)))
            (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))"#,
        )
        .pages(64)
        .forever(
            "(call $body (call $request (call $fields)) (i32.const 65536))
            (call $stream (i32.load offset=4 (i32.const 65536)) (i32.const 65536))
            (local.set $i (i32.load offset=4 (i32.const 65536)))
            (call $room (local.get $i) (i32.const 65536))
            (loop $fill
                (call $write (local.get $i) (i32.const 131072) (i32.load offset=8 (i32.const 65536)) (i32.const 65536))
                (call $room (local.get $i) (i32.const 65536))
                (br_if $fill (i64.ne (i64.load offset=8 (i32.const 65536)) (i64.const 0))))",
        )
}

/// Returns a skill that stores a thousand values with long keys, and lists them with handle after handle.
fn listings() -> Crafted {
    Crafted::new("listings")
        .imports(
            r#"(import "wasi:keyvalue/store@0.2.0-draft2" "open" (func $open (param i32 i32 i32)))
            (import "wasi:keyvalue/store@0.2.0-draft2" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
            (import "wasi:keyvalue/store@0.2.0-draft2" "[method]bucket.list-keys" (func $list (param i32 i32 i64 i32)))"#,
        )
        .call(
            "(memory.fill (i32.const 131072) (i32.const 97) (i32.const 256))
            (call $open (i32.const 0) (i32.const 0) (i32.const 65536))
            (local.set $handle (i32.load offset=4 (i32.const 65536)))
            (loop $more
                (i32.store8 (i32.const 131072) (i32.add (i32.const 48) (i32.and (local.get $i) (i32.const 63))))
                (i32.store8 (i32.const 131073) (i32.add (i32.const 48) (i32.shr_u (local.get $i) (i32.const 6))))
                (call $set (local.get $handle) (i32.const 131072) (i32.const 256)
                    (i32.const 0) (i32.const 0) (i32.const 65536))
                (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
            (loop $more
                (call $open (i32.const 0) (i32.const 0) (i32.const 65536))
                (call $list (i32.load offset=4 (i32.const 65536)) (i32.const 0) (i64.const 0) (i32.const 65536))
                (br $more))",
        )
}

/// Returns a skill that creates headers of this size, and keeps them all.
fn headers(name: &'static str, bytes: usize) -> Crafted {
    Crafted::new(name)
        .wit(
            "import wasi:http/types@0.2.0;",
            "package wasi:http@0.2.0 { interface types {
                variant header-error { invalid-syntax, forbidden, immutable }
                resource fields {
                    constructor();
                    append: func(name: string, value: list<u8>) -> result<_, header-error>;
                }
            } }",
        )
        .imports(
            r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
            (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))"#,
        )
        .call(format!(
            "(memory.fill (i32.const 131072) (i32.const 97) (i32.const {bytes}))
            (loop $more
                (call $append (call $fields) (i32.const 131072) (i32.const 8)
                    (i32.const 131072) (i32.const {bytes}) (i32.const 65536))
                (br $more))"
        ))
}

/// Large uploads, and large bodies with errors.
#[tokio::test]
async fn large_bodies_take_little_more_than_their_size() {
    let server = Besieged::start().await;
    let (zeros, megabytes) = ("0,".repeat(20_000_000), 40 * 1024 * 1024);
    let bodies = [
        (format!(r#"{{"source": {{"base64": "{}"}}}}"#, "A".repeat(megabytes)), "invalid_component"),
        (format!(r#"{{"source": {{"bundled": "text"}}, "accept": [{zeros}0]}}"#), "invalid_input"),
        (format!(r#"{{"source": {{"bundled": "text"}}, "more": {}"#, "[".repeat(megabytes)), "invalid_input"),
    ];
    for (body, code) in bodies {
        let request = server.server.request(Method::POST, "/v1/agents/ada/skills/install");
        send(request.header("Content-Type", "application/json").body(body)).await.error(400, code);
    }
    // The received text, its parsed form, and the decoded value.
    let most = server.status("VmHWM:");
    assert!(most < 256 * 1024, "{most} KiB");
    server.is_unharmed("large bodies").await;
}

#[tokio::test]
async fn what_the_host_keeps_for_a_call_has_an_end() {
    let server = Besieged::with(&[("MOXXY_PLUGINS_SKILL_CPU", "10000")]).await;
    for attack in [bodies(), listings(), headers("headers", 16_000)] {
        let name = attack.name();
        server.ends(attack, HANDLES).await;
        // Less than the call's own memory limit, including the rest of the server.
        let most = server.status("VmHWM:");
        assert!(most < 128 * 1024, "{name}: {most} KiB");
    }
    server.ends(headers("headers-large", 17_000), "made headers of more than 16384 bytes").await;
}
