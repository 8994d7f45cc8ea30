//! Slow, broken and too many clients: they delay no other client.

use std::time::Duration;

use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::{
    harness::{PATIENCE, Server, send},
    server_attacks::Besieged,
};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Returns the data that the server sends until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends the connection as well.
    drop(timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the connection stays open"));
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
    let besieged = Besieged::with(&[("MOXXY_SERVER_CONNECTIONS", "256")]).await;
    let mut idle = Vec::new();
    for count in 1..=10_000 {
        let mut stream = connect(&besieged.server).await;
        if count % 3 == 0 {
            stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        }
        idle.push(stream);
        if count % 1000 == 0 {
            // On its own connection: the server may close one that is idle between requests.
            let request = besieged.server.request(Method::GET, "/v1/health").header("Connection", "close");
            send(request).await.expect(200);
        }
    }
    besieged.is_unharmed("idle connections").await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = Server::with(|config| config.server.header_time = 1).await;
    let mut slow = Vec::new();
    for beginning in ["", "GET", "GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = connect(&server).await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for mut stream in slow {
        assert!(!rest(&mut stream).await.contains("200 OK"));
    }
    // Further headers do not extend the time limit.
    let (mut reading, mut writing) = connect(&server).await.into_split();
    writing.write_all(b"GET /v1/health HTTP/1.1\r\n").await.unwrap();
    let dripping = tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(100));
        while writing.write_all(b"X-Slow: yes\r\n").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut answer = Vec::new();
    drop(timeout(PATIENCE, reading.read_to_end(&mut answer)).await.expect("it goes on"));
    assert!(!String::from_utf8(answer).unwrap().contains("200 OK"));
    drop(reading);
    timeout(PATIENCE, dripping).await.unwrap().unwrap();
    server.get("/v1/health").await.expect(200);
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_not_waited_for() {
    let server = Server::with(|config| {
        config.server.body_pause = 1;
        config.server.body_time = 2;
    })
    .await;
    let head = format!(
        "POST /v1/agents HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        server.authority()
    );
    let mut stops = connect(&server).await;
    stops.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stops).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"code\":\"too_slow\""), "{answer}");
    let (mut reading, mut writing) = connect(&server).await.into_split();
    writing.write_all(head.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(100));
        while writing.write_all(b" ").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut answer = vec![0; 12];
    timeout(PATIENCE, reading.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn who_sends_much_reads_why_it_is_refused_and_goes_on() {
    let server = Server::start().await;
    let mut stream = connect(&server).await;
    let size = 4 * 1024 * 1024;
    let head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            server.authority()
        )
    };
    for (path, status) in [("/v1/nowhere", "404"), ("/v1/agents", "413")] {
        stream.write_all(head(path, size).as_bytes()).await.unwrap();
        // Send the whole body before reading the answer.
        stream.write_all(&vec![b' '; size]).await.unwrap();
        let mut answer = vec![0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), format!("HTTP/1.1 {status}"));
        while timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap() != b'}' {}
    }
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_left() {
    let server = Server::with(|config| config.server.write_pause = 1).await;
    let mut stream = connect(&server).await;
    let request = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let asking = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, asking).await.expect("it is not left");
    server.get("/v1/health").await.expect(200);
}

#[tokio::test]
async fn busy_connections_are_not_closed_for_others() {
    let server = Server::with(|config| config.server.connections = 4).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(server.events("").await);
    }
    server.offline("ada", "echo").await;
    for _ in 0..20 {
        drop(connect(&server).await);
    }
    for stream in &mut streams {
        stream.until("agent.created").await;
    }
}

#[tokio::test]
async fn there_are_only_so_many_event_streams() {
    let server = Server::with(|config| config.server.streams = 2).await;
    let streams = [server.events("").await, server.events("").await];
    server.get("/v1/events/stream").await.error(503, "busy");
    // The server does not wait for a run either, and says so.
    server.offline("ada", "echo").await;
    let request = server.request(Method::POST, "/v1/agents/ada/runs").header("Prefer", "wait=60");
    let answer = send(request.json(&json!({ "task": "hello" }))).await;
    assert!(answer.status == 201 && !answer.headers.contains_key("preference-applied"), "{answer:?}");
    drop(streams);
    let reopened =
        async { while server.request(Method::GET, "/v1/events/stream").send().await.unwrap().status() != 200 {} };
    timeout(PATIENCE, reopened).await.expect("a stream that was left keeps its place");
}
