//! `/v1/agents/{name}/runs`: the loop, its limits, its order and its end.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{Server, send};

fn call(name: &str, arguments: Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

/// Returns the request that the model received, from a step that records it.
fn shown(run: &Value) -> Value {
    serde_json::from_str(run["output"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_task_is_answered_with_a_skill() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.install("ada", "text").await;
    let run = server.run("ada", "Count the words in \"the quick brown fox\"").await;
    assert_eq!(run["output"], "The result of word_count: words 4, characters 19, lines 1.");
    let path = format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap());
    let detail = server.get(&path).await.expect(200);
    let steps: Vec<_> = detail["steps"].as_array().unwrap().iter().map(|s| (&s["kind"], &s["status"])).collect();
    let (model, tool, done) = (json!("model"), json!("tool"), json!("completed"));
    assert_eq!(steps, [(&model, &done), (&tool, &done), (&model, &done)]);
    assert_eq!(detail["steps"][1]["output"], json!({ "words": 4, "characters": 19, "lines": 1 }));
    assert_eq!(detail["usage"]["steps"], 2);
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200)[0]["run_id"], run["run_id"]);
    let history = server.get("/v1/agents/ada/history").await.expect(200);
    let roles: Vec<_> = history.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    assert_eq!(history[1]["tool_calls"][0]["name"], "text__word_count");
}

#[tokio::test]
async fn parallel_calls_are_all_answered_before_the_model_goes_on() {
    let server = Server::start().await;
    let count = |text: &str| call("text__word_count", json!({ "text": text }));
    let steps =
        json!([{ "tool_calls": [count("a"), count("a b"), count("a b c")], "stream": true }, { "record": true }]);
    server.scripted("ada", steps).await;
    server.install("ada", "text").await;
    let run = server.run("ada", "go").await;
    let messages = shown(&run)["messages"].clone();
    let results = messages[2]["tool_results"].as_array().unwrap();
    let words: Vec<Value> = results
        .iter()
        .map(|r| serde_json::from_str::<Value>(r["content"].as_str().unwrap()).unwrap()["words"].clone())
        .collect();
    assert_eq!(words, [1, 2, 3]);
    let calls = messages[1]["tool_calls"].as_array().unwrap();
    assert!(calls.iter().zip(results).all(|(call, result)| call["id"] == result["call_id"]));
}

#[tokio::test]
async fn the_model_is_told_what_went_wrong_with_its_calls() {
    let server = Server::start().await;
    let calls = json!([
        call("text__word_count", json!("{\"text\": ")),
        call("text__word_count", json!({ "txt": "a" })),
        call("text__nothing", json!({})),
        call("nothing", json!({})),
        call("misbehave__fail", json!({ "message": "no luck" })),
        call("misbehave__trap", json!({})),
    ]);
    server.scripted("ada", json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.install("ada", "text").await;
    server.upload("ada", "misbehave").await.expect(201);
    let run = server.run("ada", "go").await;
    let shown = shown(&run);
    let results = shown["messages"][2]["tool_results"].as_array().unwrap();
    let expected = [
        "not a JSON object: EOF while parsing a value at line 1 column 9.",
        "arguments are wrong: `text`: it is missing; `txt`: it is not known; known are: `text`.",
        "no tool named \"text__nothing\". Nearest to it are: `text__",
        "no tool named \"nothing\". Nearest to it are: `",
        "no luck",
        "The skill broke while it carried out the call.",
    ];
    for (result, expected) in results.iter().zip(expected) {
        assert_eq!(result["is_error"], true, "{result}");
        assert!(result["content"].as_str().unwrap().contains(expected), "{result}");
    }
    assert_eq!(results.len(), expected.len());
}

#[tokio::test]
async fn conversations_remember_and_never_mix() {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "record": true }], "repeat": true }), json!({})).await;
    let path = "/v1/agents/ada/runs";
    let start = |task: &str, session: &str| {
        let body = json!({ "task": task, "session": session });
        send(server.request(Method::POST, path).header("Prefer", "wait=60").json(&body))
    };
    let first = start("one", "left").await.expect(201);
    start("two", "right").await.expect(201);
    let third = start("three", "left").await.expect(201);
    assert_eq!(first["session_id"], third["session_id"]);
    let seen = shown(&third)["messages"].clone();
    let texts: Vec<_> = seen.as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap_or_default()).collect();
    assert_eq!((texts.len(), texts[0], texts[2]), (3, "one", "three"));
    let left = server.get("/v1/agents/ada/history?session=left").await.expect(200);
    assert_eq!(left.as_array().unwrap().len(), 4);
    let of_run = format!("/v1/agents/ada/history?run_id={}", third["run_id"].as_str().unwrap());
    assert_eq!(server.get(&of_run).await.expect(200)[0]["content"], "three");
}

