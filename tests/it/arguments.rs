//! Arguments and configurations, held against what components say that they take.

use serde_json::{Value, json};

use crate::harness::Server;

#[tokio::test]
async fn wrong_arguments_come_back_to_the_model_and_no_component_sees_them() {
    let server = Server::start().await;
    let item = json!({ "code": "AB1", "count": 2 });
    let cases = [
        (json!({ "items": [item] }), "order was called with"),
        (json!({}), "`items`: it is missing"),
        (json!({ "items": [] }), "`items`: it has 0 items, but has to have at least 1"),
        (json!({ "items": item }), "`items`: it is an object, but has to be an array"),
        (json!({ "items": [item, { "code": "x", "count": 1 }] }), "`items[1].code`: it does not match the pattern"),
        (
            json!({ "items": [{ "code": "AB1", "count": "2" }] }),
            "`items[0].count`: it is a string, but has to be an integer",
        ),
        (
            json!({ "items": [{ "code": "AB1", "count": 100 }] }),
            "`items[0].count`: it is 100, but has to be at most 99",
        ),
        (json!({ "items": [item], "note": "12345678901" }), "`note`: it has 11 characters, but has to have at most 10"),
        (json!({ "items": [item], "speed": "SLOW" }), "`speed`: it has to be one of \"slow\", \"fast\""),
        (json!({ "items": [item], "extra": 1 }), "`extra`: it is not known; known are: `items`, `note`, `speed`"),
        (json!("[1]"), "The arguments are not a JSON object."),
        (json!("{\"items\": [,"), "The arguments are not a JSON object: expected value at line 1 column 12."),
        (json!(format!("{{\"items\": {}{}}}", "[".repeat(100), "]".repeat(100))), "nest more than 64 levels deep"),
    ];
    let calls: Vec<_> =
        cases.iter().map(|(arguments, _)| json!({ "name": "strict__order", "arguments": arguments })).collect();
    server.scripted("ada", json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.upload("ada", "strict").await.expect(201);
    let run = server.run("ada", "go").await;
    let seen: Value = serde_json::from_str(run["output"].as_str().unwrap_or_else(|| panic!("{run}"))).unwrap();
    let results = seen["messages"][2]["tool_results"].as_array().unwrap();
    for (result, (arguments, expected)) in results.iter().zip(&cases) {
        let content = result["content"].as_str().unwrap();
        assert!(content.contains(expected) && content.len() < 1000, "{arguments}: {content}");
    }
    let detail = server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(detail["usage"]["tool_calls"], 1);
}

#[tokio::test]
async fn a_client_is_told_each_argument_that_is_wrong() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "strict").await.expect(201);
    let arguments = json!({ "items": [{ "code": "AB1", "count": 0 }], "extra": 1 });
    let refused = server.invoke("ada", "strict", "order", arguments).await;
    let details = json!([
        { "field": "arguments.extra", "reason": "it is not known; known are: `items`, `note`, `speed`" },
        { "field": "arguments.items[0].count", "reason": "it is 0, but has to be at least 1" },
    ]);
    assert_eq!(refused.body["details"], details);
    refused.error(400, "invalid_arguments");
    // Nothing was told of, as nothing was called.
    let good = json!({ "items": [{ "code": "AB1", "count": 1 }] });
    server.invoke("ada", "strict", "order", good).await.expect(200);
    let told = server.events("after=0&agent_id=ada").await.until("skill.completed").await;
    assert_eq!(told.iter().filter(|event| event.kind == "skill.invoked").count(), 1);
}

#[tokio::test]
async fn what_would_take_for_ever_to_check_is_not_held_against_anyone() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "strict").await.expect(201);
    let long = "a".repeat(100_000);
    let cases = [
        ("doubles", json!({ "a": [1, 2, 3] })),
        ("forever", json!({})),
        ("patterns", json!({ "huge": long, "behind": "b" })),
    ];
    for (tool, arguments) in cases {
        let called = server.invoke("ada", "strict", tool, arguments).await.expect(200);
        assert!(called.as_str().unwrap().starts_with(&format!("{tool} was called")));
    }
    let refused = server.invoke("ada", "strict", "patterns", json!({ "slow": long + "!" })).await;
    refused.error(400, "invalid_arguments");
}

#[tokio::test]
async fn a_configuration_that_a_provider_does_not_take_is_refused() {
    let server = Server::start().await;
    let install = |config: Value| json!({ "id": "ada", "component": { "bundled": "openai" }, "config": config });
    let cases = [
        (json!({ "base_url": 5 }), "config.base_url"),
        (json!({ "base_ulr": "https://example.com" }), "config.base_ulr"),
        (json!({ "models": [{ "id": "a", "context_window": "big" }] }), "config.models[0].context_window"),
        (json!({ "auth": "magic" }), "config.auth"),
    ];
    for (config, field) in &cases {
        let refused = server.post("/v1/providers", install(config.clone())).await;
        assert_eq!(refused.body["details"][0]["field"], *field, "{refused:?}");
        refused.error(400, "invalid_input");
    }
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 0);
    let right = json!({ "auth": "none", "models": [{ "id": "a", "context_window": 1000 }] });
    server.post("/v1/providers", install(right)).await.expect(201);
    for (config, field) in cases {
        let refused = server.patch("/v1/providers/ada", json!({ "config": config })).await;
        assert_eq!(refused.body["details"][0]["field"], field, "{refused:?}");
        refused.error(400, "invalid_input");
    }
}
