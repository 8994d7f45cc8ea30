//! Names of tools as services receive them, and as everything else does.

use serde_json::{Value, json};

use crate::harness::Server;

fn shown(run: &Value) -> Value {
    serde_json::from_str(run["output"].as_str().unwrap_or_else(|| panic!("{run}"))).unwrap()
}

fn is_taken(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

#[tokio::test]
async fn names_that_no_service_takes_are_shown_otherwise_and_lead_back() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "record": true }])).await;
    let skill = server.upload("ada", "long_names").await.expect(201);
    let tools: Vec<_> = skill["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let own = |tool: &str| format!("a-skill-of-names__{tool}");
    let listed = shown(&server.run("ada", "go").await)["tools"].clone();
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert!(listed.iter().all(|name| is_taken(name)), "{listed:?}");
    // The third tool has the name that the first would get, and keeps it.
    assert_eq!((listed[2].clone(), listed[3].clone()), (own(tools[2]), own("-")));
    assert!(own(tools[0]).starts_with(&listed[0][..51]) && listed[0] != listed[2], "{listed:?}");

    let calls: Vec<_> = listed[..4].iter().map(|name| json!({ "name": name })).collect();
    let steps = json!([{ "tool_calls": calls }, { "record": true }]);
    server.scripted("bob", steps).await;
    server.upload("bob", "long_names").await.expect(201);
    let run = server.run("bob", "go").await;
    let seen = shown(&run);
    let results: Vec<_> =
        seen["messages"][2]["tool_results"].as_array().unwrap().iter().map(|r| &r["content"]).collect();
    assert_eq!(results, tools.iter().map(|tool| json!(tool)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    let again: Vec<_> =
        seen["messages"][1]["tool_calls"].as_array().unwrap().iter().map(|call| &call["name"]).collect();
    assert_eq!(again, listed[..4].iter().collect::<Vec<_>>());
    // Everything else has the tools' own names.
    let detail = server.get(&format!("/v1/agents/bob/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    let made: Vec<_> = detail["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "tool").collect();
    let named: Vec<_> = made.iter().map(|step| step["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(named, tools.iter().map(|tool| own(tool)).collect::<Vec<_>>());
    let history = server.get("/v1/agents/bob/history").await.expect(200);
    assert_eq!(history[1]["tool_calls"][0]["name"], own(tools[0]));
    let invoked = server.events("after=0&agent_id=bob").await.until("skill.invoked").await.pop().unwrap();
    assert_eq!(invoked.data["payload"]["tool"], tools[0]);
}

#[tokio::test]
async fn the_policy_knows_tools_by_their_own_names() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "record": true }])).await;
    let skill = server.upload("ada", "long_names").await.expect(201);
    let first = format!("a-skill-of-names__{}", skill["tools"][0]["name"].as_str().unwrap());
    let policy = json!({ "tools": { first: "deny" } });
    let path = "/v1/agents/ada/tool-policy";
    crate::harness::send(server.request(reqwest::Method::PUT, path).json(&policy)).await.expect(200);
    let listed = shown(&server.run("ada", "go").await)["tools"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 4, "{listed}");
}

#[tokio::test]
async fn a_model_that_makes_a_name_up_is_told_the_nearest() {
    let server = Server::start().await;
    let calls = json!([{ "name": "text.word_count" }, { "name": "" }, { "name": "ä".repeat(100) }]);
    server.scripted("ada", json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.install("ada", "text").await;
    let seen = shown(&server.run("ada", "go").await);
    let results = seen["messages"][2]["tool_results"].as_array().unwrap();
    let told = results[0]["content"].as_str().unwrap();
    assert!(
        told.starts_with("There is no tool named \"text.word_count\". Nearest to it are: `text__word_count`"),
        "{told}"
    );
    // The service accepts the history with the made-up names.
    let calls = seen["messages"][1]["tool_calls"].as_array().unwrap();
    assert!(calls.len() == 3 && calls.iter().all(|call| is_taken(call["name"].as_str().unwrap())), "{calls:?}");
}
