//! Format of errors: the same for every error, whatever its source.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, send};

#[tokio::test]
async fn bad_bodies_are_named_and_change_nothing() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let posts = ["/v1/agents", "/v1/providers", "/v1/agents/ada/runs", "/v1/agents/ada/skills/install"];
    for path in posts {
        let post = |body: &'static str| {
            send(server.request(Method::POST, path).header("Content-Type", "application/json").body(body))
        };
        post("{").await.error(400, "malformed_json");
        post("").await.error(400, "malformed_json");
        post("{} {}").await.error(400, "malformed_json");
        let unknown = post(r#"{"surprise": 1}"#).await;
        assert!(
            unknown.body["details"][0]["reason"].as_str().unwrap().contains("unknown field `surprise`"),
            "{unknown:?}"
        );
        unknown.error(400, "invalid_input");
        post("[]").await.error(400, "invalid_input");
        post("\u{1}").await.error(400, "malformed_json");
        post(r#"{"name": "a", "name": "b"}"#).await.error(400, "invalid_input");
        let deep = format!(r#"{{"config": {}{}}}"#, "[".repeat(100), "]".repeat(100));
        let deep = server.request(Method::POST, path).header("Content-Type", "application/json").body(deep);
        assert!(send(deep).await.error(400, "invalid_input").contains("at most 64 levels deep"));
        let text = server.request(Method::POST, path).header("Content-Type", "text/plain").body("{}");
        send(text).await.error(415, "unsupported_media_type");
        send(server.request(Method::POST, path).body("{}")).await.error(415, "unsupported_media_type");
    }
    let nested = json!({ "name": "bob", "provider": "offline", "model": "echo", "limits": { "max_steps": "many" } });
    let answer = server.post("/v1/agents", nested).await;
    assert_eq!(answer.body["details"][0]["field"], "limits.max_steps");
    assert_eq!(server.get("/v1/agents").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_wrong_fields_are_reported_at_once() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let pointers = |answer: &Answer| {
        let details = answer.body["details"].as_array().unwrap().iter();
        details.map(|detail| detail["pointer"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let cases = [
        // Of the wrong type, missing and unknown.
        (
            "/v1/agents",
            json!({ "name": "A b", "provider": 5, "limits": { "max_steps": "x", "a/b": 1 } }),
            &["/name", "/provider", "/model", "/limits/max_steps", "/limits/a~1b"][..],
        ),
        // Out of range.
        (
            "/v1/agents",
            json!({
                "name": "bob", "provider": "offline", "model": "", "temperature": 3,
                "limits": { "max_steps": 0, "max_cost": 0 }, "fallbacks": [{ "provider": "none", "model": "x" }],
            }),
            &["/model", "/temperature", "/limits/max_steps", "/limits/max_cost", "/fallbacks/0/provider"],
        ),
        ("/v1/auth/tokens", json!({ "scopes": [], "expires_in_seconds": 0 }), &["/scopes", "/expires_in_seconds"]),
        ("/v1/auth/tokens", json!({ "scopes": ["all"], "description": 1 }), &["/scopes/0", "/description"]),
        (
            "/v1/vault/grants",
            json!({ "hosts": [], "place": "somewhere", "max_uses": 0, "expires_at": "soon" }),
            &["/secret_id", "/agent_id", "/hosts", "/place", "/max_uses", "/expires_at"],
        ),
        ("/v1/vault/secrets", json!({ "name": "K", "value": "", "colour": 1 }), &["/colour"]),
        ("/v1/agents/ada/runs", json!({ "session": "A" }), &["/task", "/session"]),
        ("/v1/agents/ada/runs", json!([]), &[""]),
    ];
    for (path, body, expected) in cases {
        let refused = server.post(path, body.clone()).await;
        let expected = expected.iter().map(|&pointer| pointer.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(pointers(&refused), expected, "{path} {body}: {refused:?}");
        let message = refused.error(400, "invalid_input");
        assert!(message.starts_with("Invalid `"), "{message}");
    }
    // Parameters are not part of a body.
    let refused = server.get("/v1/agents?limit=0").await;
    assert_eq!(refused.body["details"][0]["field"], "limit");
    assert_eq!(refused.body["details"][0]["pointer"], Value::Null);
}

#[tokio::test]
async fn names_that_are_paths_are_refused() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let long = "a".repeat(65);
    for name in ["..", "../ada", "a/b", "", "Ada", "a b", "ä", "a\0", &long] {
        let agent = json!({ "name": name, "provider": "offline", "model": "echo" });
        server.post("/v1/agents", agent).await.error(400, "invalid_input");
        let provider = json!({ "id": name, "component": { "bundled": "offline" } });
        server.post("/v1/providers", provider).await.error(400, "invalid_input");
        let bundled = json!({ "source": { "bundled": name } });
        server.post("/v1/agents/ada/skills/install", bundled).await.error(400, "invalid_input");
    }
    for path in ["%2e%2e%2fada", "a%2Fb", "A", "a%00", "%ff"] {
        server.get(&format!("/v1/agents/{path}")).await.error(400, "invalid_path");
        server.delete(&format!("/v1/agents/ada/skills/{path}")).await.error(400, "invalid_path");
    }
    server.get("/v1/agents/ada/runs/run_1").await.error(400, "invalid_path");
}

#[tokio::test]
async fn what_the_framework_refuses_has_the_same_shape() {
    let server = Server::start().await;
    for path in ["/", "/v2"] {
        let message = server.get(path).await.error(404, "route_not_found");
        assert!(message.contains("`/docs`") && message.contains("`/v1/openapi.json`"), "{message}");
    }
    let answer = server.delete("/v1/agents").await;
    assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
    answer.error(405, "method_not_allowed");
    for (path, code, field, reason) in [
        ("/v1/events/stream?color=red", "invalid_query", "color", "unknown field `color`, expected one of `agent_id`"),
        ("/v1/events/stream?after=soon", "invalid_query", "after", "a whole number"),
        ("/v1/events/stream?agent_id=A", "invalid_query", "agent_id", "A name is 1 to 64"),
        ("/v1/agents?limit=many", "invalid_query", "limit", "a whole number"),
        ("/v1/agents?limit=99999999999", "invalid_query", "limit", "too large"),
        ("/v1/agents?limit=1&limit=2", "invalid_query", "limit", "more than once"),
        ("/v1/agents?color=red", "invalid_query", "color", "no such parameter"),
        ("/v1/agents/ada/history?run_id=7", "invalid_query", "run_id", "`run_` and a UUID"),
        ("/v1/agents/A%20b", "invalid_path", "name", "A name is 1 to 64"),
        ("/v1/agents/ada/runs/7", "invalid_path", "run_id", "`run_` and a UUID"),
        ("/v1/agents/ada/skills/%ff", "invalid_path", "skill_id", "not UTF-8"),
    ] {
        let answer = server.get(path).await;
        let detail = answer.body["details"][0].clone();
        assert_eq!(detail["field"], field, "{path}: {answer:?}");
        assert!(detail["reason"].as_str().unwrap().contains(reason), "{path}: {answer:?}");
        assert!(answer.error(400, code).contains(&format!("`{field}`: ")));
    }
    let large = server.request(Method::POST, "/v1/agents").header("Content-Type", "application/json");
    send(large.body(vec![b' '; 2 << 20])).await.error(413, "body_too_large");
}

#[tokio::test]
async fn a_problem_is_shown_as_rfc_9457_on_request() {
    let server = Server::start().await;
    let request = server.request(Method::GET, "/v1/agents/nobody").header("Accept", "application/problem+json");
    let answer = send(request).await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let asked = async |lines: &[&str]| {
        let request = server.request(Method::GET, "/v1/agents/nobody");
        let answer = send(lines.iter().fold(request, |request, line| request.header("Accept", *line))).await;
        answer.headers["content-type"] == "application/problem+json"
    };
    for wanted in [
        &["application/json", "Application/Problem+JSON; charset=utf-8"][..],
        &["application/json;q=1, application/problem+json ; q=0.5"],
        &["application/problem+json;q=0, application/problem+json"],
    ] {
        assert!(asked(wanted).await, "{wanted:?}");
    }
    for refused in [
        &[][..],
        &["*/*", "application/*"],
        &["application/problem+json;q=0"],
        &["*/*", "application/problem+json; Q=0.000"],
        &["application/problem+jsonx", "text/plain;note=\"application/problem+json\""],
    ] {
        assert!(!asked(refused).await, "{refused:?}");
    }
    assert_eq!((&answer.body["status"], &answer.body["title"]), (&json!(404), &json!("Not Found")));
    assert_eq!(answer.body["detail"], "Agent 'nobody' not found");
    answer.error(404, "agent_not_found");
}

#[tokio::test]
async fn a_request_keeps_its_own_id() {
    let server = Server::start().await;
    let request = |id: &str| server.request(Method::GET, "/v1/agents/nobody").header("X-Request-Id", id);
    assert_eq!(send(request("abc-1")).await.body["request_id"], "abc-1");
    let token = format!("mox_{}", "A".repeat(43));
    for hostile in ["", "a b;c", "ä", &token, &format!("a.{token}"), &token.replace("mox_", "boot_"), &"a".repeat(129)]
    {
        let id = send(request(hostile)).await.body["request_id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("req_"), "{hostile}: {id}");
    }
}
