//! Conversations that exceed their model's context: the messages that it receives, and that nothing is lost.

use serde_json::{Value, json};

use crate::harness::{Server, Stream};

async fn detail(server: &Server, run: &Value) -> Value {
    server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200)
}

/// Makes the model record the requests that it receives from now on.
async fn record(server: &Server, config: Value) {
    let mut config = config;
    config["steps"] = json!([{ "record": true }]);
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
}

fn shown(run: &Value) -> Vec<Value> {
    let request: Value = serde_json::from_str(run["output"].as_str().expect("it has completed")).unwrap();
    request["messages"].as_array().unwrap().clone()
}

/// Checks that every call has its result and every result its call.
#[track_caller]
fn assert_whole(messages: &[Value]) {
    let ids = |message: &Value, list: &str, id: &str| -> Vec<Value> {
        message[list].as_array().into_iter().flatten().map(|call| call[id].clone()).collect()
    };
    for (index, message) in messages.iter().enumerate() {
        let calls = ids(message, "tool_calls", "id");
        let results = messages.get(index + 1).map(|next| ids(next, "tool_results", "call_id")).unwrap_or_default();
        assert_eq!(calls, results, "{messages:?}");
    }
    assert!(messages[0]["tool_results"].is_null(), "{messages:?}");
}

async fn last_request(events: &mut Stream) -> Value {
    events.until("model.request").await.pop().unwrap().data["payload"].clone()
}

#[tokio::test]
async fn old_messages_are_left_out_in_groups_and_the_model_is_told() {
    let server = Server::start().await;
    let call = json!({ "name": "text__word_count", "arguments": { "text": "some words ".repeat(40) } });
    let config = json!({
        "steps": [{ "tool_calls": [call] }, { "text": "fine" }], "per_task": true, "model": { "context_window": 2000 },
    });
    server.scripted_with("ada", config.clone(), json!({})).await;
    server.install("ada", "text").await;
    for number in 0..6 {
        let run = server.run("ada", &format!("task {number}")).await;
        assert_eq!(run["output"], "fine", "{run}");
    }
    record(&server, config).await;
    let mut events = server.events("agent_id=ada").await;
    let run = server.run("ada", "what now?").await;
    let (messages, requested) = (shown(&run), last_request(&mut events).await);
    assert_whole(&messages);
    let left_out = requested["left_out"].as_u64().unwrap();
    // The results of a message's calls are one message here and one each in the history.
    assert_eq!(left_out as usize, 6 * 4 + 1 - messages.iter().filter(|message| !is_note(message)).count());
    assert!(left_out > 4 && messages.len() > 4, "{left_out} of {messages:?}");
    let first = messages[0]["text"].as_str().unwrap();
    assert!(first.starts_with("[… earlier messages are left out here"), "{first}");
    assert_eq!(messages.last().unwrap()["text"], "what now?");
    assert_eq!(detail(&server, &run).await["steps"][0]["input"]["left_out"], left_out);
    let history = server.get("/v1/agents/ada/history").await.expect(200);
    assert_eq!(history.as_array().unwrap().len(), 6 * 4 + 2);
}

/// Returns whether the server itself wrote the message.
fn is_note(message: &Value) -> bool {
    message["text"].as_str().is_some_and(|text| text.starts_with("[…") && !text.contains('\n'))
}

