//! `/v1/agents/{name}/skills`.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Server, test_component};

#[tokio::test]
async fn a_skill_is_installed_shown_called_and_removed() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let install = json!({ "source": { "bundled": "text" } });
    let answer = server.post("/v1/agents/ada/skills/install", install.clone()).await;
    assert_eq!(answer.headers["location"], "/v1/agents/ada/skills/text");
    let skill = answer.expect(201);
    assert_eq!((&skill["skill_id"], &skill["signature"]), (&json!("text"), &json!("unsigned")));
    assert_eq!(skill["tools"][0]["name"], "word_count");
    assert_eq!(skill["tools"][0]["hints"]["read_only"], true);
    assert_eq!(server.get("/v1/agents/ada/skills/text").await.expect(200), skill);
    assert_eq!(server.get("/v1/agents/ada/skills").await.expect(200), json!([skill]));
    server.post("/v1/agents/ada/skills/install", install).await.error(409, "skill_exists");

    let count = server.invoke("ada", "text", "word_count", json!({ "text": "a b" })).await.expect(200);
    assert_eq!(count, json!({ "words": 2, "characters": 3, "lines": 1 }));
    let diff = server.invoke("ada", "text", "diff", json!({ "before": "a\n", "after": "b\n" })).await.expect(200);
    assert!(diff.as_str().unwrap().contains("-a\n+b\n"), "{diff}");
    let wrong = server.invoke("ada", "text", "word_count", json!({ "txt": "a" })).await;
    assert!(wrong.error(400, "invalid_arguments").contains("text"));
    server.invoke("ada", "text", "sing", json!({})).await.error(404, "tool_not_found");

    server.delete("/v1/agents/ada/skills/text").await.expect(204);
    server.invoke("ada", "text", "word_count", json!({ "text": "a" })).await.error(404, "skill_not_found");
    server.delete("/v1/agents/ada/skills/text").await.error(404, "skill_not_found");
}

#[tokio::test]
async fn a_core_module_is_wrapped_and_works() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let skill = server.upload("ada", "text_module").await.expect(201);
    assert_eq!(skill["skill_id"], "text");
    let found = json!({ "json": "{\"a\": [1, 2]}", "path": "$.a[*]" });
    assert_eq!(server.invoke("ada", "text", "json_path", found).await.expect(200), json!([1, 2]));
}

