//! Conversations that clients of chat completions send again: with more at the end, or as a repetition.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chat::{CHAT, Pieces, asked, content},
    harness::{Answer, Server, send},
    peer::{self, Peer},
    questions::call,
};

/// Returns a message of a conversation.
fn said(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

async fn answered(server: &Server, messages: &[Value]) -> (String, String) {
    let answer = server.post(CHAT, json!({ "model": "ada", "messages": messages })).await.expect(200);
    (answer["id"].as_str().unwrap().to_owned(), content(&answer).to_owned())
}

async fn session_of(server: &Server, run: &str) -> String {
    server.get(&format!("/v1/runs/{run}")).await.expect(200)["session_id"].as_str().unwrap().to_owned()
}

/// An agent that answers with what it is asked.
async fn echoing() -> Server {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server
}

#[tokio::test]
async fn a_conversation_that_goes_on_stays_in_its_session() {
    let server = echoing().await;
    let mut messages = vec![said("system", "Be brief.")];
    let mut sessions = Vec::new();
    for number in 0..5 {
        messages.push(said("user", &format!("question {number}")));
        let (run, answer) = answered(&server, &messages).await;
        sessions.push(session_of(&server, &run).await);
        // Clients send back the text as they show it.
        messages.push(json!({ "role": "assistant", "content": [{ "type": "text", "text": format!("{answer} ") }] }));
    }
    assert!(sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
    let all = server.get("/v1/agents/ada/sessions").await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 1);
    let name = all[0]["name"].as_str().unwrap();
    let history = server.get(&format!("/v1/agents/ada/history?session={name}")).await.expect(200);
    // The system message once, and two messages a turn.
    assert_eq!(history.as_array().unwrap().len(), 11, "{history}");
}

#[tokio::test]
async fn an_edited_conversation_or_another_clients_begins_its_own_session() {
    let server = echoing().await;
    let first = [said("user", "one")];
    let (run, answer) = answered(&server, &first).await;
    let session = session_of(&server, &run).await;
    let next = |answer: &str, text: &str| [said("user", "one"), said("assistant", answer), said("user", text)];
    // Whoever does not send what the agent said, or has another token, continues nothing.
    let (changed, _) = answered(&server, &next("something else", "two")).await;
    let token = server.token(None, &["runs:write"]).await;
    let body = json!({ "model": "ada", "messages": next(&answer, "two") });
    let other = send(server.request(Method::POST, CHAT).bearer_auth(token).json(&body)).await.expect(200);
    let (two, _) = answered(&server, &next(&answer, "two")).await;
    assert_eq!(session_of(&server, &two).await, session);
    // Regenerated, and edited: the session has gone on from there.
    let (again, _) = answered(&server, &next(&answer, "two")).await;
    let (edited, _) = answered(&server, &next(&answer, "three")).await;
    let mut sessions = vec![session];
    for run in [&changed, other["id"].as_str().unwrap(), &again, &edited] {
        sessions.push(session_of(&server, run).await);
    }
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 5);
    // A branch knows what was said before it.
    let history = server.get(&format!("/v1/agents/ada/history?run_id={edited}")).await.expect(200);
    let texts: Vec<_> =
        history.as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts[..3], ["one", "one", "three"], "{history}");
}

#[tokio::test]
async fn what_an_agent_can_read_in_some_way_is_accepted() {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "record": true }], "repeat": true }), json!({})).await;
    let image = json!([{ "type": "text", "text": "Look:" }, { "type": "image_url", "image_url": { "url": "x" } }]);
    for (messages, part) in [
        (
            vec![json!({ "role": "user", "content": image }), said("user", "now")],
            "[An image was here, which you cannot see.]",
        ),
        (vec![said("user", "a"), said("assistant", "b")], "Go on where it ends."),
        (vec![said("user", " ")], "The user sent an empty message."),
        (vec![said("user", "a"), json!({ "role": "user", "content": null })], "The user sent an empty message."),
        (vec![said("user", "a"), said("system", "Obey.")], "Obey."),
        (vec![said("user", "a"), json!({ "role": "tool", "tool_call_id": "c", "content": "42" })], "42"),
    ] {
        let (_, shown) = answered(&server, &messages).await;
        assert!(shown.contains(part), "{messages:?}: {shown}");
    }
}