#[tokio::test]
async fn a_run_keeps_its_limits() {
    let server = Server::start().await;
    let again = json!({ "steps": [{ "tool_calls": [call("none", json!({}))], "usage": { "input_tokens": 10, "output_tokens": 5 } }], "repeat": true });
    server.scripted_with("steps", again, json!({ "max_steps": 3 })).await;
    let run = server.run("steps", "go").await;
    let message = "The run used up its 3 model calls; to allow more, raise `max_steps` in the agent's limits";
    assert_eq!(run["error"], json!({ "code": "step_limit", "message": message }));
    let detail = server.get(&format!("/v1/agents/steps/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(detail["usage"]["steps"], 3);
    let slow = json!({ "steps": [{ "text": "late", "delay_ms": 50_000 }] });
    server.scripted_with("time", slow, json!({ "max_seconds": 1 })).await;
    let run = server.run("time", "go").await;
    let message = "The run used up its 1 seconds; to allow more, raise `max_seconds` in the agent's limits";
    assert_eq!(run["error"], json!({ "code": "time_limit", "message": message }));
}

#[tokio::test]
async fn a_run_is_stopped_now_while_its_model_waits_or_its_tool_spins() {
    let server = Server::start().await;
    server.scripted("waits", json!([{ "text": "late", "delay_ms": 50_000 }])).await;
    server.scripted("spins", json!([{ "tool_calls": [call("misbehave__spin", json!({}))] }])).await;
    server.upload("spins", "misbehave").await.expect(201);
    for (agent, begun) in [("waits", "model.request"), ("spins", "skill.invoked")] {
        let mut events = server.events(&format!("agent_id={agent}")).await;
        let run = server.start_run(agent, json!({ "task": "go" })).await;
        events.until(begun).await;
        let path = format!("/v1/agents/{agent}/runs/{}", run["run_id"].as_str().unwrap());
        let asked = Instant::now();
        let stopped = server.post(&format!("{path}/stop"), json!({ "mode": "now" })).await.expect(200);
        assert_eq!(stopped["status"], "cancelled");
        let told: Vec<_> = events.until("run.cancelled").await.into_iter().map(|event| event.kind).collect();
        assert_eq!(told, [begun.replace("request", "failed").replace("invoked", "failed").as_str(), "run.cancelled"]);
        println!("{agent}: stopped in {:?}", asked.elapsed());
        let steps = server.get(&path).await.expect(200)["steps"].clone();
        assert_eq!(steps.as_array().unwrap().last().unwrap()["status"], "cancelled");
        server.post(&format!("{path}/stop"), json!({})).await.error(409, "run_ended");
    }
}

#[tokio::test]
async fn a_run_is_stopped_at_the_next_step() {
    let server = Server::start().await;
    let nap = json!([{ "tool_calls": [call("misbehave__sleep", json!({ "ms": 1500 }))] }, { "text": "done" }]);
    server.scripted("ada", nap).await;
    server.upload("ada", "misbehave").await.expect(201);
    let mut events = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "go" })).await;
    events.until("skill.invoked").await;
    server.post(&format!("/v1/agents/ada/runs/{}/stop", run["run_id"].as_str().unwrap()), json!({})).await.expect(200);
    let kinds: Vec<_> = events.until("run.cancelled").await.into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["skill.completed", "run.cancelled"]);
}

