//! Actions that a token with only `agents:write`, another agent or a model cannot perform.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, form, send, test_component},
    outcomes::outcome,
    secrets::{Trial, VALUE},
};

/// Token with every permission except the vault's.
struct Agents<'t> {
    trial: &'t Trial,
    token: String,
}

impl Agents<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.trial.server.request(method, path).bearer_auth(&self.token)
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Answer {
        send(self.request(method, path).json(&body)).await
    }

    async fn upload(&self, method: Method, path: &str, component: &str) -> Answer {
        let bytes = std::fs::read(test_component(component)).unwrap();
        send(self.request(method, path).multipart(form(bytes, Some("all")))).await
    }
}

async fn agents(trial: &Trial) -> Agents<'_> {
    let scopes = ["agents:read", "agents:write", "runs:write", "events:read", "vault:read"];
    let token = trial.server.token(None, &scopes).await;
    Agents { trial, token }
}

pub(crate) fn caller() -> Value {
    let bytes = std::fs::read(test_component("caller")).unwrap();
    json!({ "base64": base64(&bytes) })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_vault_gives_no_component_a_secret() {
    let trial = Trial::new().await;
    let mine = agents(&trial).await;
    let skill = "/v1/agents/ada/skills/keeper";
    let held = |answer: &Value| answer["granted"]["secrets"].as_array().unwrap().len();
    // By consent: at the install, at an upgrade, or separately.
    send(mine.request(Method::DELETE, skill)).await.expect(204);
    let installed = mine.upload(Method::POST, "/v1/agents/ada/skills/install", "keeper").await.expect(201);
    assert_eq!((held(&installed), installed["missing"]["secrets"][0]["name"].as_str()), (0, Some("key")));
    assert_eq!(held(&mine.upload(Method::PUT, skill, "keeper").await.expect(200)), 0);
    let accept = json!({ "accept": ["secret:key header:Authorization localhost"] });
    mine.json(Method::PUT, skill, accept.clone()).await.error(403, "insufficient_scope");
    // By a grant of any kind.
    let grant = json!({ "agent_id": "ada", "secret_id": trial.secret });
    let denied = mine.json(Method::POST, "/v1/vault/grants", grant).await.error(403, "insufficient_scope");
    assert!(denied.contains("vault:write"), "{denied}");
    outcome("agents:write alone: consent to a secret, by whatever way", "the secret is missing");
    outcome("agents:write alone: a grant", &denied);
    // By a host that is not public.
    let place = format!("host:127.0.0.1:{} GET", trial.peer.port + 1);
    let refused = mine.json(Method::PUT, skill, json!({ "accept": [place] })).await.error(403, "insufficient_scope");
    outcome("agents:write alone: a place that is not public", &refused);
    trial.send().await.error(500, "tool_failed");
    assert_eq!(trial.count(), 0);
    // With the scope, the consent needs nothing more.
    send(trial.server.request(Method::PUT, skill).json(&accept)).await.expect(200);
    trial.send().await.expect(200);
    // A grant to this version does not hold for the next one.
    let next = std::fs::read(test_component("keeper")).unwrap();
    let next = [next, b"\0\x05\x04more".to_vec()].concat();
    let upgraded = send(mine.request(Method::PUT, skill).multipart(form(next, Some("all")))).await.expect(200);
    assert_eq!(held(&upgraded), 0);
    trial.send().await.error(500, "tool_failed");
    // Nor does a rollback bring it back.
    let back = send(mine.request(Method::POST, &format!("{skill}/rollback"))).await.expect(200);
    assert_eq!(held(&back), 0);
    outcome("agents:write alone: back to a version that has a secret", "the secret is missing");
    trial.send().await.error(500, "tool_failed");
    assert_eq!(trial.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_follows_a_providers_host_only_with_the_vault() {
    let trial = Trial::new().await;
    let mine = agents(&trial).await;
    let server = &trial.server;
    let base = trial.url("");
    let provider = |config: Value| json!({ "id": "caller", "component": caller(), "config": config });
    let mut with_secret = provider(json!({ "base_url": base }));
    with_secret["secrets"] = json!({ "key": "key" });
    mine.json(Method::POST, "/v1/providers", with_secret.clone()).await.error(403, "insufficient_scope");
    let installed = server.post("/v1/providers", with_secret).await.expect(201);
    assert_eq!(installed["granted"]["secrets"][0]["hosts"], json!(["localhost"]));
    server.post("/v1/agents", json!({ "name": "eve", "provider": "caller", "model": "echo" })).await.expect(201);
    server.run("eve", "a task").await;
    assert!(trial.last().contains(&format!("authorization: Bearer {VALUE}\n")), "{}", trial.last());
    let history = server.get("/v1/agents/eve/history").await.expect(200).to_string();
    assert!(history.contains("Bearer [secret key]") && !history.contains(&VALUE[..8]), "{history}");
    // Change to another host, to another port, to none, and back again.
    let path = "/v1/providers/caller";
    for moved in ["https://127.0.0.1:1/", "https://localhost:1/", "http://evil.example/"] {
        let config = json!({ "config": { "base_url": moved } });
        let denied = mine.json(Method::PATCH, path, config).await.error(403, "insufficient_scope");
        assert!(denied.contains("vault:write"), "{denied}");
        outcome(&format!("agents:write alone: a provider's host becomes {moved}"), &denied);
    }
    let nonsense = json!({ "config": { "base_url": "nonsense" } });
    mine.json(Method::PATCH, path, nonsense).await.error(400, "invalid_input");
    mine.json(Method::PATCH, path, json!({ "config": { "base_url": null } })).await.error(403, "insufficient_scope");
    mine.json(Method::PATCH, path, json!({ "secrets": { "key": "key" } })).await.error(403, "insufficient_scope");
    // Changes that keep the host are allowed.
    let same = json!({ "config": { "base_url": format!("{base}/v1"), "other": true } });
    mine.json(Method::PATCH, path, same).await.expect(200);
    let count = trial.count();
    let moved = json!({ "config": { "base_url": format!("https://127.0.0.1:{}", trial.peer.port) } });
    let moved = send(server.request(Method::PATCH, path).json(&moved)).await.expect(200);
    assert_eq!(moved["granted"]["secrets"][0]["hosts"], json!(["127.0.0.1"]));
    server.run("eve", "a task").await;
    assert_eq!(trial.count(), count + 1);
    assert!(trial.last().contains(&format!("authorization: Bearer {VALUE}\n")), "{}", trial.last());
    // Without a host the grant has ended, and is reported as missing.
    let gone =
        send(server.request(Method::PATCH, path).json(&json!({ "config": { "base_url": null } }))).await.expect(200);
    assert_eq!((&gone["granted"]["secrets"], &gone["missing"]["secrets"][0]["name"]), (&json!([]), &json!("key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_can_be_taken_back() {
    let trial = Trial::new().await;
    trial.grant(json!({})).await;
    trial.send().await.expect(200);
    let skill = "/v1/agents/ada/skills/keeper";
    let put = async |body: Value| send(trial.server.request(Method::PUT, skill).json(&body)).await;
    put(json!({ "revoke": ["host:other GET"] })).await.error(400, "invalid_input");
    let left = put(json!({ "revoke": ["host:localhost GET+POST"] })).await.expect(200);
    assert_eq!(left["missing"]["hosts"][0]["host"], "localhost");
    let refused = trial.send().await.error(500, "tool_failed");
    assert!(refused.contains("it may not reach localhost"), "{refused}");
    assert_eq!(trial.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_public_takes_the_vault() {
    let trial = Trial::new().await;
    let mine = agents(&trial).await;
    let path = "/v1/providers/local";
    // No rule allows this host for all components.
    let config = json!({ "base_url": "http://localhost:1/" });
    let new = json!({ "id": "local", "component": caller(), "config": config });
    let installed = mine.json(Method::POST, "/v1/providers", new).await.expect(201);
    assert_eq!(installed["missing"]["hosts"][0]["host"], "config:base_url");
    let accept = json!({ "accept": ["host:localhost:1 GET"] });
    mine.json(Method::PATCH, path, accept.clone()).await.error(403, "insufficient_scope");
    let still = mine.json(Method::PATCH, path, json!({ "accept": "all" })).await.expect(200);
    assert_eq!(still["missing"]["hosts"].as_array().unwrap().len(), 1);
    let granted = send(trial.server.request(Method::PATCH, path).json(&accept)).await.expect(200);
    assert_eq!(
        (&granted["missing"]["hosts"], &granted["granted"]["hosts"][0]["host"]),
        (&json!([]), &json!("localhost:1"))
    );
    // The consent is for that host, not for the next one in the configuration.
    let moved = json!({ "config": { "base_url": "http://localhost:2/" } });
    let moved = mine.json(Method::PATCH, path, moved).await.expect(200);
    assert_eq!(moved["missing"]["hosts"][0]["host"], "config:base_url");
    // Consent by the name in the manifest works, too.
    let named = json!({ "accept": ["host:config:base_url GET"] });
    let named = send(trial.server.request(Method::PATCH, path).json(&named)).await.expect(200);
    assert_eq!(named["granted"]["hosts"][0]["host"], "localhost:2");
    // A token with the scope consents by configuring the host.
    let named = json!({ "config": { "base_url": "http://localhost:3/" } });
    let named = send(trial.server.request(Method::PATCH, path).json(&named)).await.expect(200);
    assert_eq!(named["missing"]["hosts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_knows_a_secret_gets_no_host_more_without_the_vault() {
    let trial = Trial::new().await;
    let mine = agents(&trial).await;
    let skill = "/v1/agents/ada/skills/keeper";
    send(mine.request(Method::DELETE, skill)).await.expect(204);
    let bytes = std::fs::read(test_component("keeper")).unwrap();
    let install = trial.server.request(Method::POST, "/v1/agents/ada/skills/install");
    send(install.multipart(form(bytes, None))).await.expect(201);
    trial.grant(json!({ "mode": "reveal" })).await;
    let accept = json!({ "accept": ["host:localhost GET+POST"] });
    let denied = mine.json(Method::PUT, skill, accept.clone()).await.error(403, "insufficient_scope");
    assert!(denied.contains("knows the secret 'key'"), "{denied}");
    outcome("agents:write alone: one host more for who knows a secret", &denied);
    let next = [std::fs::read(test_component("keeper")).unwrap(), b"\0\x05\x04more".to_vec()].concat();
    let over = send(mine.request(Method::PUT, skill).multipart(form(next, Some("host:localhost GET+POST"))));
    // Another component in its place could read what it keeps.
    let denied = over.await.error(403, "insufficient_scope");
    assert!(denied.contains("knows the secret 'key'"), "{denied}");
    send(trial.server.request(Method::PUT, skill).json(&accept)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agents_secret_is_another_agents() {
    let trial = Trial::new().await;
    trial.grant(json!({})).await;
    trial.server.offline("bob", "echo").await;
    trial.server.accepted("bob", "keeper").await;
    // The consent of that install is only for bob.
    let mine = trial.server.get("/v1/agents/bob/skills/keeper").await.expect(200);
    let id = mine["granted"]["secrets"][0]["id"].as_str().unwrap();
    trial.server.delete(&format!("/v1/vault/grants/{id}")).await.expect(204);
    let request = json!({ "url": trial.url("/a"), "headers": [["Authorization", "Bearer {key}"]] });
    let denied = trial.server.invoke("bob", "keeper", "send", request).await.error(500, "tool_failed");
    assert!(denied.contains("\"agent_id\":\"bob\""), "{denied}");
    outcome("another agent's secret", &denied);
    trial.send().await.expect(200);
    assert_eq!(trial.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_revoked_between_two_calls_of_a_run_ends_there() {
    let trial = Trial::new().await;
    let (grant, server) = (trial.grant(json!({})).await, &trial.server);
    let call = |path: &str| {
        let arguments = json!({ "url": trial.url(path), "headers": [["Authorization", "Bearer {key}"]] });
        json!({ "tool_calls": [{ "name": "keeper__send", "arguments": arguments }] })
    };
    let steps = json!([call("/gate"), call("/a"), { "record": true }]);
    let script = json!({ "id": "script", "component": { "bundled": "script" }, "config": { "steps": steps } });
    server.post("/v1/providers", script).await.expect(201);
    server.patch("/v1/agents/ada", json!({ "provider": "script", "model": "script" })).await.expect(200);
    let mut events = server.events("agent_id=ada&event_type=vault.*&event_type=run.completed").await;
    server.start_run("ada", json!({ "task": "Use the secret twice" })).await;
    events.until("vault.accessed").await;
    server.delete(&format!("/v1/vault/grants/{grant}")).await.expect(204);
    trial.gate.notify_one();
    let told = events.until("run.completed").await;
    assert!(told.iter().any(|event| event.kind == "vault.denied"));
    // The model gets the error, with the call that would allow it.
    let output = told.last().unwrap().data["payload"]["output"].as_str().unwrap();
    assert!(
        output.contains("no grant lets `keeper` use the secret") && output.contains("POST /v1/vault/grants"),
        "{output}"
    );
    assert_eq!(trial.count(), 1);
    let audit = server.get("/v1/audit?event_type=vault.*&limit=3").await.expect(200);
    let kinds: Vec<_> = audit.as_array().unwrap().iter().map(|entry| entry["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["vault.denied", "vault.revoked", "vault.accessed"]);
    assert_eq!((&audit[0]["actor"], &audit[1]["actor"]), (&json!("component:keeper"), &json!("local")));
}
