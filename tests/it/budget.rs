//! Limits of runs and of an agent's day: enforced before a call, across runs and restarts.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use moxxy_server::config::UnknownPrice;
use moxxy_types::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::{
    cli::serve,
    harness::{Server, config},
};

fn usage(input: u64, output: u64) -> Value {
    json!({ "input_tokens": input, "output_tokens": output })
}

/// Returns the script of a model that repeatedly calls a missing tool, with this usage of tokens.
fn restless(input: u64, output: u64, model: Value) -> Value {
    let step = json!({ "tool_calls": [{ "name": "none" }], "usage": usage(input, output) });
    json!({ "steps": [step], "repeat": true, "model": model })
}

async fn detail(server: &Server, run: &Value) -> Value {
    let (agent, id) = (run["agent_id"].as_str().unwrap(), run["run_id"].as_str().unwrap());
    server.get(&format!("/v1/agents/{agent}/runs/{id}")).await.expect(200)
}

/// Checks that a run failed with this code, and that the message names the setting to change.
#[track_caller]
fn assert_over(run: &Value, code: &str, setting: &str) {
    assert_eq!(run["error"]["code"], code, "{run}");
    assert!(
        run["error"]["message"].as_str().unwrap().contains(&format!("raise `{setting}` in the agent's limits")),
        "{run}"
    );
}

/// Starts a server whose clock is fixed, except for the days that the test adds.
async fn dated(home: TempDir, days: &Arc<AtomicI64>) -> Server {
    let (noon, days) = (OffsetDateTime::from_unix_timestamp(1_798_718_400).unwrap(), Arc::clone(days));
    let config = config(home.path());
    Server::configured(home, config, Clock::new(move || noon + Duration::days(days.load(Ordering::SeqCst)))).await
}

#[tokio::test]
async fn no_call_may_take_more_tokens_than_are_left() {
    let server = Server::start().await;
    server.scripted_with("ada", restless(100, 300, json!({})), json!({ "max_tokens": 1000 })).await;
    let run = server.run("ada", "go").await;
    assert_over(&run, "token_limit", "max_tokens");
    let detail = detail(&server, &run).await;
    let spent = &detail["usage"];
    assert_eq!(
        (&spent["steps"], &spent["input_tokens"], &spent["output_tokens"]),
        (&json!(2), &json!(200), &json!(600))
    );
    // The maximum length of the answer is reduced before a call is rejected.
    let mut left = 1000;
    for step in detail["steps"].as_array().unwrap() {
        let most = step["input"]["max_output_tokens"].as_u64().unwrap();
        assert!(most > left / 2 && most < left, "{step}");
        assert_eq!(step["reserved_tokens"], 0);
        left -= 400;
    }
}

#[tokio::test]
async fn no_call_may_cost_more_than_is_left() {
    let server = Server::start().await;
    let model = json!({ "price": { "input": 10.0, "cached_input": 1.0, "output": 100.0 }, "max_output_tokens": 2000 });
    server.scripted_with("ada", restless(100, 300, model.clone()), json!({ "max_cost": 0.1 })).await;
    let run = server.run("ada", "go").await;
    assert_over(&run, "cost_limit", "max_cost");
    let steps = detail(&server, &run).await;
    assert_eq!((&steps["usage"]["steps"], &steps["usage"]["cost"]), (&json!(3), &json!(0.093)));
    assert!(steps["steps"][0]["input"]["max_output_tokens"].as_u64().unwrap() < 1000);
    let price = json!({ "input": 10.0, "cached_input": 1.0, "cache_write": null, "output": 100.0 });
    assert_eq!(server.get("/v1/providers/ada/models").await.expect(200)[0]["price"], price);

    // Cached input costs less, which the event says, too.
    let cached = json!({ "input_tokens": 1000, "cached_input_tokens": 900, "output_tokens": 10 });
    server
        .scripted_with("bob", json!({ "steps": [{ "text": "hi", "usage": cached }], "model": model }), json!({}))
        .await;
    let run = server.run("bob", "go").await;
    let spent = detail(&server, &run).await["usage"].clone();
    assert_eq!((&spent["cost"], &spent["cached_input_tokens"]), (&json!(0.0029), &json!(900)));
    let told = server.events("agent_id=bob&after=0").await.until("model.response").await.pop().unwrap();
    assert_eq!(told.data["payload"]["cost"], 0.0029);
}

