//! `/v1/components`: installations of every kind, and skills that agents share.

use reqwest::{Method, multipart::Part};
use serde_json::{Value, json};

use crate::{
    commands::Shell,
    harness::{Answer, Server, form, send, test_component},
    secrets::VALUE,
};

const PATH: &str = "/v1/components";

async fn server() -> Server {
    let server = Server::start().await;
    for agent in ["ada", "bob", "cleo"] {
        server.offline(agent, "planner").await;
    }
    server
}

/// Installs a skill for the server and returns its path.
async fn shared(server: &Server, body: Value) -> String {
    let installed = server.post(PATH, body).await;
    let path = installed.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(path, format!("{PATH}/{}", installed.expect(201)["id"].as_str().unwrap()));
    path
}

fn upload(component: &str, accept: Option<&str>) -> reqwest::multipart::Form {
    form(std::fs::read(test_component(component)).unwrap(), accept)
}

#[tokio::test]
async fn one_installation_serves_three_agents() {
    let server = server().await;
    let path = shared(&server, json!({ "component": { "bundled": "notes" }, "agents": ["bob", "ada", "cleo"] })).await;
    let installed = server.get(&path).await.expect(200);
    assert_eq!(installed["agents"], json!(["ada", "bob", "cleo"]));
    assert_eq!((&installed["kind"], &installed["agent_id"]), (&json!("skill"), &Value::Null));
    // Each has values of its own.
    for agent in ["ada", "bob"] {
        let note = json!({ "title": agent, "text": "…" });
        server.invoke(agent, "notes", "write", note).await.expect(200);
    }
    assert_eq!(server.invoke("ada", "notes", "list", json!({})).await.expect(200), json!(["ada"]));
    assert_eq!(server.invoke("cleo", "notes", "list", json!({})).await.expect(200), json!([]));
    let skills = server.get("/v1/agents/cleo/skills").await.expect(200);
    assert_eq!((&skills[0]["skill_id"], &skills[0]["shared"]), (&json!("notes"), &json!(true)));
    assert_eq!(skills[0]["installation_id"], installed["id"]);
    // Its life cycle is the server's.
    let own = "/v1/agents/ada/skills/notes";
    assert!(server.delete(own).await.error(409, "installed_for_server").contains(&path));
    server.patch(own, json!({ "config": {} })).await.error(409, "installed_for_server");
    server.post(&format!("{own}/rollback"), json!({})).await.error(409, "installed_for_server");
    // An agent that is left out keeps its values and loses the tools.
    let mut events = server.events("event_type=skill.enabled&after=0").await;
    events.until("skill.enabled").await;
    let left = server.patch(&path, json!({ "agents": ["cleo"] })).await.expect(200);
    assert_eq!(left["agents"], json!(["cleo"]));
    let event = events.until("skill.enabled").await.pop().unwrap();
    assert_eq!(event.data["payload"]["removed"], json!(["ada", "bob"]));
    server.get(own).await.error(404, "skill_not_found");
    server.invoke("ada", "notes", "list", json!({})).await.error(404, "skill_not_found");
    server.patch(&path, json!({ "agents": "all" })).await.expect(200);
    assert_eq!(server.invoke("ada", "notes", "list", json!({})).await.expect(200), json!(["ada"]));
    server.offline("dora", "planner").await;
    assert_eq!(server.invoke("dora", "notes", "list", json!({})).await.expect(200), json!([]));
    server.delete(&path).await.expect(204);
    server.get(own).await.error(404, "skill_not_found");
    server.get(&path).await.error(404, "installation_not_found");
}

#[tokio::test]
async fn a_model_calls_the_tools_of_a_shared_skill() {
    let server = Server::start().await;
    let call = json!({ "name": "text__word_count", "arguments": { "text": "a b c" } });
    server.scripted("ada", json!([{ "tool_calls": [call] }, { "text": "done" }])).await;
    shared(&server, json!({ "component": { "bundled": "text" }, "agents": "all" })).await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["output"], "done");
    let path = format!("/v1/runs/{}", run["run_id"].as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200)["steps"][1]["status"], "completed");
}