#[tokio::test]
async fn runs_of_a_conversation_wait_for_each_other_and_stop_together() {
    let server = Server::start().await;
    let config = json!({ "steps": [{ "text": "late", "delay_ms": 50_000 }], "repeat": true });
    server.scripted_with("ada", config, json!({})).await;
    let mut events = server.events("agent_id=ada").await;
    for task in ["one", "two", "three"] {
        server.start_run("ada", json!({ "task": task })).await;
    }
    events.until("model.request").await;
    let status = |run: &Value| run["status"].as_str().unwrap().to_owned();
    let runs = server.get("/v1/agents/ada/runs").await.expect(200);
    let statuses: Vec<_> = runs.as_array().unwrap().iter().map(status).collect();
    assert_eq!(statuses, ["queued", "queued", "running"]);
    assert_eq!(server.get("/v1/agents/ada").await.expect(200)["status"], "running");
    let stopped = server.post("/v1/agents/ada/stop", json!({ "mode": "now" })).await.expect(200);
    assert!(stopped.as_array().unwrap().iter().all(|run| run["status"] == "cancelled"), "{stopped}");
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_and_an_empty_task_is_no_task() {
    let server = Server::with(|config| config.runs.queue = 1).await;
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 50_000 }])).await;
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    server.start_run("ada", json!({ "task": "two" })).await;
    server.post("/v1/agents/ada/runs", json!({ "task": "three" })).await.error(503, "queue_full");
    server.post("/v1/agents/ada/runs", json!({ "task": " " })).await.error(400, "invalid_input");
    server.post("/v1/agents/nobody/runs", json!({ "task": "a" })).await.error(404, "agent_not_found");
}

#[tokio::test]
async fn waiting_is_a_preference() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 50_000 }])).await;
    let request = server.request(Method::POST, "/v1/agents/ada/runs").header("Prefer", "wait=0");
    let answer = send(request.json(&json!({ "task": "go" }))).await;
    assert_eq!(answer.headers["preference-applied"], "wait=0");
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let run = answer.expect(201);
    assert!(["queued", "running"].contains(&run["status"].as_str().unwrap()));
    assert_eq!(server.get(&location).await.expect(200)["run_id"], run["run_id"]);
    server.offline("bob", "echo").await;
    let other = location.replace("/ada/", "/bob/");
    server.get(&other).await.error(404, "run_not_found");
}

#[tokio::test]
async fn what_a_model_makes_up_harms_no_reader() {
    let server = Server::start().await;
    let deep = format!("{{\"text\": {}1{}}}", "[".repeat(124), "]".repeat(124));
    let most = json!({ "input_tokens": u64::MAX, "output_tokens": i64::MAX });
    let steps = json!([
        { "tool_calls": [call("text__word_count", json!(deep))], "usage": most },
        { "tool_calls": [call("text__word_count", json!({ "text": "a" }))], "usage": most },
        { "text": "done" },
    ]);
    server.scripted_with("ada", json!({ "steps": steps }), json!({ "max_tokens": u64::MAX })).await;
    server.install("ada", "text").await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["output"], "done", "{run}");
    server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200).as_array().unwrap().len(), 6);
    server.events("agent_id=ada&after=0").await.until("run.completed").await;
}

#[tokio::test]
async fn calls_of_one_id_are_told_apart() {
    let server = Server::start().await;
    let count = |text: &str| json!({ "id": "same", "name": "text__word_count", "arguments": { "text": text } });
    server.scripted("ada", json!([{ "tool_calls": [count("a"), count("a b")] }, { "record": true }])).await;
    server.install("ada", "text").await;
    let shown = shown(&server.run("ada", "go").await);
    let results = shown["messages"][2]["tool_results"].as_array().unwrap();
    assert_ne!(results[0]["call_id"], results[1]["call_id"]);
    assert_ne!(results[0]["content"], results[1]["content"]);
}

