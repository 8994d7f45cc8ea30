//! Skills in other languages, built with their own tools for the same WIT, under the default limits.

use serde_json::{Value, json};

use crate::harness::{Server, test_component};

/// Starts a server with the component, or returns `None` if it was not built.
async fn server(component: &str) -> Option<Server> {
    if !test_component(component).exists() {
        assert!(std::env::var_os("CI").is_none(), "{component} was not built");
        println!("skipped: {component} was not built, its language's tools are missing");
        return None;
    }
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.upload("ada", component).await.expect(201);
    Some(server)
}

#[tokio::test]
async fn a_skill_in_python() {
    let Some(server) = server("stats").await else { return };
    let call = async |numbers: Value| server.invoke("ada", "stats", "describe", json!({ "numbers": numbers })).await;
    let described = call(json!([1, 2, 3, 6])).await.expect(200);
    assert_eq!((&described["mean"], &described["median"]), (&json!(3.0), &json!(2.5)));
    for wrong in [json!([]), json!(["a"]), json!(1), Value::Null] {
        call(wrong).await.error(400, "invalid_arguments");
    }
}

#[tokio::test]
async fn a_skill_in_javascript() {
    let Some(server) = server("regex").await else { return };
    let call = async |tool: &str, arguments: Value| server.invoke("ada", "regex", tool, arguments).await;
    let found = call("find", json!({ "text": "a1 b22", "pattern": "[0-9]+" })).await.expect(200);
    assert_eq!(found, json!(["1", "22"]));
    let replaced = json!({ "text": "Aa", "pattern": "a", "flags": "i", "replacement": "b" });
    assert_eq!(call("replace", replaced).await.expect(200), "bb");
    let wrong = call("find", json!({ "text": "a", "pattern": "(" })).await.error(400, "invalid_arguments");
    assert!(wrong.starts_with("`pattern` is wrong"), "{wrong}");
}
