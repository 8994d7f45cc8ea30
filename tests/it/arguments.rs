//! Validation of arguments and configurations against the schemas of components.

use std::{fs, path::Path, process::Child};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    cli::serve,
    harness::{Server, test_component},
    outcomes::outcome,
};

/// Number of requests with each slow value, so that its time is measurable.
const OFTEN: usize = 3;

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
        { "field": "arguments.extra", "pointer": "/arguments/extra", "reason": "it is not known; known are: `items`, `note`, `speed`" },
        {
            "field": "arguments.items[0].count",
            "pointer": "/arguments/items/0/count",
            "reason": "it is 0, but has to be at least 1",
        },
    ]);
    assert_eq!(refused.body["details"], details);
    refused.error(400, "invalid_arguments");
    // The rejected call has no events.
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

/// Returns the values that take longest to validate, by property of the slow components.
fn slow_values() -> [(&'static str, Value); 8] {
    let zeros = |count| Value::from(vec![0; count]);
    let fields = || (0..20_000).map(|number| (format!("{number:x}"), json!(1))).collect::<Map<_, _>>();
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 { 'a' } else { 'b' }
    };
    let mut text = |length: usize| (0..length).map(|_| letter()).collect::<String>();
    [
        ("references", zeros(40_000)),
        ("constant", zeros(40_000)),
        ("pattern", json!(text(200_000))),
        ("names", (0..50).map(|_| (text(4000), json!(1))).collect::<Map<_, _>>().into()),
        ("fields", fields().into()),
        ("items", zeros(80_000)),
        ("unique", json!([zeros(80_000)])),
        ("contains", zeros(80_000)),
    ]
}

fn slow_provider() -> Value {
    let component = BASE64.encode(fs::read(test_component("slow_config")).unwrap());
    json!({ "id": "slow", "component": { "base64": component } })
}

/// Returns the processor time of a process's threads of one name, in ticks.
fn computed(process: u32, name: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|task| task.unwrap().path());
    let time = |task: &Path| {
        // A thread that has ended meanwhile does not count.
        let stat = fs::read_to_string(task.join("stat")).ok()?;
        let (start, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).collect();
        start.ends_with(name).then(|| fields.iter().sum::<u64>())
    };
    tasks.filter_map(|task| time(&task)).sum()
}

/// Process that is killed when the test ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn what_takes_long_to_check_takes_no_time_of_the_servers_threads() {
    let home = TempDir::new().unwrap();
    let (child, url) = serve(home.path(), &[]);
    let (process, server) = (Process(child), Server::elsewhere(url, home));
    server.offline("ada", "echo").await;
    server.upload("ada", "slow").await.expect(201);
    server.post("/v1/providers", slow_provider()).await.expect(201);
    for way in ["a tool call", "a model", "a configuration"] {
        let before = computed(process.0.id(), "moxxy-schema");
        for (attack, value) in slow_values() {
            let arguments = json!({ (attack): value });
            let model = format!("model-{attack}");
            if way == "a model" {
                let call = json!({ "name": "slow__take", "arguments": arguments });
                let steps = vec![json!({ "tool_calls": vec![call; OFTEN] }), json!({ "text": "done" })];
                server.scripted(&model, json!(steps)).await;
                server.upload(&model, "slow").await.expect(201);
                assert_eq!(server.run(&model, "go").await["status"], "completed", "{attack}");
            }
            for _ in 0..OFTEN {
                match way {
                    "a tool call" => drop(server.invoke("ada", "slow", "take", arguments.clone()).await),
                    "a configuration" => {
                        drop(server.patch("/v1/providers/slow", json!({ "config": arguments })).await);
                    }
                    _ => {}
                }
            }
            outcome(&format!("a schema that is slow: {attack}, by {way}"), "bounded, on threads that give way");
        }
        assert!(computed(process.0.id(), "moxxy-schema") > before, "{way}");
    }
}

#[tokio::test]
async fn a_configuration_is_held_against_its_schema_before_the_database_is_asked() {
    let server = Server::start().await;
    server.post("/v1/providers", json!({ "id": "ada", "component": { "bundled": "openai" } })).await.expect(201);
    server.post("/v1/providers", slow_provider()).await.expect(201);
    let options = SqliteConnectOptions::new().filename(server.home.path().join("moxxy.db"));
    let mut db = options.connect().await.unwrap();
    // Lock the database: no other write succeeds from here on.
    db.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = server.patch("/v1/providers/ada", json!({ "config": { "auth": "magic" } })).await;
    refused.error(400, "invalid_input");
    let refused = server.patch("/v1/providers/slow", json!({ "config": { "constant": [0] } })).await;
    refused.error(400, "invalid_input");
    db.execute("ROLLBACK").await.unwrap();
    server.patch("/v1/providers/ada", json!({ "config": { "auth": "none" } })).await.expect(200);
    outcome("a configuration that is slow to check", "checked outside the database's writer");
}