#[tokio::test]
async fn within_a_run_its_task_and_its_newest_calls_stay() {
    let server = Server::start().await;
    let big = |bytes: usize| json!({ "name": "misbehave__big_result", "arguments": { "bytes": bytes } });
    let steps = json!([{ "tool_calls": [big(5000)] }, { "tool_calls": [big(30_000), big(10), big(40_000)] }]);
    let config = json!({ "steps": steps, "repeat": true, "model": { "context_window": 5400 } });
    server.scripted_with("ada", config, json!({ "max_steps": 3 })).await;
    server.upload("ada", "misbehave").await.expect(201);
    let mut events = server.events("agent_id=ada").await;
    server.run("ada", "the task").await;
    for (left_out, shortened) in [(0, 0), (0, 0), (2, 2)] {
        let requested = last_request(&mut events).await;
        assert_eq!(
            (&requested["left_out"], &requested["shortened"]),
            (&json!(left_out), &json!(shortened)),
            "{requested}"
        );
    }
    let config =
        json!({ "steps": [{ "record": true }], "per_task": true, "repeat": true, "model": { "context_window": 5400 } });
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    // In the next run, the model receives the newest calls of the run before, with as much of their results as
    // fits.
    let messages = shown(&server.run("ada", "and now?").await);
    assert_whole(&messages);
    assert_eq!(messages[messages.len() - 3]["tool_results"].as_array().unwrap().len(), 3);
    assert_eq!(messages.last().unwrap()["text"], "and now?");
}

#[tokio::test]
async fn a_result_that_does_not_fit_is_shortened_and_marked() {
    let server = Server::start().await;
    let call = json!({ "name": "misbehave__big_result", "arguments": { "bytes": 100_000 } });
    let config =
        json!({ "steps": [{ "tool_calls": [call] }, { "record": true }], "model": { "context_window": 5400 } });
    server.scripted_with("ada", config, json!({})).await;
    server.upload("ada", "misbehave").await.expect(201);
    let run = server.run("ada", "the task").await;
    let messages = shown(&run);
    assert_whole(&messages);
    assert_eq!((messages.len(), &messages[0]["text"]), (3, &json!("the task")));
    let result = messages[2]["tool_results"][0]["content"].as_str().unwrap();
    assert!(result.len() < 12_000 && result.contains(" bytes are left out here …]"), "{}", result.len());
    let history = server.get("/v1/agents/ada/history").await.expect(200);
    assert_eq!(history[2]["content"].as_str().unwrap().len(), 100_000);
}

#[tokio::test]
async fn a_conversation_that_the_provider_finds_too_long_is_tried_again_with_half() {
    let server = Server::start().await;
    let config = json!({ "steps": [{ "text": "fine" }], "repeat": true });
    server.scripted_with("ada", config.clone(), json!({})).await;
    for _ in 0..6 {
        server.run("ada", &"many words ".repeat(50)).await;
    }
    let mut config = config;
    config["steps"] = json!([{ "record": true, "most_bytes": 2000 }]);
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    let mut events = server.events("agent_id=ada").await;
    let run = server.run("ada", "what now?").await;
    let messages = shown(&run);
    assert_eq!(messages.last().unwrap()["text"], "what now?");
    let told = events.until("run.completed").await;
    let kinds: Vec<_> =
        told.iter().map(|event| event.kind.as_str()).filter(|kind| kind.starts_with("model.")).collect();
    assert_eq!(kinds, ["model.request", "model.failed", "model.retried", "model.request", "model.response"]);
    let retried = &told.iter().find(|event| event.kind == "model.retried").unwrap().data["payload"];
    assert_eq!((&retried["reason"], &retried["attempt"]), (&json!("context_too_long"), &json!(1)));
    let run = detail(&server, &run).await;
    let sizes = [0, 1].map(|step| run["steps"][step]["input"]["bytes"].as_u64().unwrap());
    assert!(sizes[1] * 2 <= sizes[0], "{sizes:?}");
    assert_eq!(
        (&run["steps"][0]["output"]["code"], &run["usage"]["reserved_tokens"]),
        (&json!("context_too_long"), &json!(0))
    );
}

