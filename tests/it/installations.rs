//! What is the same for every kind of component: upgrade with consent, rollback, configuration, and that nobody
//! without `vault:write` ends with more than was granted.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::Method;
use serde_json::{Value, json};

use futures_util::{StreamExt as _, stream};
use moxxy_types::digest::Digest;

use crate::{
    harness::{Answer, Server, form, send, test_component},
    peer::{self, Peer},
};

const PROVIDER: &str = "/v1/providers/teller";
const SKILL: &str = "/v1/agents/ada/skills/configured";

fn component(name: &str) -> Value {
    json!({ "base64": BASE64.encode(std::fs::read(test_component(name)).unwrap()) })
}

async fn teller(server: &Server) {
    let provider = json!({ "id": "teller", "component": component("teller"), "config": { "place": "home" } });
    server.post("/v1/providers", provider).await.expect(201);
    server.post("/v1/agents", json!({ "name": "ada", "provider": "teller", "model": "teller" })).await.expect(201);
}

async fn upgrade(server: &Server, body: Value) -> Answer {
    server.post(&format!("{PROVIDER}/upgrade"), body).await
}

#[tokio::test]
async fn a_provider_is_upgraded_and_rolled_back_while_agents_use_it() {
    let server = Server::start().await;
    teller(&server).await;
    assert_eq!(server.run("ada", "go").await["output"], "1 at home");
    let old = server.get(PROVIDER).await.expect(200)["digest"].clone();
    // It asks for more, and the old one stays.
    let refused = upgrade(&server, json!({ "component": component("teller_wider") })).await;
    assert_eq!(refused.body["details"][0]["reason"], "host:api.example.com GET");
    refused.error(409, "consent_required");
    assert_eq!(server.get(PROVIDER).await.expect(200)["digest"], old);
    let mut events = server.events("event_type=provider.*").await;
    let wanted = json!({ "component": component("teller_wider"), "accept": "all" });
    let upgraded = upgrade(&server, wanted.clone()).await.expect(200);
    assert_eq!((&upgraded["version"], &upgraded["previous"]), (&json!("2.0.0"), &old));
    assert_eq!(events.until("provider.upgraded").await.pop().unwrap().data["payload"]["from"], old);
    assert_eq!(server.run("ada", "go").await["output"], "2 at home");
    let back = server.post(&format!("{PROVIDER}/rollback"), json!({})).await.expect(200);
    assert_eq!((&back["version"], &back["digest"]), (&json!("1.0.0"), &old));
    events.until("provider.rolled_back").await;
    assert_eq!(server.run("ada", "go").await["output"], "1 at home");
    // If the configuration does not match the new schema, the error lists the fields. The upgrade can change it.
    server.patch(PROVIDER, json!({ "config": { "place": "a long way off" } })).await.expect(200);
    let unfit = upgrade(&server, wanted.clone()).await;
    assert!(unfit.body["details"][0]["field"].as_str().unwrap().contains("place"), "{unfit:?}");
    unfit.error(409, "config_does_not_fit");
    let mut fitting = wanted;
    fitting["config"] = json!({ "place": "near" });
    upgrade(&server, fitting).await.expect(200);
    assert_eq!(server.run("ada", "go").await["output"], "2 at near");
    // A client that has seen another state goes back to nothing.
    let stale = server.request(Method::POST, &format!("{PROVIDER}/rollback")).header("If-Match", "\"stale\"");
    send(stale).await.error(412, "stale");
    server.post(&format!("{PROVIDER}/rollback"), json!({})).await.expect(200);
    // Another component does not take its place.
    upgrade(&server, json!({ "component": component("caller") })).await.error(400, "another_provider");
    upgrade(&server, json!({ "component": { "bundled": "text" } })).await.error(400, "wrong_world");
    server.post("/v1/providers/nobody/rollback", json!({})).await.error(404, "provider_not_found");
    let home = server.stop().await;
    let server = Server::at(home, |_| {}).await;
    assert_eq!(server.run("ada", "go").await["output"], "1 at a long way off");
}

