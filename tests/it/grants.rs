//! `/v1/vault/grants`: the components that may use a secret.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::harness::Server;

const GRANTS: &str = "/v1/vault/grants";
const SKILL: &str = "/v1/agents/ada/skills/misbehave";

async fn secret(server: &Server, name: &str) -> String {
    let body = json!({ "name": name, "value": "a-value-of-some-length" });
    server.post("/v1/vault/secrets", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Starts a server with a skill that requests the secret `key`, and that secret.
async fn asking() -> (Server, String) {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let id = secret(&server, "key").await;
    (server, id)
}

async fn missing(server: &Server) -> usize {
    server.get(SKILL).await.expect(200)["missing"]["secrets"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_agent_and_a_secret_suffice() {
    let (server, id) = asking().await;
    let mut events = server.events("event_type=vault.*&after=0").await;
    assert_eq!(missing(&server).await, 1);
    let made = server.post(GRANTS, json!({ "agent_id": "ada", "secret_id": id })).await.expect(201);
    let grant = &made["grants"][0];
    let skill = server.get(SKILL).await.expect(200);
    assert_eq!((&grant["skill_id"], &grant["digest"]), (&json!("misbehave"), &skill["digest"]));
    assert_eq!((&grant["mode"], &grant["hosts"]), (&json!("inject"), &json!(["api.example.com"])));
    assert_eq!((&grant["place"], &grant["uses"]), (&json!("header:Authorization"), &json!(0)));
    assert_eq!((&skill["granted"]["secrets"], &skill["missing"]["secrets"]), (&made["grants"], &json!([])));
    assert_eq!(server.get(GRANTS).await.expect(200), made["grants"]);
    let path = format!("{GRANTS}/{}", grant["id"].as_str().unwrap());
    server.delete(&path).await.expect(204);
    server.delete(&path).await.error(404, "grant_not_found");
    assert_eq!(missing(&server).await, 1);
    let told = events.until("vault.revoked").await;
    assert_eq!(told.iter().filter(|event| event.kind == "vault.granted").count(), 1);
}

#[tokio::test]
async fn what_comes_later_asks_anew() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let id = secret(&server, "key").await;
    let short = json!({ "agent_id": "ada", "secret_id": id });
    let message = server.post(GRANTS, short.clone()).await.error(409, "nothing_to_grant");
    assert!(message.contains("No skill of agent 'ada' asks for a secret 'key'"), "{message}");
    server.upload("ada", "misbehave").await.expect(201);
    server.post(GRANTS, short.clone()).await.expect(201);
    // Removed and installed again, the skill is another installation.
    server.delete(SKILL).await.expect(204);
    assert_eq!(server.get(GRANTS).await.expect(200), json!([]));
    server.upload("ada", "misbehave").await.expect(201);
    assert_eq!(missing(&server).await, 1);
    // So is another agent's skill.
    server.offline("bob", "echo").await;
    server.upload("bob", "misbehave").await.expect(201);
    server.post(GRANTS, short).await.expect(201);
    let bobs = server.get("/v1/agents/bob/skills/misbehave").await.expect(200);
    assert_eq!(bobs["granted"]["secrets"], json!([]));
    // Deleting the secret deletes its grants.
    server.delete(&format!("/v1/vault/secrets/{id}")).await.expect(204);
    assert_eq!((server.get(GRANTS).await.expect(200), missing(&server).await), (json!([]), 1));
}

#[tokio::test]
async fn a_grant_says_exactly_what_it_allows() {
    let (server, id) = asking().await;
    let other = secret(&server, "other").await;
    let base = json!({ "agent_id": "ada", "secret_id": id });
    let with = |more: Value| {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let exact = with(json!({
        "component": "misbehave", "secret_id": other, "name": "key", "hosts": ["B.example.com", "*.example.org"],
        "place": "query:key", "expires_at": "2999-01-01T00:00:00+02:00", "max_uses": 3,
    }));
    let grant = server.post(GRANTS, exact).await.expect(201)["grants"][0].clone();
    assert_eq!((&grant["hosts"], &grant["place"]), (&json!(["*.example.org", "b.example.com"]), &json!("query:key")));
    assert_eq!((&grant["expires_at"], &grant["max_uses"]), (&json!("2998-12-31T22:00:00.000Z"), &json!(3)));
    assert_eq!((&grant["name"], &grant["secret"]), (&json!("key"), &json!("other")));
    // A component's name for a secret stands for one secret.
    let message = server.post(GRANTS, with(json!({ "mode": "reveal" }))).await.error(409, "name_taken");
    let path = format!("{GRANTS}/{}", grant["id"].as_str().unwrap());
    assert!(message.contains(grant["id"].as_str().unwrap()), "{message}");
    server.delete(&path).await.expect(204);
    let revealed = server.post(GRANTS, with(json!({ "mode": "reveal" }))).await.expect(201)["grants"][0].clone();
    assert_eq!((&revealed["hosts"], &revealed["mode"]), (&json!([]), &json!("reveal")));
    for (wrong, field) in [
        (json!({ "hosts": ["*.com"] }), "hosts"),
        (json!({ "hosts": ["http://api.example.com"] }), "hosts"),
        (json!({ "hosts": ["http://*.example.com:80"] }), "hosts"),
        (json!({ "place": "footer" }), "place"),
        (json!({ "mode": "sign", "place": "body" }), "mode"),
        (json!({ "mode": "steal" }), "mode"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "max_uses": 0 }), "max_uses"),
        (json!({ "provider_id": "offline" }), "agent_id"),
        (json!({ "agent_id": null }), "agent_id"),
        (json!({ "agent_id": null, "provider_id": "offline", "component": "misbehave" }), "component"),
    ] {
        let message = server.post(GRANTS, with(wrong.clone())).await.error(400, "invalid_input");
        assert!(message.contains(&format!("`{field}`")), "{wrong}: {message}");
    }
    server.post(GRANTS, with(json!({ "component": "nobody" }))).await.error(404, "skill_not_found");
    server.post(GRANTS, with(json!({ "agent_id": "bob" }))).await.error(404, "agent_not_found");
    let unknown = format!("sec_{}", "0".repeat(8) + "-0000-7000-8000-000000000000");
    server.post(GRANTS, with(json!({ "secret_id": unknown }))).await.error(404, "secret_not_found");
    let provider = json!({ "provider_id": "offline", "secret_id": id });
    server.post(GRANTS, provider).await.error(409, "nothing_to_grant");
    let short = server.post("/v1/vault/secrets", json!({ "name": "short", "value": "1234567" })).await.expect(201);
    let short = with(json!({ "secret_id": short["id"], "name": "key" }));
    server.post(GRANTS, short).await.error(400, "secret_too_short");
}

#[tokio::test]
async fn a_grant_ends_in_time() {
    let (server, later) = Server::timed(|_| {}).await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let id = secret(&server, "key").await;
    let end = (OffsetDateTime::now_utc() + Duration::hours(1)).unix_timestamp();
    let end = OffsetDateTime::from_unix_timestamp(end).unwrap();
    let end = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "agent_id": "ada", "secret_id": id, "expires_at": end });
    server.post(GRANTS, body).await.expect(201);
    assert_eq!(missing(&server).await, 0);
    later.store(3601, Ordering::SeqCst);
    assert_eq!(missing(&server).await, 1);
}
