//! Every route of the OpenAPI document: its authorization, and its handling of bad input.

use std::{collections::BTreeSet, path::Path};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    contract::{self, Operation, operations, resolved},
    harness::{Server, send},
};

const SCOPES: [&str; 9] = [
    "agents:read",
    "agents:write",
    "runs:write",
    "vault:read",
    "vault:write",
    "tokens:admin",
    "events:read",
    "channels:read",
    "channels:write",
];

async fn strict() -> Server {
    Server::with(|config| {
        config.server.loopback = false;
        config.server.body_limit = 4096;
        config.server.upload_limit = 4096;
        config.rate_limit.failures_burst = 10_000;
    })
    .await
}

fn request(server: &Server, operation: &Operation, token: Option<&str>) -> reqwest::RequestBuilder {
    let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
    let request = server.request(method, &operation.path());
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

#[tokio::test]
async fn every_route_takes_a_token_with_its_own_scope() {
    let server = strict().await;
    let admin = server.token(None, &["*"]).await;
    let mut tokens = Vec::new();
    for scope in SCOPES {
        tokens.push((scope, server.token(Some(&admin), &[scope]).await));
    }
    let mut scoped = 0;
    for operation in operations() {
        let Some(needed) = operation.scope() else {
            send(request(&server, &operation, None)).await.expect(200);
            continue;
        };
        scoped += 1;
        let answer = send(request(&server, &operation, None)).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"moxxy\"", "{}", operation.id());
        answer.error(401, "unauthenticated");
        let unknown = "mox_".to_owned() + &"A".repeat(43);
        let answer = send(request(&server, &operation, Some(&unknown))).await;
        assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
        answer.error(401, "unauthenticated");
        for (scope, token) in &tokens {
            let allowed = *scope == needed;
            if allowed && operation.id() == "stream_events" {
                continue;
            }
            let answer = send(request(&server, &operation, Some(token))).await;
            let forbidden = answer.status == 403;
            assert_eq!(forbidden, !allowed, "{} with {scope}: {answer:?}", operation.id());
            if forbidden {
                let challenge = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
                assert!(challenge.contains(&format!("scope=\"{needed}\"")), "{challenge}");
                answer.error(403, "insufficient_scope");
            }
        }
    }
    assert!(scoped > 25, "{scoped}");
}

