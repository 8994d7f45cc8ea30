//! `ETag`, `If-None-Match` and `If-Match`.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Server, form, send, test_component};

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.install("ada", "text").await;
    let run = server.run("ada", "hello").await;
    let run = format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap());
    for path in ["/v1/agents/ada", "/v1/agents/ada/skills/text", "/v1/providers/offline", &run] {
        let known = tag(&server.get(path).await);
        for tags in [known.clone(), format!("W/{known}"), format!("\"other\", {known}"), "*".into()] {
            let answer = send(server.request(Method::GET, path).header("If-None-Match", &tags)).await;
            assert_eq!(
                (answer.status.as_u16(), tag(&answer), &answer.body),
                (304, known.clone(), &json!("")),
                "{tags}"
            );
        }
        send(server.request(Method::GET, path).header("If-None-Match", "\"other\"")).await.expect(200);
    }
}

#[tokio::test]
async fn a_change_of_what_has_changed_is_refused() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let old = tag(&server.get("/v1/agents/ada").await);
    let patch = |tag: &str, body| server.request(Method::PATCH, "/v1/agents/ada").header("If-Match", tag).json(&body);
    let changed = send(patch(&old, json!({ "persona": "Be brief." }))).await;
    let new = tag(&changed);
    changed.expect(200);
    assert_eq!(tag(&server.get("/v1/agents/ada").await), new);
    for stale in [&*old, &format!("W/{new}"), "\"x\"", "x"] {
        send(patch(stale, json!({ "persona": null }))).await.error(412, "stale");
        let delete = server.request(Method::DELETE, "/v1/agents/ada").header("If-Match", stale);
        send(delete).await.error(412, "stale");
    }
    assert_eq!(server.get("/v1/agents/ada").await.body["persona"], "Be brief.");
    send(patch("*", json!({ "persona": null }))).await.expect(200);
    send(patch(&format!("\"x\", {}", tag(&server.get("/v1/agents/ada").await)), json!({ "persona": "!" })))
        .await
        .expect(200);

    let component = || form(std::fs::read(test_component("misbehave")).unwrap(), None);
    let skill = |method| server.request(method, "/v1/agents/ada/skills/misbehave").header("If-Match", "\"x\"");
    send(skill(Method::PUT).multipart(component())).await.error(412, "stale");
    send(skill(Method::DELETE)).await.error(412, "stale");
    let provider = |method| server.request(method, "/v1/providers/offline").header("If-Match", "\"x\"");
    send(provider(Method::PATCH).json(&json!({ "config": {} }))).await.error(412, "stale");
    send(provider(Method::DELETE)).await.error(412, "stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_change_the_same_version_one_wins() {
    let server = std::sync::Arc::new(Server::start().await);
    server.offline("ada", "echo").await;
    let known = tag(&server.get("/v1/agents/ada").await);
    let racers = (0..8).map(|number| {
        let (server, known) = (std::sync::Arc::clone(&server), known.clone());
        tokio::spawn(async move {
            let body = json!({ "persona": format!("Number {number}") });
            send(server.request(Method::PATCH, "/v1/agents/ada").header("If-Match", known).json(&body)).await.status
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap() == 200);
    }
    assert_eq!(won, 1);
}
