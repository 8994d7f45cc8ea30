//! Fallback of a run to the agent's other models when one fails.

use serde_json::{Value, json};

use crate::{
    cli::{moxxy, text},
    harness::{Server, Stream},
};

/// Installs a provider with a script.
async fn provider(server: &Server, id: &str, config: Value) {
    let body = json!({ "id": id, "component": { "bundled": "script" }, "config": config });
    server.post("/v1/providers", body).await.expect(201);
}

fn fallbacks(providers: &[&str]) -> Value {
    providers.iter().map(|id| json!({ "provider": id, "model": "script" })).collect()
}

/// Creates an agent with providers that play back these scripts, in this order.
async fn agent(server: &Server, name: &str, configs: Vec<Value>, limits: Value) {
    let ids: Vec<_> = (0..configs.len()).map(|index| format!("{name}-{index}")).collect();
    for (id, config) in ids.iter().zip(configs) {
        provider(server, id, config).await;
    }
    let others: Vec<_> = ids[1..].iter().map(String::as_str).collect();
    let body = json!({
        "name": name, "provider": ids[0], "model": "script", "fallbacks": fallbacks(&others), "limits": limits,
    });
    server.post("/v1/agents", body).await.expect(201);
}

fn fails(kind: &str) -> Value {
    json!({ "error": { "kind": kind, "message": "no", "retry_after": 0 } })
}

fn steps(step: Value) -> Value {
    json!({ "steps": [step], "repeat": true, "model": { "price": { "input": 1.0, "output": 1.0 } } })
}

/// Returns the provider and the status of each model call of a run.
async fn calls(server: &Server, run: &Value) -> Vec<(String, String)> {
    let (agent, id) = (run["agent_id"].as_str().unwrap(), run["run_id"].as_str().unwrap());
    let detail = server.get(&format!("/v1/agents/{agent}/runs/{id}")).await.expect(200);
    let steps = detail["steps"].as_array().unwrap().clone();
    let of = |value: &Value| value.as_str().unwrap().to_owned();
    let models = steps.iter().filter(|step| step["kind"] == "model");
    models.map(|step| (of(&step["input"]["provider"]), of(&step["status"]))).collect()
}

fn pairs(calls: &[(String, String)]) -> Vec<(&str, &str)> {
    calls.iter().map(|(provider, status)| (&**provider, &**status)).collect()
}

#[tokio::test]
async fn another_model_answers_where_one_fails() {
    let server = Server::with(|config| config.plugins.first_token = 2000).await;
    let cases = [
        ("limited", fails("rate_limited"), "provider_rate_limited"),
        ("overloaded", fails("overloaded"), "provider_overloaded"),
        ("unreachable", fails("transport"), "provider_unreachable"),
        ("closed", fails("authentication"), "provider_authentication"),
        ("wrong", fails("invalid_request"), "provider_rejected_request"),
        ("broke", fails("other"), "provider_failed"),
        ("trap", json!({ "trap": true }), "component_trapped"),
        ("endless", json!({ "no_stop": true }), "component_trapped"),
        ("slow", json!({ "text": "late", "delay_ms": 60_000 }), "component_limit"),
    ];
    for (name, step, code) in cases {
        agent(&server, name, vec![steps(step), steps(json!({ "text": "here" }))], json!({})).await;
        let run = server.run(name, "go").await;
        assert_eq!(run["output"], "here", "{run}");
        let (first, second) = (format!("{name}-0"), format!("{name}-1"));
        assert_eq!(pairs(&calls(&server, &run).await), [(&*first, "failed"), (&*second, "completed")]);
        let mut told = server.events(&format!("after=0&agent_id={name}")).await;
        let failed = payload(&mut told, "model.failed").await;
        assert_eq!(
            (&failed["provider_id"], &failed["model"], &failed["code"]),
            (&json!(first), &json!("script"), &json!(code))
        );
        let retried = payload(&mut told, "model.retried").await;
        assert_eq!((&retried["provider_id"], &retried["reason"]), (&json!(second), &json!(code)), "{retried}");
        assert_eq!((&retried["instead_of"], &retried["attempt"]), (&json!(format!("{first}/script")), &json!(1)));
        assert_eq!(payload(&mut told, "model.request").await["provider_id"], json!(second));
    }
}