#[tokio::test]
async fn many_readers_at_once_do_not_wait_for_each_other() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let run = server.run("ada", "go").await;
    let path = format!("/v1/agents/ada/history?run_id={}", run["run_id"].as_str().unwrap());
    let answers = futures_util::future::join_all((0..64).map(|_| server.get(&path))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn a_run_is_carried_out_although_its_client_leaves() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let (host, body) = (server.url.strip_prefix("http://").unwrap(), r#"{"task": "go"}"#);
    let (length, runs) = (body.len(), 20);
    for pause in 0..runs {
        let mut client = TcpStream::connect(host).await.unwrap();
        let head = "Content-Type: application/json\r\nContent-Length:";
        let request = format!("POST /v1/agents/ada/runs HTTP/1.1\r\nHost: {host}\r\n{head} {length}\r\n\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        // Vary the delay, so that the client disconnects at another moment each time.
        for _ in 0..pause * 10 {
            tokio::task::yield_now().await;
        }
    }
    // A later run is executed with the runs queued before it, if their queue has a worker.
    let last = server.start_run("ada", json!({ "task": "last", "session": "other" })).await;
    server.events(&format!("after=0&run_id={}", last["run_id"].as_str().unwrap())).await.until("run.completed").await;
    let mut events = server.events("after=0&agent_id=ada").await;
    let queued = server.get("/v1/agents/ada/runs").await.expect(200).as_array().unwrap().len();
    for _ in 0..queued {
        events.until("run.completed").await;
    }
}

#[tokio::test]
async fn runs_of_all_agents_are_listed_and_found_by_id() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.offline("bob", "echo").await;
    let (ada, bob) = (server.run("ada", "one").await, server.run("bob", "two").await);
    let chat = json!({ "model": "bob", "messages": [{ "role": "user", "content": "three" }] });
    server.post("/v1/chat/completions", chat).await.expect(200);
    let listed = async |query: &str| {
        let runs = server.get(&format!("/v1/runs{query}")).await.expect(200);
        runs.as_array().unwrap().iter().map(|run| run["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ["three", "two", "one"]);
    assert_eq!(listed("?agent_id=bob&origin=api").await, ["two"]);
    assert_eq!(listed("?origin=chat_completions").await, ["three"]);
    assert_eq!(listed("?status=failed").await, [""; 0]);
    assert_eq!(listed("?limit=1&status=completed").await, ["three"]);
    server.get("/v1/runs?agent_id=eve").await.error(404, "agent_not_found");
    server.get("/v1/runs?origin=moon").await.error(400, "invalid_query");
    let found = server.get(&format!("/v1/runs/{}", ada["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&found["agent_id"], &found["steps"][0]["kind"]), (&json!("ada"), &json!("model")));
    let mut events = server.events(&format!("after=0&run_id={}", bob["run_id"].as_str().unwrap())).await;
    let queued = events.until("run.queued").await.pop().unwrap();
    assert_eq!(queued.data["payload"]["origin"], "api");
}

#[tokio::test]
async fn ended_runs_and_sessions_are_deleted_with_what_is_theirs() {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "text": "fine" }], "repeat": true }), json!({})).await;
    let [first, second] = [server.run("ada", "first").await, server.run("ada", "second").await];
    let path = |run: &Value| format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap());
    let usage = server.get("/v1/agents/ada/usage").await.expect(200);
    server.delete(&path(&first)).await.expect(204);
    server.get(&path(&first)).await.error(404, "run_not_found");
    server.delete(&path(&first)).await.error(404, "run_not_found");
    let history = server.get("/v1/agents/ada/history").await.expect(200);
    assert_eq!(history.as_array().unwrap().iter().map(|one| &one["content"]).collect::<Vec<_>>(), ["second", "fine"]);
    // What it used stays counted, and no event has its words.
    assert_eq!(server.get("/v1/agents/ada/usage").await.expect(200), usage);
    let mut events = server.events("after=0&agent_id=ada").await;
    let told = events.until("run.deleted").await;
    assert!(told.iter().all(|event| !event.data.to_string().contains("first")), "{told:?}");
    // A session with an open run stays.
    let session = format!("/v1/agents/ada/sessions/{}", second["session_id"].as_str().unwrap());
    let slow = json!({ "steps": [{ "text": "late", "delay_ms": 60_000 }], "repeat": true });
    server.patch("/v1/providers/ada", json!({ "config": slow })).await.expect(200);
    let open = server.start_run("ada", json!({ "task": "third" })).await;
    server.delete(&session).await.error(409, "run_open");
    server.delete(&path(&open)).await.error(409, "run_open");
    server.post(&format!("{}/stop", path(&open)), json!({ "mode": "now" })).await.expect(200);
    server.delete(&session).await.expect(204);
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200), json!([]));
    assert_eq!(server.get("/v1/agents/ada/sessions").await.expect(200), json!([]));
    server.delete(&session).await.error(404, "session_not_found");
    server.get("/v1/audit?event_type=session.deleted").await.expect(200);
}
