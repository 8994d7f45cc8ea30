//! `/v1/agents`.

use serde_json::{Value, json};

use crate::harness::Server;

#[tokio::test]
async fn an_agent_is_made_shown_changed_and_removed() {
    let server = Server::start().await;
    server.offline("first", "echo").await;
    let made =
        json!({ "name": "ada", "provider": "offline", "model": "echo", "persona": "Brief.", "temperature": 0.5 });
    let answer = server.post("/v1/agents", made).await;
    assert_eq!(answer.headers["location"], "/v1/agents/ada");
    let agent = answer.expect(201);
    assert_eq!(agent["status"], "idle");
    assert_eq!(agent["template"], Value::Null);
    assert_eq!(server.get("/v1/agents/ada").await.expect(200), agent);
    let names = server.get("/v1/agents").await.expect(200);
    assert_eq!(names.as_array().unwrap().iter().map(|a| a["name"].clone()).collect::<Vec<_>>(), ["ada", "first"]);

    let patch = json!({ "model": "planner", "persona": null, "limits": { "max_steps": 3 } });
    let changed = server.patch("/v1/agents/ada", patch).await.expect(200);
    assert_eq!((&changed["model"], &changed["persona"]), (&json!("planner"), &Value::Null));
    assert_eq!((&changed["temperature"], &changed["limits"]["max_steps"]), (&json!(0.5), &json!(3)));

    server.delete("/v1/agents/ada").await.expect(204);
    let gone = server.get("/v1/agents/ada").await.error(404, "agent_not_found");
    assert_eq!(gone, "Agent 'ada' not found");
}

#[tokio::test]
async fn provider_and_model_are_checked() {
    let server = Server::start().await;
    server.offline("first", "echo").await;
    let agent = |provider: &str, model: &str| json!({ "name": "ada", "provider": provider, "model": model });
    let nobody = server.post("/v1/agents", agent("nobody", "echo")).await.error(400, "invalid_input");
    assert_eq!(nobody, "Invalid `provider`: Provider 'nobody' not found; `moxxy provider list` lists them");
    server.get("/v1/agents/ada").await.error(404, "agent_not_found");
    // A service may have models that it does not list.
    let unlisted = server.post("/v1/agents", agent("offline", "gpt")).await.expect(201);
    let warning =
        "provider 'offline' does not list the model 'gpt', which its service may refuse; it lists: echo, planner";
    assert_eq!(unlisted["warnings"], json!([warning]));
    assert_eq!(server.get("/v1/agents/ada").await.expect(200).get("warnings"), None);
    let changed = server.patch("/v1/agents/first", json!({ "model": "gpt" })).await.expect(200);
    assert_eq!(changed["warnings"], json!([warning]));
    let listed = server.patch("/v1/agents/first", json!({ "model": "echo" })).await.expect(200);
    assert_eq!(listed.get("warnings"), None);
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let again = json!({ "name": "ada", "provider": "offline", "model": "echo" });
    server.post("/v1/agents", again).await.error(409, "agent_exists");
}

#[tokio::test]
async fn a_new_agent_of_an_old_name_starts_empty() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.install("ada", "text").await;
    server.run("ada", "remember this").await;
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200).as_array().unwrap().len(), 2);
    server.delete("/v1/agents/ada").await.expect(204);
    server.offline("ada", "echo").await;
    for list in ["history", "sessions", "runs", "skills"] {
        assert_eq!(server.get(&format!("/v1/agents/ada/{list}")).await.expect(200), json!([]), "{list}");
    }
    let mut events = server.events("agent_id=ada&after=0").await;
    assert_eq!(events.next().await.unwrap().kind, "agent.deleted");
    assert_eq!(events.next().await.unwrap().kind, "agent.created");
}

#[tokio::test]
async fn reset_begins_a_new_session_and_keeps_the_old_history() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let old = server.run("ada", "before").await["session_id"].clone();
    let new = server.post("/v1/agents/ada/reset", json!({})).await.expect(200)["session_id"].clone();
    assert_ne!(old, new);
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200), json!([]));
    let path = format!("/v1/agents/ada/history?session={}", old.as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200)[0]["content"], "before");
    server.get("/v1/agents/ada/history?session=default").await.expect(200);
    server.get("/v1/agents/ada/history?session=elsewhere").await.error(404, "session_not_found");
    let unknown = "019b7c5e-8f00-7000-8000-000000000001";
    server.get(&format!("/v1/agents/ada/history?session=ses_{unknown}")).await.error(404, "session_not_found");
    server
        .get(&format!("/v1/agents/ada/history?session=default&run_id=run_{unknown}"))
        .await
        .error(404, "run_not_found");
    let sessions = server.get("/v1/agents/ada/sessions").await.expect(200);
    assert!(sessions[0]["closed_at"].is_string() && sessions[1]["closed_at"].is_null());
}

#[tokio::test]
async fn changes_at_the_same_time_are_both_kept() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    for round in 0..10 {
        let persona = server.patch("/v1/agents/ada", json!({ "persona": format!("p{round}") }));
        let temperature = server.patch("/v1/agents/ada", json!({ "temperature": f64::from(round) / 10.0 }));
        tokio::join!(persona, temperature);
        let agent = server.get("/v1/agents/ada").await.expect(200);
        assert_eq!(
            (&agent["persona"], &agent["temperature"]),
            (&json!(format!("p{round}")), &json!(f64::from(round) / 10.0))
        );
    }
}

#[tokio::test]
async fn an_agent_that_is_deleted_amid_its_runs_leaves_nothing_to_a_new_one_of_its_name() {
    let server = Server::start().await;
    let slow = json!({ "steps": [{ "text": "late", "delay_ms": 300 }], "repeat": true });
    server.scripted_with("ada", slow, json!({})).await;
    for number in 0..20 {
        server.start_run("ada", json!({ "task": "old", "session": format!("s{}", number % 5) })).await;
    }
    // More runs are queued while the agent goes.
    let more = async {
        for _ in 0..50 {
            let body = json!({ "task": "old", "session": "more" });
            let answer = server.post("/v1/agents/ada/runs", body).await;
            assert!([201, 404].contains(&answer.status.as_u16()), "{answer:?}");
        }
    };
    let (deleted, ()) = tokio::join!(server.delete("/v1/agents/ada"), more);
    deleted.expect(204);
    let agent = json!({ "name": "ada", "provider": "ada", "model": "script" });
    server.post("/v1/agents", agent).await.expect(201);
    let mut events = server.events("after=0&agent_id=ada").await;
    let run = server.run("ada", "new").await;
    assert_eq!(run["output"], "late");
    let told = events.until("run.completed").await;
    assert!(told.iter().all(|event| event.data["payload"]["task"] != "old"), "{told:?}");
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200).as_array().unwrap().len(), 1);
}
