//! Installed components, of which only a few are loaded.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Server, config};

const SKILLS: [&str; 4] = ["text", "notes", "plain", "misbehave"];

/// Starts a server with four skills and its own compiled code. `loaded` is the maximum number of loaded
/// components.
async fn server(loaded: usize) -> Server {
    let server = Server::with(|config| {
        config.plugins.loaded = loaded;
        config.data.cache = config.data.home.join("cache");
        config.plugins.compiler = Some(counting_compiler(&config.data.home));
    })
    .await;
    server.offline("ada", "planner").await;
    for bundled in ["text", "notes"] {
        server.install("ada", bundled).await;
    }
    for component in ["plain", "misbehave"] {
        server.upload("ada", component).await.expect(201);
    }
    server
}

/// Returns a compiler that writes a line for each compilation. Another process writes the script: a file that
/// this process, or a fork of it, has open for writing cannot be executed.
fn counting_compiler(home: &Path) -> PathBuf {
    let path = home.join("compiler");
    let real = config(home).plugins.compiler.unwrap();
    let text = format!("#!/bin/sh\necho >> {}.count\nexec {} \"$@\"\n", path.display(), real.display());
    let write = ["-c", r#"printf %s "$1" > "$0" && chmod +x "$0""#];
    assert!(Command::new("sh").args(write).arg(&path).arg(text).status().unwrap().success());
    path
}

fn compilations(server: &Server) -> usize {
    fs::read_to_string(server.home.path().join("compiler.count")).unwrap().lines().count()
}

/// Returns the number of components whose code this process has mapped for a server.
fn mapped(server: &Server) -> usize {
    let (maps, home) = (fs::read_to_string("/proc/self/maps").unwrap(), server.home.path().to_str().unwrap());
    let paths = maps.lines().filter_map(|line| line.split_once(home)).map(|(_, path)| path);
    paths.filter(|path| path.contains(".cwasm")).collect::<HashSet<_>>().len()
}

async fn answers(server: &Server, skill: &str) {
    let (tool, arguments, answer) = match skill {
        "text" => ("word_count", json!({ "text": "a b" }), json!({ "words": 2, "characters": 3, "lines": 1 })),
        "notes" => ("list", json!({}), json!([])),
        "plain" => ("version", json!({}), json!("1")),
        _ => ("echo", json!({ "text": "here" }), json!("here")),
    };
    assert_eq!(server.invoke("ada", skill, tool, arguments).await.expect(200), answer);
}

/// Returns the path of a skill's file, by the folder below the data directory and the extension.
async fn file(server: &Server, skill: &str, folder: &str, extension: &str) -> PathBuf {
    let shown = server.get(&format!("/v1/agents/ada/skills/{skill}")).await.expect(200);
    let name = format!("{}.{extension}", shown["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let folder = server.home.path().join(folder);
    let inner = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join(&name));
    inner.into_iter().find(|path| path.exists()).unwrap()
}

#[tokio::test]
async fn any_number_can_be_called_while_few_are_loaded() {
    let server = server(2).await;
    let compiled = compilations(&server);
    assert_eq!((compiled, mapped(&server)), (5, 2));
    for skill in ["text", "notes", "plain", "misbehave", "text", "misbehave", "notes", "notes", "plain", "text"] {
        answers(&server, skill).await;
        assert_eq!(mapped(&server), 2, "{skill}");
    }
    join_all((0..100).map(|number| answers(&server, SKILLS[number % 4]))).await;
    assert_eq!((compilations(&server), mapped(&server)), (compiled, 2));
    assert_eq!(server.get("/v1/health").await.expect(200)["components"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_goes_first() {
    let server = server(2).await;
    let mapped = async |skill| {
        let code = file(&server, skill, "cache", "cwasm").await;
        fs::read_to_string("/proc/self/maps").unwrap().contains(code.to_str().unwrap())
    };
    for skill in ["text", "notes", "text", "plain"] {
        answers(&server, skill).await;
    }
    assert_eq!((mapped("text").await, mapped("notes").await, mapped("plain").await), (true, false, true));
}

#[tokio::test]
async fn a_start_with_more_than_may_be_loaded_compiles_nothing() {
    let home = server(2).await.stop().await;
    let few = |config: &mut moxxy_server::config::Config| {
        config.plugins.loaded = 2;
        config.plugins.compiler = Some("/nonexistent".into());
        config.data.cache = config.data.home.join("cache");
    };
    let server = Server::at(home, few).await;
    join_all((0..20).map(|number| answers(&server, SKILLS[number % 4]))).await;
    assert_eq!(compilations(&server), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_was_changed_while_it_was_not_loaded_is_compiled_again_once() {
    let server = server(1).await;
    answers(&server, "text").await;
    let code = file(&server, "notes", "cache", "cwasm").await;
    let mut bytes = fs::read(&code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&code, &bytes).unwrap();
    join_all((0..50).map(|_| answers(&server, "notes"))).await;
    assert_eq!(compilations(&server), 6);
    assert_ne!(fs::read(&code).unwrap(), bytes);
}

#[tokio::test]
async fn an_upload_that_was_damaged_while_it_was_not_loaded_is_not_used_until_it_is_repaired() {
    let server = server(1).await;
    answers(&server, "text").await;
    let (removed, changed) =
        (file(&server, "plain", "components", "wasm").await, file(&server, "misbehave", "components", "wasm").await);
    fs::remove_file(removed).unwrap();
    fs::write(changed, "something else").unwrap();
    for (skill, tool, reason) in [("plain", "version", "is gone"), ("misbehave", "keys", "was changed on disk")] {
        let message = server.invoke("ada", skill, tool, json!({})).await.error(503, "component_unavailable");
        assert!(message.starts_with(&format!("`{skill}` cannot be loaded: its upload, sha256:")), "{message}");
        assert!(message.contains(reason), "{message}");
    }
    join_all((0..20).map(|number| answers(&server, SKILLS[number % 2]))).await;
    for skill in ["plain", "misbehave"] {
        server.upload("ada", skill).await.error(409, "skill_exists");
        answers(&server, skill).await;
    }
    assert_eq!(compilations(&server), 5);
    let all: Vec<Value> = serde_json::from_value(server.get("/v1/agents/ada/skills").await.expect(200)).unwrap();
    assert_eq!(all.len(), 4);
}
