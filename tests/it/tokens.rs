//! `/v1/auth/tokens`: creation of the first token, permissions of tokens, and their end.

use std::sync::{Arc, atomic::Ordering};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{PATIENCE, Server, http, send},
    outcomes::outcome,
};

fn create(server: &Server) -> RequestBuilder {
    server.request(Method::POST, "/v1/auth/tokens").json(&json!({ "scopes": ["*"] }))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_that_race_one_makes_the_first_token() {
    let server = Arc::new(Server::start().await);
    let race = (0..100).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            // A connection for each request.
            let client = http();
            let url = format!("{}/v1/auth/tokens", server.url);
            client.post(url).json(&json!({ "scopes": ["*"] })).send().await.unwrap().status().as_u16()
        })
    });
    let mut statuses = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        statuses.push(racer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 401), "{statuses:?}");
}

#[tokio::test]
async fn once_there_is_a_token_tokens_take_one_on_this_machine_too() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/auth/tokens").await.expect(200), json!([]));
    let first = server.token(None, &["*"]).await;
    send(create(&server)).await.error(401, "unauthenticated");
    server.get("/v1/auth/tokens").await.error(401, "unauthenticated");
    // Everything else is as it was.
    server.get("/v1/agents").await.expect(200);
    let listed = send(server.request(Method::GET, "/v1/auth/tokens").bearer_auth(&first)).await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["created_by"], "bootstrap");
    assert!(!listed.to_string().contains(&first));
    // And after a restart.
    let server = Server::at(server.stop().await, |_| {}).await;
    send(create(&server)).await.error(401, "unauthenticated");
}

#[tokio::test]
async fn from_elsewhere_the_first_token_takes_the_code_of_the_start() {
    let (server, later) = Server::timed(|config| config.server.loopback = false).await;
    let elsewhere = || create(&server).header("X-Forwarded-For", "192.0.2.7");
    send(elsewhere()).await.error(401, "unauthenticated");
    // Without loopback trust, this machine is like any other.
    let refused = send(create(&server)).await.error(401, "unauthenticated");
    assert!(refused.contains("one-time code that the server printed at its start"), "{refused}");
    outcome("MOXXY_LOOPBACK=false: the first token without the code", &refused);
    let code = server.bootstrap_code();
    let with = |code: &str| elsewhere().bearer_auth(code);
    let wrong = format!("boot_{}", "A".repeat(43));
    for _ in 0..3 {
        send(with(&wrong)).await.error(401, "unauthenticated");
    }
    // The code is valid for nothing else.
    let agents = server.request(Method::GET, "/v1/agents").bearer_auth(&code);
    send(agents).await.error(401, "unauthenticated");
    later.store(15 * 60, Ordering::SeqCst);
    send(with(&code)).await.error(401, "unauthenticated");
    later.store(15 * 60 - 10, Ordering::SeqCst);
    send(with(&code)).await.expect(201);
    send(with(&code)).await.error(401, "unauthenticated");
    send(create(&server)).await.error(401, "unauthenticated");
}

#[tokio::test]
async fn with_the_trust_off_the_code_is_needed_on_this_machine_too() {
    let server = Server::with(|config| config.server.loopback = false).await;
    send(create(&server)).await.error(401, "unauthenticated");
    send(create(&server).bearer_auth(server.bootstrap_code())).await.expect(201);
}

#[tokio::test]
async fn a_code_can_be_tried_a_few_times_only() {
    let server = Server::with(|config| config.server.loopback = false).await;
    let wrong = format!("boot_{}", "A".repeat(43));
    for _ in 0..10 {
        send(create(&server).bearer_auth(&wrong)).await.error(401, "unauthenticated");
    }
    let answer = send(create(&server).bearer_auth(server.bootstrap_code())).await;
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    answer.error(429, "too_many_requests");
}

#[tokio::test]
async fn failed_attempts_have_a_strict_bucket_that_valid_tokens_do_not_touch() {
    let server = Server::with(|config| config.server.loopback = false).await;
    let token = server.token(None, &["*"]).await;
    let get = |token: &str| server.request(Method::GET, "/v1/agents").bearer_auth(token);
    // The one-time code counts as an attempt, too.
    for _ in 0..9 {
        send(get("mox_wrong")).await.error(401, "unauthenticated");
    }
    send(get("mox_wrong")).await.error(429, "too_many_requests");
    send(get(&token)).await.expect(200);
}