#[tokio::test]
async fn every_route_names_what_is_wrong_with_its_body() {
    let server = strict().await;
    let token = server.token(None, &["*"]).await;
    for operation in operations().iter().filter(|operation| operation.example().is_some()) {
        let with = |media: &str, body: Vec<u8>| {
            request(&server, operation, Some(&token)).header("Content-Type", media).body(body)
        };
        let json = |body: &str| with("application/json", body.into());
        let id = operation.id();
        for body in ["{", "{} {}", "\u{1}", "nul"] {
            let told = send(json(body)).await.error(400, "malformed_json");
            assert!(told.starts_with("The body is not JSON"), "{id}: {told}");
        }
        for body in ["[]", "7", "null", r#"{"surprise": 1}"#] {
            send(json(body)).await.error(400, "invalid_input");
        }
        let deep = format!(r#"{{"a": {}{}}}"#, "[".repeat(100), "]".repeat(100));
        assert!(send(json(&deep)).await.error(400, "invalid_input").contains("64 levels"), "{id}");
        send(with("application/json", vec![b' '; 100_000])).await.error(413, "body_too_large");
        send(with("text/plain", b"{}".to_vec())).await.error(415, "unsupported_media_type");
        let typed = contract::validator(&schema(operation));
        for (field, wrong) in wrong_fields(operation) {
            let mut body = operation.example().unwrap().clone();
            body[&field] = wrong;
            if typed.is_valid(&body) {
                continue;
            }
            let answer = send(json(&body.to_string())).await;
            let named = answer.body["details"][0]["field"].as_str().unwrap_or_default();
            // A wrong source may be reported for the whole body.
            assert!(named.starts_with(&field) || named == "body", "{id}: {answer:?}");
            answer.error(400, "invalid_input");
        }
    }
}

fn schema(operation: &Operation) -> Value {
    operation.document.pointer("/requestBody/content/application~1json/schema").unwrap().clone()
}

/// Returns each field of a body with a value of the wrong type.
fn wrong_fields(operation: &Operation) -> Vec<(String, Value)> {
    let schema = schema(operation);
    let fields = resolved(&schema)["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let wrong = [json!(true), json!([[]]), json!(-1.5)];
    fields.into_iter().flat_map(|field| wrong.clone().map(|wrong| (field.clone(), wrong))).collect()
}

#[tokio::test]
async fn every_route_names_what_is_wrong_with_its_address() {
    let server = strict().await;
    let token = server.token(None, &["*"]).await;
    let get = |path: String| server.request(Method::GET, &path).bearer_auth(&token);
    for operation in operations() {
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
        let at = |path: &str| {
            let body = operation.example().cloned().unwrap_or(json!({}));
            server.request(method.clone(), path).bearer_auth(&token).json(&body)
        };
        let path = operation.path();
        for (good, bad) in [("nobody", "No%20body"), ("none", "n%2Fone"), ("_019b7c5e", "_x"), ("nobody", "%ff")] {
            if path.contains(good) {
                send(at(&path.replace(good, bad))).await.error(400, "invalid_path");
            }
        }
        if operation.template.contains('{') {
            let answer = send(at(&path)).await;
            assert_eq!(answer.status, 404, "{}: {answer:?}", operation.id());
            assert!(answer.body["code"].as_str().unwrap().ends_with("_not_found"), "{answer:?}");
        }
        let secret = "A".repeat(43);
        for query in [format!("access_token=mox_{secret}"), "API%5fkey=x".into(), format!("q=%6dox%5F{secret}")] {
            assert!(send(at(&format!("{path}?{query}"))).await.error(400, "token_in_url").contains("revoke it"));
        }
        send(at(&format!("{path}/boo%74_{secret}"))).await.error(400, "token_in_url");
        let parameters = operation.parameters();
        if parameters.iter().any(|parameter| parameter["name"] == "limit") {
            for query in ["limit=0", "limit=1001", "limit=many", "cursor=%00", "colour=red"] {
                let answer = send(get(format!("{path}?{query}"))).await;
                assert_eq!(answer.status, 400, "{}: {query}: {answer:?}", operation.id());
            }
        }
        let elsewhere = send(server.request(Method::TRACE, &path).bearer_auth(&token)).await;
        assert!(elsewhere.headers["allow"].to_str().unwrap().contains(method.as_str()));
        elsewhere.error(405, "method_not_allowed");
    }
}

#[test]
fn the_document_is_complete() {
    let (mut ids, mut missing) = (Vec::new(), Vec::new());
    for (name, schema) in contract::document()["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name}");
        undescribed(schema, name, &mut missing);
    }
    for operation in operations() {
        let (id, document) = (operation.id().to_owned(), &operation.document);
        assert!(!document["summary"].as_str().unwrap().is_empty() && document["tags"][0].is_string(), "{id}");
        undescribed(document, &id, &mut missing);
        for parameter in operation.parameters() {
            assert!(parameter["description"].is_string() && parameter["schema"].is_object(), "{id}: {parameter}");
        }
        let body = document.pointer("/requestBody/content/application~1json").into_iter();
        let responses = document["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
        assert!(["400", "500", "503"].iter().all(|status| responses.contains_key(*status)), "{id}");
        let contents = responses.values().filter_map(|response| resolved(response).get("content"));
        let contents = contents.flat_map(|content| content.as_object().unwrap().values());
        for content in body.chain(contents) {
            let example = content.get("example").unwrap_or_else(|| panic!("{id} has no example"));
            if let Err(error) = contract::validator(&content["schema"]).validate(example) {
                panic!("the example of {id} is wrong: {error}: {example}");
            }
        }
        ids.push(id);
    }
    assert_eq!(missing, Vec::<String>::new(), "have no description");
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn every_resource_has_an_id_or_a_name() {
    for operation in operations() {
        // Resources have an address that ends with their identifier.
        if operation.method != "get" || !operation.template.ends_with('}') {
            continue;
        }
        let content = &resolved(&operation.document["responses"]["200"])["content"]["application/json"]["schema"];
        let properties = &resolved(content)["properties"];
        assert!(properties.get("id").or(properties.get("name")).is_some(), "{}: {properties}", operation.id());
    }
}

/// Collects the properties without a description, at any depth. The only property of a schema needs none in
/// addition to the schema's.
fn undescribed(value: &Value, place: &str, missing: &mut Vec<String>) {
    let Some(fields) = value.as_object() else {
        return value.as_array().into_iter().flatten().for_each(|item| undescribed(item, place, missing));
    };
    let properties = fields.get("properties").and_then(Value::as_object);
    let only = fields.contains_key("description") && properties.is_some_and(|properties| properties.len() == 1);
    for (name, property) in properties.into_iter().flatten().filter(|_| !only) {
        if property.get("description").or(resolved(property).get("description")).is_none() {
            missing.push(format!("{place}.{name}"));
        }
    }
    for (_, value) in fields.iter().filter(|(name, _)| *name != "example") {
        undescribed(value, place, missing);
    }
}

/// Parts of the project that have nothing of a noun, each with the reason.
const ABSENT: [(&str, &[&str], &str); 9] = [
    ("agent_models", &["services", "store", "types", "commands", "it"], "agents in another form, tested with `chat`"),
    ("chat", &["store", "types", "commands"], "a run in a session of its own"),
    ("docs", &["services", "store", "types", "commands", "it"], "the document itself, against which all tests check"),
    ("health", &["services", "store", "types"], "what the services say of themselves"),
    ("policy", &["store"], "a column of agents"),
    ("providers", &["store", "types"], "installations, like those of every kind of component"),
    (
        "responses",
        &["services", "store", "types", "commands"],
        "runs that are told of as chats are, by the service of these",
    ),
    ("skills", &["store", "types"], "installations, like those of every kind of component"),
    ("sessions", &["commands", "it"], "shown by `agent history`, tested with runs"),
];

/// A newcomer finds the code of a route by its tag: the same name in each part of the project.
#[test]
fn every_operation_is_found_by_its_tag() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = [
        ("http", "host/server/src/http"),
        ("services", "host/server/src/services"),
        ("store", "host/store/src"),
        ("types", "host/types/src"),
        ("commands", "host/cli/src/commands"),
        ("it", "tests/it"),
    ];
    let tags: BTreeSet<_> = operations()
        .iter()
        .map(|operation| {
            let tags = operation.document["tags"].as_array().unwrap();
            assert_eq!(tags.len(), 1, "{}", operation.id());
            tags[0].as_str().unwrap().to_owned()
        })
        .collect();
    for tag in tags {
        let absent = ABSENT.iter().find(|(noun, ..)| *noun == tag).map_or(&[][..], |(_, parts, _)| parts);
        for (part, folder) in parts {
            let folder = root.join(folder);
            let is_there = folder.join(format!("{tag}.rs")).is_file() || folder.join(&tag).is_dir();
            assert_eq!(is_there, !absent.contains(&part), "`{tag}` in {part}");
        }
    }
}