#[tokio::test]
async fn tries_end_where_there_is_no_less_to_show() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "fine", "most_bytes": 10 }])).await;
    let run = server.run("ada", "a task of its own length").await;
    assert_eq!(run["error"]["code"], "context_too_long");
    assert_eq!(detail(&server, &run).await["steps"].as_array().unwrap().len(), 1);
    let config = json!({ "steps": [{ "text": "fine" }], "repeat": true });
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    for _ in 0..40 {
        server.run("ada", &"some more words for the history ".repeat(20)).await;
    }
    let never = json!({ "steps": [{ "text": "fine", "most_bytes": 0 }], "repeat": true });
    server.patch("/v1/providers/ada", json!({ "config": never })).await.expect(200);
    let run = server.run("ada", "go").await;
    assert_eq!(run["error"]["code"], "context_too_long");
    assert_eq!(detail(&server, &run).await["steps"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_message_that_never_fits_stops_no_other_run() {
    let server = Server::start().await;
    let config = json!({
        "steps": [{ "text": "fine", "most_bytes": 6000 }], "repeat": true, "model": { "context_window": 2000 },
    });
    server.scripted_with("ada", config.clone(), json!({})).await;
    server.run("ada", "go").await;
    let run = server.run("ada", &"too many words ".repeat(1000)).await;
    assert_eq!(run["error"]["code"], "context_too_long", "{run}");
    assert_eq!(server.run("ada", "and now?").await["output"], "fine");
    // The same for an answer of a model with a larger window.
    let mut large = config.clone();
    large["steps"] = json!([{ "text": "an answer ".repeat(1000) }]);
    server.patch("/v1/providers/ada", json!({ "config": large })).await.expect(200);
    server.run("ada", "go").await;
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    assert_eq!(server.run("ada", "and now?").await["output"], "fine");
}

#[tokio::test]
async fn a_prompt_begins_at_the_same_message_until_it_is_full_again() {
    let server = Server::start().await;
    let config =
        json!({ "steps": [{ "text": "an answer ".repeat(20) }], "repeat": true, "model": { "context_window": 2000 } });
    server.scripted_with("ada", config.clone(), json!({})).await;
    let mut events = server.events("agent_id=ada").await;
    let mut left_out = Vec::new();
    for number in 0..40 {
        server.run("ada", &format!("task {number}")).await;
        left_out.push(last_request(&mut events).await["left_out"].as_u64().unwrap());
    }
    let moves: Vec<_> = left_out.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| pair[1] - pair[0]).collect();
    // Each move drops several messages, so that the prompts in between have the same beginning.
    assert!(moves.len() >= 2 && moves.iter().all(|dropped| *dropped >= 6), "{left_out:?}");
    // The place is stored: a restart does not change it.
    let home = server.stop().await;
    let server = Server::at(home, |_| {}).await;
    record(&server, config).await;
    let mut events = server.events("agent_id=ada").await;
    let messages = shown(&server.run("ada", "what now?").await);
    let last = last_request(&mut events).await["left_out"].as_u64().unwrap();
    assert!(last == *left_out.last().unwrap() || last >= left_out.last().unwrap() + 6, "{last}");
    assert!(messages[0]["text"].as_str().unwrap().starts_with("[… earlier messages"));
}

#[tokio::test]
async fn a_prompt_moves_on_although_older_runs_are_deleted_meanwhile() {
    let server = Server::start().await;
    let fill =
        json!({ "steps": [{ "text": "an answer ".repeat(20) }], "repeat": true, "model": { "context_window": 2000 } });
    server.scripted_with("ada", fill, json!({})).await;
    server.install("ada", "text").await;
    let mut old = Vec::new();
    for number in 0..8 {
        old.push(server.run("ada", &format!("task {number}")).await);
    }
    let call = json!({ "name": "text__word_count", "arguments": { "text": "some words ".repeat(40) } });
    let steps = [json!({ "tool_calls": [call], "delay_ms": 300 }), json!({ "tool_calls": [call] })];
    let config = json!({ "steps": steps, "repeat": true, "model": { "context_window": 2000 } });
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    let mut events = server.events("agent_id=ada&event_type=model.request&event_type=run.*").await;
    server.start_run("ada", json!({ "task": "go" })).await;
    events.until("model.request").await;
    for run in &old {
        server.delete(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(204);
    }
    let ended = loop {
        let next = events.next().await.unwrap();
        if ["run.completed", "run.failed"].contains(&&*next.kind) {
            break next;
        }
    };
    // The script begins anew whenever its beginning is left out.
    assert_eq!(ended.data["payload"]["code"], "step_limit", "{ended:?}");
}
