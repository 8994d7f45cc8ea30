//! `/v1/providers`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    http::StatusCode,
    response::IntoResponse as _,
    routing::{get, post},
};
use serde_json::json;

use crate::{harness::Server, peer::Peer};

#[tokio::test]
async fn a_provider_is_installed_asked_for_models_and_removed() {
    let server = Server::start().await;
    let body = json!({ "id": "local", "component": { "bundled": "offline" } });
    let answer = server.post("/v1/providers", body.clone()).await;
    assert_eq!(answer.headers["location"], "/v1/providers/local");
    let provider = answer.expect(201);
    assert_eq!((&provider["id"], &provider["name"]), (&json!("local"), &json!("offline")));
    assert!(provider["digest"].as_str().unwrap().starts_with("sha256:"));
    let models = server.get("/v1/providers/local/models").await.expect(200);
    assert_eq!((&models[0]["id"], &models[1]["id"]), (&json!("echo"), &json!("planner")));
    server.post("/v1/providers", body).await.error(409, "provider_exists");
    server.delete("/v1/providers/local").await.expect(204);
    server.get("/v1/providers/local").await.error(404, "provider_not_found");
}

#[tokio::test]
async fn a_provider_in_use_stays() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let refused = server.delete("/v1/providers/offline").await.error(409, "provider_in_use");
    assert_eq!(refused, "Provider 'offline' is used by: ada");
    assert_eq!(server.run("ada", "still here").await["output"], "still here");
}

#[tokio::test]
async fn a_changed_configuration_is_used_by_the_next_run() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "old" }])).await;
    let steps = json!({ "config": { "steps": [{ "text": "old" }, { "text": "new" }] } });
    server.patch("/v1/providers/ada", steps).await.expect(200);
    assert_eq!(server.run("ada", "a").await["output"], "old");
    assert_eq!(server.run("ada", "b").await["output"], "new");
}

#[tokio::test]
async fn a_skill_is_no_provider_and_a_provider_no_skill() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let body = json!({ "id": "text", "component": { "bundled": "text" } });
    let text = server.post("/v1/providers", body).await.error(400, "wrong_world");
    assert_eq!(text, "The component is a skill; install it by POST /v1/agents/{name}/skills/install");
    let body = json!({ "source": { "bundled": "offline" } });
    server.post("/v1/agents/ada/skills/install", body).await.error(400, "wrong_world");
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 1);
}

#[tokio::test]
async fn what_a_provider_does_wrong_ends_the_run_with_its_name() {
    let server = Server::with(|config| {
        config.plugins.provider_cpu = 100;
        config.plugins.first_token = 3000;
    })
    .await;
    let cases = [
        ("trap", json!([{ "text": "a", "trap": true }]), "component_trapped", "`trap` trapped"),
        ("spin", json!([{ "spin": true }]), "component_limit", "`spin` used up its 100 ms of processor time"),
        ("endless", json!([{ "text": "a", "no_stop": true }]), "component_trapped", "without saying why it stopped"),
        (
            "slow",
            json!([{ "text": "a", "delay_ms": 60_000 }]),
            "component_limit",
            "did not begin to answer within 3000 ms",
        ),
        (
            "error",
            json!([{ "error": { "kind": "rate_limited", "message": "slow down" } }]),
            "provider_rate_limited",
            "slow down",
        ),
        (
            "late",
            json!([{ "text": "a b c", "stream": true, "error_after": 2, "error": { "kind": "overloaded", "message": "too hot" } }]),
            "provider_overloaded",
            "too hot",
        ),
        (
            "long",
            json!([{ "text": "a b c", "stream": true, "error_after": 2, "error": { "kind": "context_too_long", "message": "no room" } }, { "text": "again" }]),
            "context_too_long",
            "no room",
        ),
        ("nothing", json!([]), "provider_rejected_request", "no step is left"),
    ];
    for (name, steps, code, message) in cases {
        server.scripted(name, steps).await;
        let run = server.run(name, "go").await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!(code)), "{run}");
        assert!(run["error"]["message"].as_str().unwrap().contains(message), "{run}");
        assert_eq!(server.get(&format!("/v1/agents/{name}")).await.expect(200)["status"], "error");
    }
    server.offline("ada", "echo").await;
    assert_eq!(server.run("ada", "fine").await["output"], "fine");
}

#[tokio::test]
async fn a_start_without_the_service_knows_its_models_and_prices() {
    let is_up = Arc::new(AtomicBool::new(true));
    let up = Arc::clone(&is_up);
    let models = get(move || async move {
        let pricing = json!({ "prompt": "0.000001", "completion": "0.000002" });
        let listed = json!({ "data": [{ "id": "m", "context_length": 8000, "pricing": pricing }] });
        if up.load(Ordering::SeqCst) { Json(listed).into_response() } else { StatusCode::NOT_FOUND.into_response() }
    });
    let chat = post(|| async {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "fine" }, "finish_reason": "stop" }],
                            "usage": { "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 } });
        ([("content-type", "text/event-stream")], format!("data: {chunk}\n\ndata: [DONE]\n\n"))
    });
    let peer = Peer::new(Router::new().route("/v1/models", models).route("/v1/chat/completions", chat)).await;
    let server = Server::start().await;
    let provider =
        json!({ "id": "router", "component": { "bundled": "openai" }, "config": { "base_url": peer.url("/v1") } });
    server.post("/v1/providers", provider).await.expect(201);
    let agent = json!({ "name": "ada", "provider": "router", "model": "m", "limits": { "max_cost": 1 } });
    server.post("/v1/agents", agent).await.expect(201);
    let home = server.stop().await;
    is_up.store(false, Ordering::SeqCst);
    let server = Server::at(home, |_| {}).await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["output"], "fine", "{run}");
    let detail = server.get(&format!("/v1/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert!(detail["usage"]["cost"].as_f64().unwrap() > 0.0, "{detail}");
}