#[tokio::test]
async fn a_token_ends_when_it_expires_or_is_revoked() {
    let (server, later) = Server::timed(|config| config.server.loopback = false).await;
    let admin = server.token(None, &["*"]).await;
    let body = json!({ "scopes": ["agents:read"], "description": "for a day", "expires_in_seconds": 86_400 });
    let request = server.request(Method::POST, "/v1/auth/tokens").bearer_auth(&admin).json(&body);
    let issued = send(request).await.expect(201);
    let text = issued["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("mox_") && text.len() == 47, "{text}");
    let get = |token: &str| server.request(Method::GET, "/v1/agents").bearer_auth(token);
    send(get(&text)).await.expect(200);
    later.store(86_399, Ordering::SeqCst);
    send(get(&text)).await.expect(200);
    later.store(86_401, Ordering::SeqCst);
    send(get(&text)).await.error(401, "unauthenticated");

    let body = json!({ "scopes": ["agents:read"] });
    let request = server.request(Method::POST, "/v1/auth/tokens").bearer_auth(&admin).json(&body);
    let issued = send(request).await.expect(201);
    let (text, path) =
        (issued["token"].as_str().unwrap(), format!("/v1/auth/tokens/{}", issued["id"].as_str().unwrap()));
    assert_eq!(issued["expires_at"], json!(null));
    send(get(text)).await.expect(200);
    let revoke = || server.request(Method::DELETE, &path).bearer_auth(&admin);
    send(revoke()).await.expect(204);
    send(get(text)).await.error(401, "unauthenticated");
    send(revoke()).await.expect(204);
    let listed = send(server.request(Method::GET, "/v1/auth/tokens").bearer_auth(&admin)).await.expect(200);
    let revoked = listed.as_array().unwrap().iter().find(|token| token["id"] == issued["id"]).unwrap();
    assert!(revoked["revoked_at"].is_string() && revoked["last_used_at"].is_string(), "{revoked}");
}

#[tokio::test]
async fn a_token_makes_none_with_more_than_it_has() {
    let server = Server::start().await;
    let first = server.token(None, &["*"]).await;
    let some = server.token(Some(&first), &["tokens:admin", "agents:read"]).await;
    let by = |token: &str, body| server.request(Method::POST, "/v1/auth/tokens").bearer_auth(token).json(&body);
    send(by(&some, json!({ "scopes": ["agents:read"] }))).await.expect(201);
    for scope in ["runs:write", "*"] {
        let message =
            send(by(&some, json!({ "scopes": ["agents:read", scope] }))).await.error(403, "insufficient_scope");
        assert!(message.contains(scope), "{message}");
    }
    for body in [
        json!({ "scopes": ["agents:fly"] }),
        json!({ "scopes": [] }),
        json!({ "scopes": ["*"], "expires_in_seconds": 0 }),
        json!({ "scopes": ["*"], "expires_in_seconds": i64::MAX }),
        json!({ "scopes": ["*"], "description": "a".repeat(2000) }),
    ] {
        send(by(&first, body)).await.error(400, "invalid_input");
    }
}

#[tokio::test]
async fn what_happens_to_tokens_is_told_without_the_tokens() {
    let server = Server::start().await;
    let first = server.token(None, &["*"]).await;
    let reader = server.token(Some(&first), &["events:read"]).await;
    let with = |token: &str, method, path: &str| send(server.request(method, path).bearer_auth(token));
    with("mox_nobody", Method::GET, "/v1/agents").await.error(401, "unauthenticated");
    with(&reader, Method::GET, "/v1/agents").await.error(403, "insufficient_scope");
    let listed = with(&first, Method::GET, "/v1/auth/tokens").await.expect(200);
    let id = listed[1]["id"].as_str().unwrap();
    with(&first, Method::DELETE, &format!("/v1/auth/tokens/{id}")).await.expect(204);
    let events = server.events("event_type=token.*&after=0").await.until("token.revoked").await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["token.created", "token.created", "token.denied", "token.denied", "token.revoked"]);
    let payload = |at: usize| &events[at].data["payload"];
    assert_eq!(payload(1)["by"], listed[0]["id"]);
    let refused = |at: usize, mut rest: Value| {
        let from_here = json!([{ "network": "127.0.0.0/8", "count": 1 }]);
        rest["since"] = payload(at)["since"].clone();
        (rest["count"], rest["sources"], rest["other_count"]) = (json!(1), from_here, json!(0));
        assert_eq!(*payload(at), rest);
        assert!(payload(at)["since"].as_str() <= events[at].data["timestamp"].as_str());
    };
    refused(2, json!({ "token_id": null, "scope": null, "reason": "unknown token" }));
    refused(3, json!({ "token_id": id, "scope": "agents:read", "reason": "insufficient scope" }));
    assert_eq!(*payload(4), json!({ "token_id": id, "by": listed[0]["id"] }));
    let all = format!("{events:?}");
    assert!(!all.contains(&first) && !all.contains(&reader) && !all.contains("mox_nobody"));
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = Server::start().await;
    let admin = server.token(None, &["*"]).await;
    let body = json!({ "scopes": ["events:read"] });
    let issued =
        send(server.request(Method::POST, "/v1/auth/tokens").bearer_auth(&admin).json(&body)).await.expect(201);
    let request = server.request(Method::GET, "/v1/events/stream").bearer_auth(issued["token"].as_str().unwrap());
    let stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let path = format!("/v1/auth/tokens/{}", issued["id"].as_str().unwrap());
    send(server.request(Method::DELETE, &path).bearer_auth(&admin)).await.expect(204);
    let told = tokio::time::timeout(PATIENCE, stream.text()).await.expect("it goes on").unwrap();
    assert!(told.contains("retry: 1000"));
}

#[tokio::test]
async fn only_one_bearer_token_is_taken() {
    let server = Server::start().await;
    let first = server.token(None, &["*"]).await;
    let get = || server.request(Method::GET, "/v1/agents");
    for value in ["Basic bW94eHk6eA==", "Bearer", "mox_x"] {
        send(get().header("Authorization", value)).await.error(401, "unauthenticated");
    }
    send(get().bearer_auth(&first).bearer_auth(&first)).await.error(401, "unauthenticated");
    send(get().header("Authorization", format!("bearer {first}"))).await.expect(200);
}