#[tokio::test]
async fn a_name_stands_for_one_skill_of_an_agent() {
    let server = server().await;
    server.install("bob", "text").await;
    let text = json!({ "component": { "bundled": "text" } });
    let with = |agents: Value| {
        let mut body = text.clone();
        body["agents"] = agents;
        body
    };
    for agents in [json!("all"), json!(["ada", "bob"])] {
        assert!(server.post(PATH, with(agents)).await.error(409, "skill_exists").contains("bob"));
    }
    assert_eq!(server.get("/v1/components?kind=skill").await.expect(200).as_array().unwrap().len(), 1);
    let path = shared(&server, with(json!(["ada"]))).await;
    server.patch(&path, json!({ "agents": "all" })).await.error(409, "skill_exists");
    assert_eq!(server.get(&path).await.expect(200)["agents"], json!(["ada"]));
    let again = server.post("/v1/agents/ada/skills/install", text.clone()).await;
    assert!(again.error(409, "skill_exists").contains(&path));
    server.post(PATH, text).await.error(409, "skill_exists");
    server.delete("/v1/agents/bob/skills/text").await.expect(204);
    server.patch(&path, json!({ "agents": "all" })).await.expect(200);
    // A deleted agent is in no list.
    server.patch(&path, json!({ "agents": ["ada", "bob"] })).await.expect(200);
    let before = version(&server.get(&path).await);
    server.delete("/v1/agents/bob").await.expect(204);
    let now = server.get(&path).await;
    assert_ne!(version(&now), before);
    assert_eq!(now.expect(200)["agents"], json!(["ada"]));
}

#[tokio::test]
async fn sharing_secrets_requires_the_vault() {
    let server = server().await;
    let narrow = server.token(None, &["agents:read", "agents:write"]).await;
    let as_narrow = async |method, path: &str, body: Value| {
        send(server.request(method, path).bearer_auth(&narrow).json(&body)).await
    };
    server.post("/v1/vault/secrets", json!({ "name": "key", "value": VALUE })).await.expect(201);
    let installed = send(server.request(Method::POST, PATH).multipart(upload("keeper", None))).await.expect(201);
    let path = format!("{PATH}/{}", installed["id"].as_str().unwrap());
    as_narrow(Method::PATCH, &path, json!({ "agents": ["ada"] })).await.expect(200);
    // The short form of a grant is about an agent's own skills.
    let short = json!({ "agent_id": "ada", "secret": "key" });
    server.post("/v1/vault/grants", short).await.error(409, "nothing_to_grant");
    let named = json!({ "agent_id": "ada", "component": "keeper", "secret": "key" });
    server.post("/v1/vault/grants", named).await.error(409, "installed_for_server");
    let mistaken = json!({ "agent_id": "ada", "installation_id": installed["id"], "secret": "key" });
    server.post("/v1/vault/grants", mistaken).await.error(400, "invalid_input");
    let refused = server.invoke("ada", "keeper", "sign", json!({ "data": "x" })).await;
    let told = refused.body["error"].as_str().unwrap().to_owned();
    assert!(told.contains("installation_id") && told.contains(installed["id"].as_str().unwrap()), "{told}");
    let grant = json!({ "installation_id": installed["id"], "secret": "key", "mode": "sign" });
    let granted = server.post("/v1/vault/grants", grant).await.expect(201);
    assert_eq!(
        (&granted["grants"][0]["skill_id"], &granted["grants"][0]["agent_id"]),
        (&json!("keeper"), &Value::Null)
    );
    server.invoke("ada", "keeper", "sign", json!({ "data": "x" })).await.expect(200);
    for agents in [json!("all"), json!(["ada", "bob"]), json!(["bob"])] {
        as_narrow(Method::PATCH, &path, json!({ "agents": agents })).await.error(403, "insufficient_scope");
    }
    as_narrow(Method::PATCH, &path, json!({ "agents": [] })).await.expect(200);
    as_narrow(Method::PATCH, &path, json!({ "agents": ["ada"] })).await.error(403, "insufficient_scope");
    server.patch(&path, json!({ "agents": ["ada", "bob"] })).await.expect(200);
    server.invoke("bob", "keeper", "sign", json!({ "data": "x" })).await.expect(200);
}

