//! `Idempotency-Key`: a repeated request has no further effect.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use tempfile::TempDir;

use crate::{
    cli::serve,
    harness::{Answer, Server, form, send, test_component},
};

async fn post(server: &Server, path: &str, key: &str, body: Value) -> Answer {
    send(server.request(Method::POST, path).header("Idempotency-Key", key).json(&body)).await
}

#[tokio::test]
async fn a_request_that_is_sent_again_has_the_answer_of_the_first() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let agent = json!({ "name": "bob", "provider": "offline", "model": "echo" });
    let first = post(&server, "/v1/agents", "one", agent.clone()).await;
    let again = post(&server, "/v1/agents", "one", agent.clone()).await;
    assert_eq!((&again.status, &again.body), (&first.status, &first.body));
    assert_eq!(again.headers["location"], "/v1/agents/bob");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_ne!(again.headers["x-request-id"], first.headers["x-request-id"]);
    // Another body needs another key; on another route the same key is a different one.
    let other = json!({ "name": "eve", "provider": "offline", "model": "echo" });
    post(&server, "/v1/agents", "one", other.clone()).await.error(409, "idempotency_key_reused");
    post(&server, "/v1/agents", "two", agent.clone()).await.error(409, "agent_exists");
    server.install("bob", "text").await;
    let call = json!({ "tool": "word_count", "arguments": { "text": "a b" } });
    post(&server, "/v1/agents/bob/skills/text/invoke", "one", call).await.expect(200);
    // A rejected request has no effect and leaves the key free.
    let wrong = json!({ "name": "E V E", "provider": "offline", "model": "echo" });
    post(&server, "/v1/agents", "three", wrong).await.error(400, "invalid_input");
    post(&server, "/v1/agents", "three", other).await.expect(201);
    for key in ["", &"k".repeat(256)] {
        post(&server, "/v1/agents", key, agent.clone()).await.error(400, "invalid_input");
    }
    // The same after a restart.
    let server = Server::at(server.stop().await, |_| {}).await;
    post(&server, "/v1/agents", "one", agent).await.expect(201);
}

#[tokio::test]
async fn a_failure_of_a_tool_is_not_tried_again_either() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let path = "/v1/agents/ada/skills/misbehave/invoke";
    let call = json!({ "tool": "fail", "arguments": {} });
    let first = post(&server, path, "one", call.clone()).await;
    assert!(first.status.as_u16() >= 400, "{first:?}");
    let again = post(&server, path, "one", call).await;
    assert_eq!((&again.body["error"], &again.body["code"]), (&first.body["error"], &first.body["code"]));
    let events = server.events("event_type=skill.*&after=0").await;
    drop(events);
}

#[tokio::test]
async fn an_upload_counts_with_its_bytes() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let request = server.request(Method::POST, "/v1/agents/ada/skills/install").header("Idempotency-Key", "one");
    let request = request.multipart(form(std::fs::read(test_component("misbehave")).unwrap(), None));
    send(request).await.expect(201);
}

#[tokio::test]
async fn a_secret_is_not_shown_twice() {
    let server = Server::start().await;
    let first = post(&server, "/v1/auth/tokens", "one", json!({ "scopes": ["*"] })).await.expect(201);
    let again = post(&server, "/v1/auth/tokens", "one", json!({ "scopes": ["*"] })).await;
    assert_eq!(again.body["details"][0], json!({ "field": "id", "reason": first["id"] }));
    again.error(409, "already_done");
    let home = server.stop().await;
    let database = std::fs::read(home.path().join("moxxy.db")).unwrap();
    let token = first["token"].as_str().unwrap().as_bytes();
    assert!(!database.windows(token.len()).any(|bytes| bytes == token));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_makes_the_run_and_all_are_told_of_it() {
    let server = Arc::new(Server::start().await);
    server.offline("ada", "echo").await;
    let racers = (0..20).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { post(&server, "/v1/agents/ada/runs", "one", json!({ "task": "hello" })).await })
    });
    let mut ids = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        ids.push(racer.await.unwrap().expect(201)["run_id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    // A later replay returns the run as it is then, and waits for it if requested.
    let request = server.request(Method::POST, "/v1/agents/ada/runs").header("Idempotency-Key", "one");
    let later = send(request.header("Prefer", "wait=60").json(&json!({ "task": "hello" }))).await;
    assert_eq!(later.headers["idempotency-replayed"], "true");
    let later = later.expect(201);
    assert_eq!((&later["run_id"], &later["status"]), (&ids[0], &json!("completed")));
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200).as_array().unwrap().len(), 1);
    let other = post(&server, "/v1/agents/ada/runs", "one", json!({ "task": "bye" })).await;
    other.error(409, "idempotency_key_reused");
}

#[tokio::test]
async fn whoever_asks_again_learns_that_it_goes_on_and_after_a_crash_that_nobody_knows() {
    let home = TempDir::new().unwrap();
    let (mut child, url) = serve(home.path(), &[("MOXXY_LOG_FILTER", "error")]);
    let server = Server::elsewhere(url, home);
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let mut events = server.events("event_type=skill.invoked").await;
    let (path, call) =
        ("/v1/agents/ada/skills/misbehave/invoke", json!({ "tool": "sleep", "arguments": { "ms": 5000 } }));
    let first = server.request(Method::POST, path).header("Idempotency-Key", "one").json(&call);
    let first = tokio::spawn(first.send());
    events.until("skill.invoked").await;
    post(&server, path, "one", call.clone()).await.error(409, "in_progress");
    let other = json!({ "tool": "echo", "arguments": { "text": "a" } });
    post(&server, path, "one", other).await.error(409, "idempotency_key_reused");
    child.kill().unwrap();
    child.wait().unwrap();
    first.await.unwrap().unwrap_err();
    let server = Server::at(server.stop().await, |_| {}).await;
    post(&server, path, "one", call).await.error(409, "outcome_unknown");
}

#[tokio::test]
async fn large_answers_are_not_kept() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let path = "/v1/agents/ada/skills/misbehave/invoke";
    let call = json!({ "tool": "big_result", "arguments": { "bytes": 300_000 } });
    post(&server, path, "one", call.clone()).await.expect(200);
    post(&server, path, "one", call).await.error(409, "already_done");
}

#[tokio::test]
async fn keys_belong_to_their_callers() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let admin = server.token(None, &["*"]).await;
    let mut runs = Vec::new();
    for token in
        [&server.token(Some(&admin), &["runs:write"]).await, &server.token(Some(&admin), &["runs:write"]).await]
    {
        let request = server.request(Method::POST, "/v1/agents/ada/runs").header("Idempotency-Key", "one");
        runs.push(
            send(request.bearer_auth(token).json(&json!({ "task": "hello" }))).await.expect(201)["run_id"].clone(),
        );
    }
    assert_ne!(runs[0], runs[1]);
}