async fn payload(told: &mut Stream, kind: &str) -> Value {
    told.until(kind).await.pop().unwrap().data["payload"].clone()
}

#[tokio::test]
async fn what_another_model_must_not_do_ends_the_run() {
    let server = Server::start().await;
    agent(&server, "refused", vec![steps(fails("refused")), steps(json!({ "text": "here" }))], json!({})).await;
    let run = server.run("refused", "go").await;
    assert_eq!(run["error"]["code"], "content_refused", "{run}");
    assert_eq!(calls(&server, &run).await.len(), 1);
    // What the failed model said stays in the history.
    let late = json!({ "text": "a b c", "stream": true, "error_after": 2, "error": { "kind": "overloaded", "message": "no" } });
    agent(&server, "late", vec![steps(late), steps(json!({ "record": true }))], json!({})).await;
    let run = server.run("late", "go").await;
    assert_eq!(calls(&server, &run).await.len(), 2);
    let shown: Value = serde_json::from_str(run["output"].as_str().unwrap()).unwrap();
    let roles: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|m| (&m["role"], &m["text"])).collect();
    let told = json!("[Your answer broke off here. Give your complete answer.]");
    assert_eq!(roles[1..], [(&json!("assistant"), &json!("a b ")), (&json!("user"), &told)], "{shown}");
    let history = server.get("/v1/agents/late/history").await.expect(200);
    assert_eq!((&history[1]["content"], &history[1]["partial"]), (&json!("a b "), &json!("failed")), "{history}");
    // The error is that of the last one.
    let all = vec![steps(fails("overloaded")), steps(json!({ "trap": true })), steps(fails("authentication"))];
    agent(&server, "all", all, json!({})).await;
    let run = server.run("all", "go").await;
    assert_eq!(run["error"]["code"], "provider_authentication", "{run}");
    assert_eq!(pairs(&calls(&server, &run).await), [("all-0", "failed"), ("all-1", "failed"), ("all-2", "failed")]);
}

#[tokio::test]
async fn a_model_is_tried_again_before_another_is() {
    let server = Server::with(|config| config.runs.retries = 2).await;
    agent(&server, "ada", vec![steps(fails("overloaded")), steps(json!({ "text": "here" }))], json!({})).await;
    let run = server.run("ada", "go").await;
    let failed = ("ada-0", "failed");
    assert_eq!(pairs(&calls(&server, &run).await), [failed, failed, failed, ("ada-1", "completed")]);
    let told = server.events("after=0&agent_id=ada").await.until("run.completed").await;
    let told: Vec<_> =
        told.iter().filter(|event| event.kind == "model.retried").map(|event| &event.data["payload"]).collect();
    let told: Vec<_> = told.iter().map(|retried| (&retried["attempt"], &retried["instead_of"])).collect();
    assert_eq!(told, [(&json!(1), &Value::Null), (&json!(2), &Value::Null), (&json!(3), &json!("ada-0/script"))]);
}

#[tokio::test]
async fn a_run_stays_with_the_model_that_answers_and_the_next_begins_anew() {
    let server = Server::start().await;
    let count = json!({ "name": "text__word_count", "arguments": { "text": "a b" } });
    let answers = json!({ "steps": [{ "tool_calls": [count] }, { "record": true }], "per_task": true });
    agent(&server, "ada", vec![steps(fails("other")), answers], json!({})).await;
    server.install("ada", "text").await;
    let expected = [("ada-0", "failed"), ("ada-1", "completed"), ("ada-1", "completed")];
    for task in ["one", "two"] {
        let run = server.run("ada", task).await;
        assert_eq!(run["status"], "completed", "{run}");
        assert_eq!(pairs(&calls(&server, &run).await), expected);
    }
}