#[tokio::test]
async fn a_component_of_any_kind_is_installed_in_one_way() {
    let server = server().await;
    let provider = json!({ "component": { "bundled": "offline" }, "name": "second", "concurrency": 3 });
    let installed = server.post(PATH, provider).await.expect(201);
    assert_eq!((&installed["kind"], &installed["concurrency"]), (&json!("provider"), &json!(3)));
    assert_eq!(server.get("/v1/providers/second").await.expect(200)["installation_id"], installed["id"]);
    let skill = json!({ "component": { "bundled": "text" }, "agent_id": "ada" });
    let skill = server.post(PATH, skill).await.expect(201);
    assert_eq!((&skill["agent_id"], &skill["agents"]), (&json!("ada"), &Value::Null));
    server.invoke("ada", "text", "word_count", json!({ "text": "a b" })).await.expect(200);
    let listed = server.get("/v1/components?agent_id=ada").await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let page = server.get("/v1/components?limit=1&kind=provider").await;
    assert!(page.headers["link"].to_str().unwrap().contains("kind=provider"));
    // A form has the same fields.
    let config = Part::text(json!({ "place": "here" }).to_string());
    let form = upload("teller", None).text("id", "teller").part("config", config).text("concurrency", "2");
    let teller = send(server.request(Method::POST, "/v1/providers").multipart(form)).await.expect(201);
    assert_eq!((&teller["config"]["place"], &teller["concurrency"]), (&json!("here"), &json!(2)));
    let form = upload("count", None).text("agents", "ada, bob");
    let count = send(server.request(Method::POST, PATH).multipart(form)).await.expect(201);
    assert_eq!(count["agents"], json!(["ada", "bob"]));
}

#[tokio::test]
async fn a_refused_installation_leaves_nothing() {
    let server = server().await;
    let components = || async {
        let all = server.get(PATH).await.expect(200).as_array().unwrap().len();
        let files = std::fs::read_dir(server.home.path().join("components/sha256")).unwrap().count();
        (all, files)
    };
    let before = components().await;
    let text = json!({ "bundled": "text" });
    let offline = json!({ "bundled": "offline" });
    for (body, field) in [
        (json!({ "component": text, "agents": ["ada", "nobody"] }), "agents"),
        (json!({ "component": text, "agents": ["ada"], "agent_id": "bob" }), "agents"),
        (json!({ "component": text, "name": "other" }), "name"),
        (json!({ "component": text, "concurrency": 2 }), "concurrency"),
        (json!({ "component": text, "accept": ["host:example.com GET"] }), "accept"),
        (json!({ "component": text, "config": { "a": 1 } }), "config"),
        (json!({ "component": text, "secrets": { "key": "none" } }), "secrets.key"),
        (json!({ "component": offline, "agents": "all" }), "agents"),
        (json!({ "component": offline, "agent_id": "ada" }), "agent_id"),
        (json!({ "component": offline, "concurrency": 0 }), "concurrency"),
    ] {
        let refused = server.post(PATH, body.clone()).await;
        assert_eq!(refused.body["details"][0]["field"], field, "{body}: {refused:?}");
        refused.error(400, "invalid_input");
    }
    server.post(PATH, json!({ "component": text, "agent_id": "nobody" })).await.error(404, "agent_not_found");
    server.post(PATH, json!({ "component": offline })).await.error(409, "provider_exists");
    assert_eq!(components().await, before);
    let path = shared(&server, json!({ "component": text })).await;
    let many: Vec<_> = (0..1001).map(|number| format!("a{number}")).collect();
    server.patch(&path, json!({ "agents": many })).await.error(400, "invalid_input");
    server.patch("/v1/providers/offline", json!({ "agents": "all" })).await.error(400, "invalid_input");
}