#[tokio::test]
async fn an_answer_ends_at_a_stop_word_that_the_service_knows_or_not() {
    let server = Server::start().await;
    let text = json!({ "text": "one two END three", "stream": true });
    server.scripted_with("ada", json!({ "steps": [text], "repeat": true }), json!({})).await;
    for stop in [json!("END"), json!(["</s>", "END"])] {
        let mut body = asked("ada", "go");
        body["stop"] = stop;
        assert_eq!(content(&server.post(CHAT, body.clone()).await.expect(200)), "one two ");
        body["stream"] = json!(true);
        let (frames, done) = Pieces::of(&server, &body).await.rest().await;
        let told: String = frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!((told.as_str(), done), ("one two ", true));
    }
    server.scripted("bob", json!([{ "record": true }])).await;
    let mut body = asked("bob", "go");
    body["stop"] = json!(["END"]);
    let shown = server.post(CHAT, body.clone()).await.expect(200);
    // The agent shows the request, up to the stop word in it.
    assert!(content(&shown).ends_with("\"stop\":[\""), "{shown}");
    body["stop"] = json!(vec!["x"; 17]);
    server.post(CHAT, body).await.error(400, "invalid_input");
}

/// An agent whose model calls a slow tool, and the service that counts its calls.
async fn acting(after: Value) -> (Server, Peer) {
    let peer = Peer::new(axum::Router::new().fallback(|| async { "done" })).await;
    let server = peer::reaching(&peer).await;
    let get = json!({ "tool_calls": [call("http__get", json!({ "url": peer.url("/") }))] });
    let config = json!({ "steps": [get, after] });
    let script = json!({ "id": "script", "component": { "bundled": "script" }, "config": config });
    server.post("/v1/providers", script).await.expect(201);
    server.patch("/v1/agents/ada", json!({ "provider": "script", "model": "script" })).await.expect(200);
    (server, peer)
}

async fn repeated(server: &Server, count: u32) -> Answer {
    let request = server.request(Method::POST, CHAT).header("x-stainless-retry-count", count);
    send(request.json(&asked("ada", "go"))).await
}

#[tokio::test]
async fn a_client_that_repeats_a_request_repeats_no_tool() {
    let (server, peer) = acting(json!({ "text": "done", "delay_ms": 2000 })).await;
    let mut events = server.events("agent_id=ada").await;
    for count in 0..3 {
        let first = server.request(Method::POST, CHAT).header("x-stainless-retry-count", count);
        let waiting = tokio::spawn(first.json(&asked("ada", "go")).send());
        if count == 0 {
            events.until("skill.completed").await;
        }
        waiting.abort();
    }
    let answer = repeated(&server, 3).await;
    assert_eq!(answer.headers["idempotency-replayed"], "true");
    assert_eq!(content(&answer.expect(200)), "done");
    // The answer was lost, too.
    assert_eq!(content(&repeated(&server, 4).await.expect(200)), "done");
    assert_eq!(peer.asked(), 1);
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_failed_after_a_tool_is_not_repeated() {
    let (server, peer) = acting(json!({ "error": { "kind": "overloaded", "message": "later" } })).await;
    let answer = repeated(&server, 0).await;
    assert_eq!(answer.headers["x-should-retry"], "false");
    let told = answer.error(400, "run_failed");
    assert!(told.contains("provider_overloaded") && told.contains("later"), "{told}");
    repeated(&server, 1).await.error(400, "run_failed");
    assert_eq!(peer.asked(), 1);
    // Before a tool was called, another attempt is invited and makes another run.
    server.scripted("bob", json!([{ "error": { "kind": "overloaded", "message": "later" } }])).await;
    let ask = |count: u32| {
        let request = server.request(Method::POST, CHAT).header("x-stainless-retry-count", count);
        send(request.json(&asked("bob", "go")))
    };
    let first = ask(0).await;
    assert!(first.headers.get("x-should-retry").is_none(), "{first:?}");
    assert_ne!(first.headers["x-moxxy-run-id"], ask(1).await.headers["x-moxxy-run-id"]);
    first.error(503, "provider_overloaded");
}

#[tokio::test]
async fn clients_of_one_agent_do_not_wait_for_each_other() {
    let server = Server::start().await;
    server
        .scripted_with("ada", json!({ "steps": [{ "text": "late", "delay_ms": 50_000 }], "repeat": true }), json!({}))
        .await;
    let mut events = server.events("agent_id=ada&event_type=model.request").await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(tokio::spawn(server.request(Method::POST, CHAT).json(&asked("ada", "go")).send()));
    }
    for _ in 0..6 {
        events.next().await.unwrap();
    }
    server.post("/v1/agents/ada/stop", json!({ "mode": "now" })).await.expect(200);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
}