#[tokio::test]
async fn tool_calls_above_the_limit_are_not_made_and_the_model_is_told() {
    let server = Server::start().await;
    let count = json!({ "name": "text__word_count", "arguments": { "text": "a" } });
    let steps = json!([{ "tool_calls": [count, count, count] }, { "record": true }]);
    server.scripted_with("ada", json!({ "steps": steps }), json!({ "max_tool_calls": 2 })).await;
    server.install("ada", "text").await;
    let run = server.run("ada", "go").await;
    let shown: Value = serde_json::from_str(run["output"].as_str().unwrap()).unwrap();
    let results = shown["messages"][2]["tool_results"].as_array().unwrap();
    let refused: Vec<_> = results.iter().map(|result| result["is_error"].as_bool().unwrap()).collect();
    assert_eq!(refused, [false, false, true]);
    assert!(results[2]["content"].as_str().unwrap().contains("used up its 2 tool calls"), "{results:?}");
    assert_eq!(detail(&server, &run).await["usage"]["tool_calls"], 2);

    let stubborn = json!({ "steps": [{ "tool_calls": [count] }], "repeat": true });
    server.scripted_with("bob", stubborn, json!({ "max_tool_calls": 2 })).await;
    server.install("bob", "text").await;
    let run = server.run("bob", "go").await;
    assert_over(&run, "tool_call_limit", "max_tool_calls");
    let spent = detail(&server, &run).await["usage"].clone();
    assert_eq!((&spent["tool_calls"], &spent["steps"]), (&json!(2), &json!(4)));
}

#[tokio::test]
async fn a_day_has_its_limits_and_the_next_day_new_ones() {
    let days = Arc::new(AtomicI64::new(0));
    let server = dated(TempDir::new().unwrap(), &days).await;
    let model = json!({ "price": { "input": 0.0, "output": 100.0 } });
    let answer = json!({ "steps": [{ "text": "hi", "usage": usage(100, 300) }], "repeat": true, "model": model });
    server.scripted_with("ada", answer.clone(), json!({ "max_tokens_per_day": 1000 })).await;
    server.scripted_with("bob", answer, json!({ "max_cost_per_day": 0.08 })).await;
    for agent in ["ada", "bob"] {
        assert_eq!(server.run(agent, "go").await["status"], "completed");
        assert_eq!(server.run(agent, "go").await["status"], "completed");
    }
    assert_over(&server.run("ada", "go").await, "daily_token_limit", "max_tokens_per_day");
    assert_over(&server.run("bob", "go").await, "daily_cost_limit", "max_cost_per_day");
    let server = dated(server.stop().await, &days).await;
    assert_over(&server.run("ada", "go").await, "daily_token_limit", "max_tokens_per_day");
    days.fetch_add(1, Ordering::SeqCst);
    assert_eq!(server.run("ada", "go").await["status"], "completed");
    let told = server.get("/v1/agents/ada/usage").await.expect(200);
    let day = |day: &Value| (day["day"].clone(), day["steps"].clone(), day["output_tokens"].clone());
    let days: Vec<_> = told.as_array().unwrap().iter().map(day).collect();
    assert_eq!(days, [(json!("2027-01-01"), json!(1), json!(300)), (json!("2026-12-31"), json!(2), json!(600))]);
    let page = server.get("/v1/agents/ada/usage?limit=1").await;
    let next = page.headers["link"].to_str().unwrap().trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(server.get(&next).await.expect(200)[0]["day"], "2026-12-31");
}

#[tokio::test]
async fn runs_side_by_side_do_not_exceed_the_day_together() {
    let server = Server::with(|config| {
        config.runs.max_output_tokens = 1000;
        config.runs.concurrent_sessions = 8;
    })
    .await;
    let answer = json!({ "text": "hi", "delay_ms": 2000, "usage": usage(10, 990) });
    let config = json!({ "steps": [answer], "repeat": true });
    server.scripted_with("ada", config, json!({ "max_tokens_per_day": 3300 })).await;
    let runs = futures_util::future::join_all((0..8).map(|number| {
        let body = json!({ "task": "go", "session": format!("s{number}") });
        let request = server.request(reqwest::Method::POST, "/v1/agents/ada/runs").header("Prefer", "wait=60");
        crate::harness::send(request.json(&body))
    }));
    let runs: Vec<_> = runs.await.into_iter().map(|run| run.expect(201)).collect();
    let (done, refused): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run["status"] == "completed");
    for run in &refused {
        assert_over(run, "daily_token_limit", "max_tokens_per_day");
    }
    let day = server.get("/v1/agents/ada/usage").await.expect(200)[0].clone();
    assert!(day["input_tokens"].as_u64().unwrap() + day["output_tokens"].as_u64().unwrap() <= 3300, "{day}");
    assert!(!refused.is_empty() && (2..=3).contains(&done.len()), "{runs:?}");
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_estimated_and_reserves_nothing_after_a_restart() {
    let change = |config: &mut moxxy_server::config::Config| {
        config.server.shutdown_grace = 0;
        config.runs.max_output_tokens = 1000;
    };
    let server = Server::with(change).await;
    let steps = json!([{ "text": "late", "delay_ms": 20_000 }]);
    server.scripted("ada", steps).await;
    let mut events = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "go" })).await;
    events.until("model.request").await;
    let reserved = detail(&server, &run).await["usage"]["reserved_tokens"].as_u64().unwrap();
    assert!((1001..1350).contains(&reserved), "{reserved}");
    let home = server.stop().await;
    let server = Server::at(home, change).await;
    server.post("/v1/agents/ada/stop", json!({ "mode": "now" })).await.expect(200);
    server.events("agent_id=ada&after=0").await.until("run.cancelled").await;
    let run = detail(&server, &run).await;
    let first = &run["steps"][0];
    assert_eq!((&first["status"], &first["is_estimated"]), (&json!("interrupted"), &json!(true)), "{first}");
    assert!((1..100).contains(&first["input_tokens"].as_u64().unwrap()), "{first}");
    assert_eq!(run["usage"]["reserved_tokens"], 0, "{run}");
}