#[tokio::test]
async fn a_skill_is_configured_and_reaches_the_host_of_its_configuration() {
    let peer = Peer::new(Router::new().route("/look", get(|| async { "found" }))).await;
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let install = "/v1/agents/ada/skills/install";
    let with = |config: Value| json!({ "component": component("configured"), "config": config });
    server.post(install, with(json!({ "units": "feet" }))).await.error(400, "invalid_input");
    server.post(install, with(json!({ "other": 1 }))).await.error(400, "invalid_input");
    let bytes = std::fs::read(test_component("configured")).unwrap();
    let uploaded = form(bytes, None).text("config", r#"{"units": "imperial"}"#);
    let skill = send(server.request(Method::POST, install).multipart(uploaded)).await.expect(201);
    assert_eq!(skill["config"], json!({ "units": "imperial" }));
    assert_eq!(skill["config_schema"]["properties"]["units"]["default"], "metric");
    assert_eq!(skill["missing"]["hosts"][0]["host"], "config:base_url");
    assert_eq!(server.invoke("ada", "configured", "units", json!({})).await.expect(200), "imperial");
    // A component without options takes none.
    let useless = json!({ "component": component("plain"), "config": { "units": "metric" } });
    server.post(install, useless).await.error(400, "invalid_input");
    // A merge patch: what is absent stays, `null` takes away.
    let mut events = server.events("agent_id=ada&event_type=skill.configured").await;
    let patched = server.patch(SKILL, json!({ "config": { "base_url": peer.url("") } })).await.expect(200);
    assert_eq!((&patched["config"]["units"], &patched["missing"]["hosts"]), (&json!("imperial"), &json!([])));
    let told = events.until("skill.configured").await.pop().unwrap();
    assert_eq!(told.data["payload"]["changed"], json!(["base_url"]));
    assert_eq!(server.invoke("ada", "configured", "look", json!({})).await.expect(200), "found");
    server.patch(SKILL, json!({ "config": { "units": null } })).await.expect(200);
    assert_eq!(server.invoke("ada", "configured", "units", json!({})).await.expect(200), "metric");
    server.patch(SKILL, json!({ "config": { "units": 7 } })).await.error(400, "invalid_input");
    server.patch(SKILL, json!({ "concurrency": 7 })).await.error(400, "invalid_input");
    // Without `vault:write` nobody names a private host, or moves to one.
    let token = server.token(None, &["agents:write", "runs:write"]).await;
    let as_token = |body: Value| send(server.request(Method::PATCH, SKILL).bearer_auth(&token).json(&body));
    let moved = as_token(json!({ "config": { "base_url": "http://127.0.0.1:9" } })).await.expect(200);
    assert_eq!(moved["granted"]["hosts"], json!([]), "{moved}");
    let public = as_token(json!({ "config": { "base_url": "https://api.example.com" } })).await.expect(200);
    assert_eq!(public["granted"]["hosts"][0]["host"], "api.example.com", "{public}");
}

#[tokio::test]
async fn a_rollback_restores_nothing_that_was_revoked() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let skill = "/v1/agents/ada/skills/plain";
    let bytes = |name: &str| std::fs::read(test_component(name)).unwrap();
    server.upload_bytes("ada", bytes("plain")).await.expect(201);
    server.upgrade("plain", bytes("plain_wider"), Some("all")).await.expect(200);
    // The same component with other bytes: a section that nobody reads.
    let mut other = bytes("plain_wider");
    other.extend([0, 3, 1, b'x', 0]);
    server.upgrade("plain", other, None).await.expect(200);
    let host = "host:api.example.com GET+POST";
    let revoked = send(server.request(Method::PUT, skill).json(&json!({ "revoke": [host] }))).await.expect(200);
    assert_eq!(revoked["granted"]["hosts"], json!([]));
    let back = server.post(&format!("{skill}/rollback"), json!({})).await.expect(200);
    assert_eq!(back["granted"]["hosts"], json!([]), "{back}");
}

/// Serves a component. A request for all of it breaks in the middle; a range request succeeds.
async fn broken_service(bytes: Vec<u8>) -> Peer {
    let serve = move |headers: HeaderMap| {
        let bytes = bytes.clone();
        async move {
            let range =
                headers.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-'));
            let from: Option<usize> = range.and_then(|from| from.parse().ok());
            match from {
                Some(from) if headers.get("if-range").is_some_and(|tag| tag == "\"v1\"") => {
                    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                    (StatusCode::PARTIAL_CONTENT, [("content-range", range)], bytes[from..].to_vec()).into_response()
                }
                _ => {
                    let half = bytes[..bytes.len() / 2].to_vec();
                    let breaks = async {
                        // Until then the first half is on its way.
                        for _ in 0..1000 {
                            tokio::task::yield_now().await;
                        }
                        Err(std::io::Error::other("broken"))
                    };
                    let body = Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(breaks)));
                    ([("etag", "\"v1\"")], body).into_response()
                }
            }
        }
    };
    let missing = get(|| async { StatusCode::NOT_FOUND });
    Peer::new(Router::new().route("/text.wasm", get(serve)).route("/missing", missing)).await
}

#[tokio::test]
async fn a_component_is_downloaded_by_its_digest_and_resumed() {
    let bytes = std::fs::read(test_component("plain")).unwrap();
    let digest = Digest::compute(&bytes).to_string();
    let peer = broken_service(bytes).await;
    let server = peer::reaching(&peer).await;
    let install = async |url: String, digest: Option<&str>| {
        let body = json!({ "component": { "url": url }, "digest": digest });
        server.post("/v1/agents/ada/skills/install", body).await
    };
    let url = peer.url("/text.wasm");
    install(url.clone(), None).await.error(400, "invalid_input");
    let other = Digest::compute(b"other").to_string();
    install(url.clone(), Some(&other)).await.error(400, "digest_mismatch");
    let missing = install(peer.url("/missing"), Some(&digest)).await.error(400, "invalid_input");
    assert!(missing.contains("404"), "{missing}");
    let elsewhere = install("http://127.0.0.1:1/text.wasm".into(), Some(&digest)).await.error(400, "invalid_input");
    assert!(elsewhere.contains("cannot be downloaded"), "{elsewhere}");
    let skill = install(url, Some(&digest)).await.expect(201);
    assert_eq!((&skill["skill_id"], &skill["digest"]), (&json!("plain"), &json!(digest)));
    assert_eq!(server.invoke("ada", "plain", "version", json!({})).await.expect(200), "1");
}
