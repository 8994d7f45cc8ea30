//! `/v1/chat/completions` when the client disconnects or the server shuts down.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    chat::{CHAT, Pieces, asked, content, streamed},
    harness::{Server, send},
};

/// Sends a request over a raw connection, which the test can close during the response.
async fn connect(server: &Server, body: &Value, headers: &str) -> TcpStream {
    let (host, body) = (server.url.strip_prefix("http://").unwrap(), body.to_string());
    let mut client = TcpStream::connect(host).await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_run_unless_it_may_come_back() {
    let server = Server::start().await;
    let slow = |ms: u64| json!({ "steps": [{ "text": "late", "delay_ms": ms }], "repeat": true });
    server.scripted_with("ada", slow(50_000), json!({})).await;
    for body in [asked("ada", "go"), streamed("ada")] {
        let mut events = server.events("agent_id=ada").await;
        let client = connect(&server, &body, "").await;
        events.until("model.request").await;
        drop(client);
        let told = events.until("run.cancelled").await;
        assert_eq!(told.last().unwrap().data["payload"]["mode"], "now");
    }
    server.scripted_with("bob", slow(1000), json!({})).await;
    let mut events = server.events("agent_id=bob").await;
    let body = asked("bob", "go");
    let client = connect(&server, &body, "Idempotency-Key: one\r\n").await;
    events.until("model.request").await;
    drop(client);
    let again = || server.request(Method::POST, CHAT).header("Idempotency-Key", "one");
    let answer = send(again().json(&body)).await;
    assert_eq!(answer.headers["idempotency-replayed"], "true");
    assert_eq!(content(&answer.expect(200)), "late");
    send(again().json(&asked("bob", "stop"))).await.error(409, "idempotency_key_reused");
    assert_eq!(server.get("/v1/agents/bob/runs").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_whose_client_loses_its_server_ends_by_itself() {
    let server = Server::with(|config| config.server.shutdown_grace = 1).await;
    server.scripted("ada", json!([{ "text": "done", "delay_ms": 3000 }])).await;
    let mut events = server.events("agent_id=ada").await;
    let mut pieces = Pieces::of(&server, &streamed("ada")).await;
    let run = pieces.response.headers()["x-moxxy-run-id"].to_str().unwrap().to_owned();
    assert!(pieces.next().await.unwrap().contains("assistant"));
    events.until("model.request").await;
    let (home, (frames, done)) = tokio::join!(server.stop(), pieces.rest());
    assert_eq!((&frames[0]["error"]["code"], frames.len(), done), (&json!("shutting_down"), 1, false));
    let server = Server::at(home, |_| {}).await;
    let told = server.events(&format!("run_id={run}&after=0")).await.until("run.completed").await;
    assert!(told.iter().any(|event| event.kind == "run.resumed"));
}
