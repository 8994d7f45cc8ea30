//! Subscriber whose connection breaks repeatedly, with a client from a package registry.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{
    harness::{Server, target},
    outcomes::outcome,
    tools,
};

const EVENTS: usize = 10_000;
const BREAKS: usize = 500;
/// Number of events of one call.
const LINES: usize = 64;

/// Runs a proxy before a server, which breaks connections in the middle of a response.
async fn fragile(listener: TcpListener, server: String, broken: Arc<AtomicUsize>) {
    // Any seed will do, as long as the numbers differ.
    let mut random: usize = 88_172_645_463_325_252;
    let own = listener.local_addr().unwrap().to_string();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut upstream = TcpStream::connect(&server).await.unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut left = if broken.load(SeqCst) < BREAKS { random % 8192 } else { usize::MAX };
        let (broken, own, server) = (Arc::clone(&broken), own.clone(), server.clone());
        tokio::spawn(async move {
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.split(), upstream.split());
            // Only a request to the server's own address needs no token.
            let asking = async {
                let mut piece = vec![0; 4096];
                while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                    let text = String::from_utf8_lossy(&piece[..length]).replace(&own, &server);
                    if to_server.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            };
            let answering = async {
                let mut piece = vec![0; 4096];
                while left > 0 {
                    let Ok(length @ 1..) = from_server.read(&mut piece).await else { return };
                    let passed = length.min(left);
                    // Make the client reconnect at once.
                    let text = String::from_utf8_lossy(&piece[..passed]).replace("retry: 1000", "retry: 0001");
                    if to_client.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                    left -= passed;
                }
                broken.fetch_add(1, SeqCst);
            };
            tokio::select! { () = asking => {} () = answering => {} }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_is_cut_off_sees_each_event_once_and_in_order() {
    let (root, Some(node)) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), tools::find(&["node"])) else {
        return;
    };
    let modules = target("clients/node_modules/eventsource");
    if !modules.is_dir() {
        return tools::skip("eventsource is not installed: `make clients`");
    }
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1/events/stream?after=0&event_type=skill.log", listener.local_addr().unwrap());
    let broken = Arc::new(AtomicUsize::new(0));
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let proxy = tokio::spawn(fragile(listener, address, Arc::clone(&broken)));
    // Next to the packages, where Node.js looks for them.
    let script = target("clients/resume.mjs");
    std::fs::copy(root.join("tests/clients/resume.mjs"), &script).unwrap();
    let mut subscriber = Command::new(node);
    subscriber.arg(script).args([&url, "skill.log", &EVENTS.to_string()]).kill_on_drop(true);
    let subscriber = subscriber.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let calls = EVENTS.div_ceil(LINES);
    let talk = async |from: usize| {
        for _ in (from..calls).step_by(8) {
            server.invoke("ada", "misbehave", "chatter", json!({ "lines": LINES })).await.expect(200);
        }
    };
    let (seen, _) = tokio::join!(subscriber.wait_with_output(), join_all((0..8).map(talk)));
    let seen = seen.unwrap();
    let ids = String::from_utf8(seen.stdout).unwrap();
    let ids: Vec<i64> = ids.lines().map(|line| line.parse().unwrap()).collect();
    let mut log = server.events("after=0&event_type=skill.log").await;
    let mut expected = Vec::new();
    while expected.len() < EVENTS {
        expected.extend(log.next().await.unwrap().id);
    }
    let (broken, opened) = (broken.load(SeqCst), String::from_utf8(seen.stderr).unwrap());
    assert!(ids == expected, "{} events instead of {EVENTS}: {opened}", ids.len());
    assert!(broken >= BREAKS, "{broken} breaks");
    let told = format!("{broken} connections broken, {} made: each once, in order", opened.trim());
    outcome(&format!("{EVENTS} events to a subscriber"), &told);
    proxy.abort();
}