#[tokio::test]
async fn a_component_comes_in_base64_and_its_digest_is_checked() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let text = BASE64.encode(std::fs::read(test_component("misbehave")).unwrap());
    let path = "/v1/agents/ada/skills/install";
    let wrong = json!({ "source": { "base64": text }, "digest": format!("sha256:{}", "0".repeat(64)) });
    let message = server.post(path, wrong).await.error(400, "digest_mismatch");
    let digest = message.split(' ').find(|word| word.starts_with("sha256:")).unwrap().trim_end_matches(',');
    let right = json!({ "source": { "base64": text }, "digest": digest });
    assert_eq!(server.post(path, right).await.expect(201)["digest"], digest);
    let wrong = server.post(path, json!({ "source": { "base64": "***" } })).await.error(400, "invalid_input");
    assert!(wrong.contains("`component.base64`: it is not base64"), "{wrong}");
    let unknown = server.post(path, json!({ "source": { "bundled": "nothing" } })).await.error(400, "invalid_input");
    assert!(
        unknown.contains("no skill 'nothing' is in this binary; there are: clock, fetch, github, notes, text"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_component_comes_from_a_configured_folder_and_from_no_other() {
    let folder = tempfile::TempDir::new().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::copy(test_component("misbehave"), inside.join("skill.wasm")).unwrap();
    std::fs::write(folder.path().join("outside.wasm"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside.wasm", inside.join("link.wasm")).unwrap();
    let server = Server::with(|config| config.plugins.folders = vec![inside.clone()]).await;
    server.offline("ada", "planner").await;
    let install = async |path: &str| {
        let body = json!({ "source": { "path": path } });
        server.post("/v1/agents/ada/skills/install", body).await
    };
    let path = |name: &str| inside.join(name).display().to_string();
    for wrong in [&path("../outside.wasm"), &path("link.wasm"), &path("missing.wasm"), "/etc/passwd", "skill.wasm"] {
        let message = install(wrong).await.error(400, "invalid_input");
        assert!(message.contains("in none of the folders"), "{wrong}: {message}");
    }
    assert!(install(inside.to_str().unwrap()).await.error(400, "invalid_input").contains("not a file"));
    assert_eq!(install(&path("skill.wasm")).await.expect(201)["skill_id"], "misbehave");
}

#[tokio::test]
async fn an_install_grants_the_hosts_that_were_consented_to() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let source = json!({ "base64": BASE64.encode(std::fs::read(test_component("plain_wider")).unwrap()) });
    let install = |accept: Value| {
        let body = json!({ "source": source, "accept": accept });
        server.post("/v1/agents/ada/skills/install", body)
    };
    let unknown = install(json!(["host:evil.example.com GET"])).await.error(400, "invalid_input");
    assert!(unknown.contains("does not ask for \"host:evil.example.com GET\"; it asks for host:api"), "{unknown}");
    assert_eq!(server.get("/v1/agents/ada/skills").await.expect(200), json!([]));
    let skill = install(json!(["host:api.example.com GET+POST"])).await.expect(201);
    assert_eq!(skill["granted"]["hosts"], skill["asked"]["hosts"]);
    assert_eq!((&skill["missing"]["hosts"], &skill["missing"]["secrets"]), (&json!([]), &skill["asked"]["secrets"]));
    let mut events = server.events("agent_id=ada&event_type=skill.installed&after=0").await;
    let installed = events.next().await.unwrap();
    assert_eq!(installed.data["payload"]["accepted"], json!(["host:api.example.com GET+POST"]));
}

#[tokio::test]
async fn what_a_skill_asks_for_is_missing_until_it_is_granted() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let skill = server.upload("ada", "misbehave").await.expect(201);
    assert_eq!(skill["asked"]["secrets"][0]["name"], "key");
    assert_eq!(skill["missing"], skill["asked"]);
    assert_eq!(skill["granted"], json!({ "hosts": [], "secrets": [] }));
    let denied = server.invoke("ada", "misbehave", "open_secret", json!({ "name": "key" })).await;
    assert!(denied.body.to_string().contains("no grant lets `misbehave` use the secret"), "{denied:?}");
}

#[tokio::test]
async fn one_component_serves_several_agents_and_goes_with_the_last() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.offline("bob", "planner").await;
    server.install("ada", "text").await;
    server.install("bob", "text").await;
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 2);
    server.delete("/v1/agents/ada/skills/text").await.expect(204);
    server.invoke("bob", "text", "word_count", json!({ "text": "a" })).await.expect(200);
    server.delete("/v1/agents/bob").await.expect(204);
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 1);
}

#[tokio::test]
async fn the_clock_tells_the_time_and_reckons_with_dates() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.install("ada", "clock").await;
    let call = |tool: &'static str, arguments| server.invoke("ada", "clock", tool, arguments);
    let now = call("now", json!({ "zone": "Asia/Tokyo" })).await.expect(200);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now["unix_seconds"].as_u64().unwrap().abs_diff(since) < 600, "{now}");
    let due = call("add", json!({ "time": "2024-01-31", "duration": "1 month" })).await.expect(200);
    assert_eq!(due["time"], "2024-02-29T00:00:00+00:00[UTC]");
    let wrong = call("now", json!({ "zone": "Mars" })).await.error(400, "invalid_arguments");
    assert!(wrong.contains("there is no time zone \"Mars\""), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_installs_is_turned_away_and_the_first_are_carried_out() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let plain = std::fs::read(test_component("plain")).unwrap();
    // Each has another digest: a custom section without a name, with a unique byte.
    let uploads = (0..60).map(|number| server.upload_bytes("ada", [&plain[..], &[0, 2, 0, number]].concat()));
    let answers = join_all(uploads).await;
    let with = |status: u16, code: &str| {
        answers
            .iter()
            .filter(|answer| answer.status == status && (status == 201 || answer.body["code"] == code))
            .count()
    };
    let (installed, busy, there) = (with(201, ""), with(503, "busy"), with(409, "skill_exists"));
    assert!(installed == 1 && busy > 0 && installed + busy + there == 60, "{installed} {busy} {there}");
    assert_eq!(server.invoke("ada", "plain", "version", json!({})).await.expect(200), "1");
}