#[tokio::test]
async fn what_a_service_turns_down_is_free_and_what_it_does_not_report_is_not() {
    let server = Server::with(|config| config.runs.max_output_tokens = 1000).await;
    server.scripted("down", json!([{ "error": { "kind": "rate_limited", "message": "slow down" } }])).await;
    let step = json!({ "text": "a b", "stream": true, "error_after": 2, "error": { "kind": "transport" } });
    server.scripted("cut", json!([step])).await;
    server.scripted("silent", json!([{ "text": "hi", "no_usage": true }])).await;
    for (agent, is_counted) in [("down", false), ("cut", true), ("silent", true)] {
        let run = detail(&server, &server.run(agent, "go").await).await;
        assert_eq!(run["usage"]["reserved_tokens"], 0, "{run}");
        for step in run["steps"].as_array().unwrap() {
            let tokens = [&step["input_tokens"], &step["output_tokens"]].map(|tokens| tokens.as_u64().unwrap());
            assert_eq!(step["is_estimated"], is_counted, "{agent}: {step}");
            assert!(tokens.iter().all(|tokens| (*tokens > 0) == is_counted && *tokens < 100), "{agent}: {step}");
        }
    }
}

#[tokio::test]
async fn an_unknown_price_is_denied_or_warned_of_as_configured() {
    let answer = json!({ "steps": [{ "text": "hi", "usage": usage(100, 300) }], "repeat": true });
    let limits = json!({ "max_cost": 1.0 });
    let server = Server::start().await;
    server.scripted_with("ada", answer.clone(), limits.clone()).await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["error"]["code"], "unknown_price");
    assert!(run["error"]["message"].as_str().unwrap().contains("the price of `ada/script` is not known"), "{run}");
    assert_eq!(detail(&server, &run).await["steps"], json!([]));
    server.scripted_with("bob", answer.clone(), json!({})).await;
    let run = server.run("bob", "go").await;
    assert_eq!((&run["status"], &detail(&server, &run).await["steps"][0]["cost"]), (&json!("completed"), &Value::Null));

    let server = Server::with(|config| config.prices.unknown = UnknownPrice::Warn).await;
    server.scripted_with("ada", answer.clone(), limits.clone()).await;
    assert_eq!(server.run("ada", "go").await["status"], "completed");

    let own = "ada/script 10 1 100".to_owned();
    let server = Server::with(|config| config.prices.models = vec![own.try_into().unwrap()]).await;
    server.scripted_with("ada", answer, limits).await;
    let run = server.run("ada", "go").await;
    assert_eq!(detail(&server, &run).await["usage"]["cost"], 0.031);
}

#[tokio::test]
async fn limits_are_amounts() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    for limits in [json!({ "max_tool_calls": 0 }), json!({ "max_cost": 0 }), json!({ "max_cost_per_day": -1 })] {
        server.patch("/v1/agents/ada", json!({ "limits": limits })).await.error(400, "invalid_input");
    }
    let limits = json!({ "max_cost": 0.000_000_001, "max_cost_per_day": 12.5, "max_tokens_per_day": 7 });
    let kept = server.patch("/v1/agents/ada", json!({ "limits": limits })).await.expect(200)["limits"].clone();
    assert_eq!((&kept["max_cost"], &kept["max_cost_per_day"]), (&json!(1e-9), &json!(12.5)));
}

#[tokio::test]
async fn a_call_is_made_again_under_the_same_key_after_its_server_was_killed() {
    let home = TempDir::new().unwrap();
    let (mut first, url) = serve(home.path(), &[]);
    let server = Server::elsewhere(url, home);
    let steps = json!([{ "record": true, "delay_ms": 4000 }, { "record": true }]);
    server.scripted("ada", steps).await;
    let mut events = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    first.kill().unwrap();
    first.wait().unwrap();
    let server = Server::at(server.stop().await, |_| {}).await;
    server.events("agent_id=ada&after=0").await.until("run.completed").await;
    let run = detail(&server, &run).await;
    let key = |step: usize| run["steps"][step]["input"]["idempotency_key"].as_str().unwrap().to_owned();
    assert_eq!((&run["steps"][0]["status"], key(0)), (&json!("interrupted"), key(1)));
    let shown = |run: &Value| -> Value { serde_json::from_str(run["output"].as_str().unwrap()).unwrap() };
    assert_eq!(shown(&run)["idempotency_key"], key(0));
    let next = server.run("ada", "one").await;
    assert_ne!(shown(&next)["idempotency_key"], key(0));
}
