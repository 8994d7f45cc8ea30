//! Upgrades of skills, and rollbacks.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, send, test_component};

const SKILL: &str = "/v1/agents/ada/skills/plain";

async fn server() -> Server {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.upload("ada", "plain").await.expect(201);
    server
}

async fn upgrade(server: &Server, component: &str, accept: Option<&str>) -> Answer {
    server.upgrade("plain", std::fs::read(test_component(component)).unwrap(), accept).await
}

async fn version(server: &Server) -> Value {
    server.invoke("ada", "plain", "version", json!({})).await.expect(200)
}

#[tokio::test]
async fn a_version_that_asks_for_more_waits_for_consent() {
    let server = server().await;
    let old = server.get(SKILL).await.expect(200)["digest"].clone();
    let refused = upgrade(&server, "plain_wider", None).await;
    let more: Vec<_> = refused.body["details"].as_array().unwrap().iter().map(|d| d["reason"].clone()).collect();
    let wishes = ["host:api.example.com GET+POST", "secret:key header:Authorization api.example.com"];
    assert_eq!(more, wishes);
    refused.error(409, "consent_required");
    upgrade(&server, "plain_wider", Some(wishes[0])).await.error(409, "consent_required");
    assert_eq!(
        (version(&server).await, server.get(SKILL).await.expect(200)["digest"].clone()),
        (json!("1"), old.clone())
    );

    let upgraded = upgrade(&server, "plain_wider", Some(&wishes.join(","))).await.expect(200);
    assert_eq!((&upgraded["version"], &upgraded["previous"]), (&json!("2.0.0"), &old));
    // Consent grants the host; a secret needs a grant of its own.
    assert_eq!(upgraded["granted"], json!({ "hosts": upgraded["asked"]["hosts"], "secrets": [] }));
    assert_eq!(upgraded["missing"], json!({ "hosts": [], "secrets": upgraded["asked"]["secrets"] }));
    assert_eq!(version(&server).await, "2");

    let back = server.post(&format!("{SKILL}/rollback"), json!({})).await.expect(200);
    assert_eq!((&back["version"], &back["digest"]), (&json!("1.0.0"), &old));
    assert_eq!(back["granted"], json!({ "hosts": [], "secrets": [] }));
    assert_eq!(version(&server).await, "1");
    let mut events = server.events("agent_id=ada&event_type=skill.upgraded&event_type=skill.rolled_back&after=0").await;
    let events = events.until("skill.rolled_back").await;
    assert_eq!(
        events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["skill.upgraded", "skill.rolled_back"]
    );
}

#[tokio::test]
async fn consent_belongs_to_the_version_that_it_was_given_to() {
    let server = server().await;
    upgrade(&server, "plain_wider", Some("all")).await.expect(200);
    server.post(&format!("{SKILL}/rollback"), json!({})).await.expect(200);
    // The same bytes again, with consent to nothing more than they ask for: nothing changes.
    let again = upgrade(&server, "plain", Some("all")).await.expect(200);
    assert_eq!((&again["version"], &again["granted"]["hosts"]), (&json!("1.0.0"), &json!([])));
    let forth = server.post(&format!("{SKILL}/rollback"), json!({})).await.expect(200);
    assert_eq!(forth["granted"]["hosts"], forth["asked"]["hosts"]);
    // Later consent is reported, too.
    server.delete(SKILL).await.expect(204);
    server.upload("ada", "plain_wider").await.expect(201);
    let granted = upgrade(&server, "plain_wider", Some("host:api.example.com GET+POST")).await.expect(200);
    assert_eq!(granted["missing"]["hosts"], json!([]));
    let mut events = server.events("agent_id=ada&event_type=skill.upgraded&after=0").await;
    events.next().await.unwrap();
    let told = events.next().await.unwrap().data["payload"].clone();
    assert_eq!((&told["from"], &told["accepted"]), (&told["to"], &json!(["host:api.example.com GET+POST"])));
}

#[tokio::test]
async fn both_versions_are_there_after_a_restart() {
    let server = server().await;
    upgrade(&server, "plain_wider", Some("all")).await.expect(200);
    let server = Server::at(server.stop().await, |config| config.plugins.compiler = Some("/nonexistent".into())).await;
    assert_eq!(version(&server).await, "2");
    server.post(&format!("{SKILL}/rollback"), json!({})).await.expect(200);
    assert_eq!(version(&server).await, "1");
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_version_that_it_began_with() {
    let server = server().await;
    upgrade(&server, "plain_wider", Some("all")).await.expect(200);
    let mut events = server.events("agent_id=ada").await;
    let slow = server.invoke("ada", "plain", "slowly", json!({}));
    let meanwhile = async {
        events.until("skill.invoked").await;
        server.post(&format!("{SKILL}/rollback"), json!({})).await.expect(200);
        version(&server).await
    };
    let (slow, meanwhile) = tokio::join!(slow, meanwhile);
    assert_eq!((slow.expect(200), meanwhile), (json!("2"), json!("1")));
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused() {
    let server = server().await;
    server.post(&format!("{SKILL}/rollback"), json!({})).await.error(409, "nothing_to_roll_back");
    upgrade(&server, "misbehave", Some("all")).await.error(400, "another_skill");
    upgrade(&server, "trap_in_manifest", Some("all")).await.error(400, "invalid_component");
    let elsewhere = server.request(Method::PUT, "/v1/agents/ada/skills/none");
    send(elsewhere.json(&json!({ "source": { "bundled": "text" } }))).await.error(404, "skill_not_found");
    let wrong = json!({ "source": { "bundled": "text" }, "accept": "some" });
    send(server.request(Method::PUT, SKILL).json(&wrong)).await.error(400, "invalid_input");
    assert_eq!(version(&server).await, "1");
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 2);
}