#[tokio::test]
async fn a_key_in_a_configuration_is_refused_with_the_form_of_a_secret() {
    let server = server().await;
    let sent = async |config: Value| {
        let provider = json!({ "id": "open", "component": { "bundled": "openai" }, "config": config });
        server.post("/v1/providers", provider).await
    };
    for (config, field) in [
        (json!({ "base_url": "https://ada:secret@api.example.com" }), "config.base_url"),
        (
            json!({ "base_url": "https://api.example.com/?key=AIzaSyA1234567890abcdefghijklmnopqrstu" }),
            "config.base_url",
        ),
        (json!({ "headers": { "X-Key": "sk-proj-abcdefghijklmnop1234567890" } }), "config.headers.X-Key"),
        (
            json!({ "headers": { "Authorization": "Bearer abcdefghijklmnop1234567890" } }),
            "config.headers.Authorization",
        ),
    ] {
        let refused = sent(config.clone()).await;
        assert_eq!(refused.body["details"][0]["field"], field, "{config}: {refused:?}");
        let told = refused.body["details"][0]["reason"].as_str().unwrap().to_owned();
        assert!(told.contains("/v1/vault/secrets") && !told.contains("1234567890"), "{told}");
        refused.error(400, "invalid_input");
    }
    let ordinary = json!({
        "base_url": "https://sk-llm-gateway-of-the-team.example.com/v1",
        "headers": { "X-Title": "Basic arithmetic helper for children of 7", "X-Path": "hf_inference_cache_directory" },
    });
    sent(ordinary).await.expect(201);
    let key = json!({ "config": { "base_url": "https://api.example.com/ghp_abcdefghijklmnopqrstuvwxyz0123456789" } });
    server.patch("/v1/providers/open", key).await.error(400, "invalid_input");
}

/// Returns the part of the ETag that `If-Match` is about.
fn version(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().split('-').next().unwrap().to_owned()
}

#[tokio::test]
async fn use_does_not_change_the_etag_and_a_grant_does() {
    let server = server().await;
    server.post("/v1/vault/secrets", json!({ "name": "key", "value": VALUE })).await.expect(201);
    let form = upload("keeper", None).text("agents", "all");
    let id = send(server.request(Method::POST, PATH).multipart(form)).await.expect(201)["id"].clone();
    let path = format!("{PATH}/{}", id.as_str().unwrap());
    let first = server.get(&path).await;
    let (before, first) = (version(&first), first.headers["etag"].clone());
    let grant = json!({ "installation_id": id, "secret": "key", "mode": "sign", "max_uses": 2 });
    server.post("/v1/vault/grants", grant).await.expect(201);
    let granted = server.get(&path).await;
    assert_ne!(version(&granted), before);
    server.invoke("ada", "keeper", "sign", json!({ "data": "x" })).await.expect(200);
    let used = server.get(&path).await;
    assert_eq!((version(&used), &used.body["granted"]["secrets"][0]["uses"]), (version(&granted), &json!(1)));
    // A client that has the older response gets the new one.
    let known = server.request(Method::GET, &path).header("If-None-Match", granted.headers["etag"].clone());
    send(known).await.expect(200);
    // The last use ends the grant.
    server.invoke("ada", "keeper", "sign", json!({ "data": "x" })).await.expect(200);
    assert_ne!(version(&server.get(&path).await), version(&granted));
    let stale = server.request(Method::PATCH, &path).header("If-Match", first).json(&json!({ "agents": [] }));
    send(stale).await.error(412, "stale");
    // A change during a run is not refused because of the run.
    server.scripted("sam", json!([{ "text": "done" }])).await;
    let idle = version(&server.get("/v1/agents/sam").await);
    server.run("sam", "go").await;
    assert_eq!(version(&server.get("/v1/agents/sam").await), idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shares_a_skill() {
    let server = server().await;
    let shell = Shell(&server);
    let installed = shell.prints(&["component", "install", "notes", "--agents", "ada,bob"]).await;
    assert!(installed.contains("Installed the skill `notes`"), "{installed}");
    let enabled = shell.prints(&["component", "enable", "notes", "cleo"]).await;
    assert!(enabled.contains("ada, bob, cleo"), "{enabled}");
    let disabled = shell.prints(&["component", "disable", "notes", "ada", "bob"]).await;
    assert!(disabled.contains("enabled for: cleo"), "{disabled}");
    let shown = shell.prints(&["component", "show", "notes"]).await;
    assert!(shown.contains("Agents") && shown.contains("cleo"), "{shown}");
    let list = shell.prints(&["component", "list", "--kind", "skill"]).await;
    assert!(list.contains("cleo") && list.contains("ins_"), "{list}");
    shell.prints(&["component", "enable", "notes", "all"]).await;
    shell.prints(&["component", "upgrade", "notes", "notes"]).await;
    shell.prints(&["component", "remove", "notes"]).await;
}