#[tokio::test]
async fn a_restart_does_not_go_back_to_the_model_that_failed() {
    let server = Server::with(|config| config.server.shutdown_grace = 1).await;
    let slow = steps(json!({ "text": "late", "delay_ms": 50_000 }));
    agent(&server, "ada", vec![steps(fails("other")), slow], json!({})).await;
    let mut told = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "go" })).await;
    told.until("model.retried").await;
    told.until("model.request").await;
    let quick = json!({ "config": steps(json!({ "text": "here" })) });
    server.patch("/v1/providers/ada-1", quick).await.expect(200);
    let server = Server::at(server.stop().await, |_| {}).await;
    server.events("after=0&agent_id=ada").await.until("run.completed").await;
    let expected = [("ada-0", "failed"), ("ada-1", "interrupted"), ("ada-1", "completed")];
    assert_eq!(pairs(&calls(&server, &run).await), expected);
}

#[tokio::test]
async fn limits_hold_for_the_price_of_the_model_that_is_asked() {
    let server = Server::start().await;
    let priced = |step: Value, price: f64| {
        let model = json!({ "price": { "input": 0.0, "output": price }, "max_output_tokens": 1000 });
        json!({ "steps": [step], "model": model })
    };
    let answer = json!({ "text": "here", "usage": { "input_tokens": 10, "output_tokens": 100 } });
    let configs = vec![priced(fails("other"), 1.0), priced(answer.clone(), 50.0)];
    agent(&server, "ada", configs, json!({ "max_cost": 0.1 })).await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["output"], "here", "{run}");
    let mut told = server.events("after=0&agent_id=ada").await;
    for cost in [0.001, 0.05] {
        assert_eq!(payload(&mut told, "model.request").await["reserved_cost"], json!(cost));
    }
    assert_eq!(payload(&mut told, "model.response").await["cost"], json!(0.005));
    let configs = vec![priced(fails("other"), 1.0), priced(answer, 5000.0)];
    agent(&server, "bob", configs, json!({ "max_cost": 0.1 })).await;
    let run = server.run("bob", "go").await;
    assert_eq!(run["error"]["code"], "cost_limit", "{run}");
    assert_eq!(calls(&server, &run).await.len(), 1);
}

#[tokio::test]
async fn fallbacks_are_checked_shown_and_keep_their_providers() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    assert_eq!(server.get("/v1/agents/ada").await.expect(200)["fallbacks"], json!([]));
    provider(&server, "spare", steps(json!({ "text": "here" }))).await;
    let wrong = [
        (fallbacks(&["nobody"]), "fallbacks[0].provider"),
        (fallbacks(&["spare", "spare"]), "fallbacks[1].model"),
        (json!([{ "provider": "offline", "model": "echo" }]), "fallbacks[0].model"),
        (fallbacks(&["spare"; 9]), "fallbacks"),
    ];
    for (fallbacks, field) in wrong {
        let refused = server.patch("/v1/agents/ada", json!({ "fallbacks": fallbacks })).await;
        assert_eq!(refused.body["details"][0]["field"], field, "{refused:?}");
        refused.error(400, "invalid_input");
    }
    let agent = server.patch("/v1/agents/ada", json!({ "fallbacks": fallbacks(&["spare"]) })).await.expect(200);
    assert_eq!(agent["fallbacks"], fallbacks(&["spare"]));
    let refused = server.delete("/v1/providers/spare").await.error(409, "provider_in_use");
    assert_eq!(refused, "Provider 'spare' is used by: ada");
    server.patch("/v1/agents/ada", json!({ "fallbacks": [] })).await.expect(200);
    server.delete("/v1/providers/spare").await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_are_given_on_the_command_line() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let run = |arguments: &[&str]| {
        let mut command = moxxy(server.home.path());
        let output = command.args(["--url", &server.url]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).to_owned()
    };
    let shown = run(&["agent", "update", "ada", "--fallback", "offline/planner"]);
    assert!(shown.contains("offline/planner"), "{shown}");
    assert!(!run(&["agent", "update", "ada", "--no-fallbacks"]).contains("planner"));
    run(&["agent", "create", "bob", "--provider", "offline", "--model", "planner", "--fallback", "offline/echo"]);
    let expected = json!([{ "provider": "offline", "model": "echo" }]);
    assert_eq!(server.get("/v1/agents/bob").await.expect(200)["fallbacks"], expected);
}
