//! Components that were built for version 0.1 of the interfaces.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Server, form, send};

fn component(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/data").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Uses every import and export of the previous version beside those of the current one.
async fn use_all(server: &Server) {
    // A skill that asks the user.
    let run = server.start_run("ada", json!({ "task": "Survey" })).await;
    let mut events = server.events(&format!("after=0&run_id={}", run["run_id"].as_str().unwrap())).await;
    for answer in ["Ada", "36"] {
        let asked = events.until("ask.requested").await.pop().unwrap();
        let question = asked.data["payload"]["question_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/agents/ada/ask-responses/{question}");
        server.post(&path, json!({ "answer": answer })).await.expect(200);
    }
    events.until("run.completed").await;
    // A skill that uses a secret.
    server.invoke("ada", "keeper", "sign", json!({ "data": "x" })).await.expect(200);
    // Components of the current version.
    server.invoke("ada", "text", "word_count", json!({ "text": "a b" })).await.expect(200);
    server.run("bob", "hello").await;
}

#[tokio::test]
async fn components_of_the_previous_version_work_beside_those_of_the_current_one() {
    let server = Server::start().await;
    let config = json!({
        "steps": [
            { "tool_calls": [{ "id": "c1", "name": "hostile__survey", "arguments": {} }] },
            { "record": true },
        ],
        "per_task": true,
    });
    let installed = form(component("script-0.1.0.wasm"), None).text("id", "old").text("config", config.to_string());
    send(server.request(reqwest::Method::POST, "/v1/providers").multipart(installed)).await.expect(201);
    let models = server.get("/v1/providers/old/models").await.expect(200);
    let agent = json!({
        "name": "ada", "provider": "old", "model": models[0]["id"], "temperature": 0.5,
        "options": { "top_p": 0.5, "stop": ["x"] },
    });
    server.post("/v1/agents", agent).await.expect(201);
    server.offline("bob", "echo").await;
    for skill in ["asker-0.1.0.wasm", "keeper-0.1.0.wasm"] {
        let installed = send(
            server
                .request(reqwest::Method::POST, "/v1/agents/ada/skills/install")
                .multipart(form(component(skill), Some("all"))),
        );
        let installed = installed.await.expect(201);
        let guarded = installed["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "guarded");
        if let Some(guarded) = guarded {
            assert_eq!(guarded["hints"]["requires_approval"], true, "{guarded}");
        }
    }
    server.install("ada", "text").await;
    server.post("/v1/vault/secrets", json!({ "name": "key", "value": "0123456789abcdef" })).await.expect(201);
    let grant = json!({ "agent_id": "ada", "component": "keeper", "secret": "key", "mode": "sign" });
    server.post("/v1/vault/grants", grant).await.expect(201);
    use_all(&server).await;
    let server = Server::at(server.stop().await, |_| {}).await;
    use_all(&server).await;
    // The model was shown the whole conversation.
    let history = server.get("/v1/agents/ada/history").await.expect(200);
    let last = history.as_array().unwrap().iter().rfind(|message| message["role"] == "assistant").unwrap();
    let shown: Value = serde_json::from_str(last["content"].as_str().unwrap()).unwrap();
    assert_eq!(shown["temperature"], 0.5, "{shown}");
    let results = shown["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool").count();
    assert!(results >= 1, "{shown}");
}

#[tokio::test]
async fn a_component_of_an_unknown_version_is_refused_with_what_to_do() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let mut later = component("asker-0.1.0.wasm");
    let (from, to) = (b"moxxy:plugin/tools@0.1.0", b"moxxy:plugin/tools@0.9.0");
    for at in 0..later.len() - from.len() {
        if later[at..].starts_with(from) {
            later[at..at + to.len()].copy_from_slice(to);
        }
    }
    let message = server.upload_bytes("ada", later).await.error(400, "invalid_component");
    assert!(message.contains("version 0.9.0") && message.contains("0.1.0 and 0.2.0"), "{message}");
}
