//! Workflow of an author with only the binary and the SDK's documentation: a skill and a provider from scratch,
//! in a separate folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Server;

/// An empty folder, and a data directory for the SDK.
struct Desk {
    folder: TempDir,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), home: TempDir::new().unwrap() }
    }

    /// Runs a command in a subfolder. All runs of the tests share the build output, to save time.
    fn run(&self, folder: &str, program: &str, arguments: &[&str]) -> Output {
        let kept = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        Command::new(program)
            .env_clear()
            .envs(kept.iter().filter_map(|name| env::var_os(name).map(|value| (name, value))))
            .env("MOXXY_HOME", self.home.path())
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger"))
            .current_dir(self.folder.path().join(folder))
            .args(arguments)
            .output()
            .unwrap()
    }

    fn moxxy(&self, folder: &str, arguments: &[&str]) -> Output {
        self.run(folder, env!("CARGO_BIN_EXE_moxxy"), arguments)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }
}

#[track_caller]
fn done(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

/// Second version: another tool, which requests a host, a stored value, and a test.
const SECOND: &str = r#"
use moxxy_sdk::{keyvalue, skill::Error, tool};

/// Greets a person by name, and knows whom it met before.
#[tool]
fn greet(
    /// Whom to greet.
    name: String,
) -> Result<String, Error> {
    if name.trim().is_empty() {
        return Err(Error::invalid("`name` is empty"));
    }
    let met = keyvalue::get(&name)?.is_some();
    keyvalue::set(&name, b"met")?;
    Ok(if met { format!("Welcome back, {name}!") } else { format!("Hello, {name}!") })
}

moxxy_sdk::skill! {
    tools: [greet],
    manifest: |manifest| manifest.host("people.example.com", &["GET"], "To look names up."),
}

#[test]
fn people_are_met_once() {
    let mut host = moxxy_sdk::testing::Host::new();
    let ada = || moxxy_sdk::serde_json::json!({ "name": "Ada" });
    assert_eq!(host.call::<greet>(ada()).unwrap().content, "Hello, Ada!");
    assert_eq!(host.call::<greet>(ada()).unwrap().content, "Welcome back, Ada!");
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_writes_a_skill_installs_it_and_upgrades_it() {
    let desk = Desk::new();
    assert!(done(&desk.moxxy(".", &["new", "skill", "hello"])).contains("cd hello && moxxy build"));
    let files = [desk.path("hello/Cargo.toml"), desk.path("hello/src/lib.rs")];
    let lines: usize = files.iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).sum();
    assert!(lines <= 25, "{lines} lines");
    let built = desk.moxxy("hello", &["build"]);
    let text = done(&built);
    assert!(text.contains("hello 0.1.0: a skill\n  Greets people.\n"), "{text}");
    assert!(text.ends_with("  tool greet: Greets a person by name.\nBuilt hello.wasm\n"), "{text}");

    let server = Server::start().await;
    let call = json!([{ "name": "hello__greet", "arguments": { "name": "Ada" } }]);
    server.scripted("ada", json!([{ "tool_calls": call }, { "text": "done" }])).await;
    let skill = server.upload_bytes("ada", fs::read(desk.path("hello/hello.wasm")).unwrap()).await.expect(201);
    let tool = json!({
        "name": "greet",
        "description": "Greets a person by name.",
        "parameters": {
            "type": "object",
            "properties": { "name": { "type": "string", "description": "Whom to greet." } },
            "required": ["name"],
            "additionalProperties": false,
        },
        "hints": { "read_only": true, "idempotent": false, "requires_approval": false },
    });
    assert_eq!(skill["tools"], json!([tool]));
    let run = server.run("ada", "Greet Ada.").await;
    let steps = server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(steps["steps"][1]["output"], "Hello, Ada!");

    let manifest = fs::read_to_string(desk.path("hello/Cargo.toml")).unwrap();
    desk.write("hello/Cargo.toml", &manifest.replace("\nversion = \"0.1.0\"", "\nversion = \"0.2.0\""));
    let first = fs::read(desk.path("hello/hello.wasm")).unwrap();
    desk.write("hello/src/lib.rs", "// There is no skill in it.");
    assert!(!desk.moxxy("hello", &["build"]).status.success());
    assert!(fs::read(desk.path("hello/hello.wasm")).unwrap() == first, "a good component was replaced");
    desk.write("hello/src/lib.rs", SECOND);
    assert!(done(&desk.run("hello", "cargo", &["test"])).contains("people_are_met_once ... ok"));
    done(&desk.moxxy("hello", &["build", "-o", "second.wasm"]));
    let second = fs::read(desk.path("hello/second.wasm")).unwrap();
    server.upgrade("hello", second.clone(), None).await.error(409, "consent_required");
    let first = server.invoke("ada", "hello", "greet", json!({ "name": "Bob" })).await.expect(200);
    assert_eq!(first, "Hello, Bob!");
    let upgraded = server.upgrade("hello", second, Some("host:people.example.com GET")).await.expect(200);
    assert_eq!((&upgraded["version"], &upgraded["missing"]["hosts"]), (&json!("0.2.0"), &json!([])));
    for greeting in ["Hello, Bob!", "Welcome back, Bob!"] {
        let greeted = server.invoke("ada", "hello", "greet", json!({ "name": "Bob" })).await.expect(200);
        assert_eq!(greeted, greeting);
    }
    let empty = server.invoke("ada", "hello", "greet", json!({ "name": " " })).await;
    assert_eq!(empty.error(400, "invalid_arguments"), "`name` is empty");
    server.post("/v1/agents/ada/skills/hello/rollback", json!({})).await.expect(200);
    let back = server.invoke("ada", "hello", "greet", json!({ "name": "Bob" })).await.expect(200);
    assert_eq!(back, "Hello, Bob!");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_writes_a_provider() {
    let desk = Desk::new();
    let made = desk.moxxy(".", &["new", "provider", "parrot", "--json"]);
    assert_eq!(done(&made), "{\"folder\":\"parrot\"}\n");
    let built = desk.moxxy(".", &["build", "parrot", "--output", "parrot.wasm", "--json"]);
    let built: Value = serde_json::from_str(done(&built)).unwrap();
    assert_eq!((&built["file"], &built["component"]["world"]), (&json!("parrot.wasm"), &json!("provider")));
    let server = Server::with(|config| config.plugins.folders = vec![desk.folder.path().into()]).await;
    let provider = json!({ "id": "parrot", "component": { "path": desk.path("parrot.wasm") } });
    server.post("/v1/providers", provider).await.expect(201);
    let agent = json!({ "name": "ada", "provider": "parrot", "model": "echo" });
    server.post("/v1/agents", agent).await.expect(201);
    assert_eq!(server.run("ada", "Say it again.").await["output"], "Say it again.");
    // Replace it with the worked example.
    desk.write("parrot/src/lib.rs", include_str!("../../sdk/examples/whisper.rs"));
    desk.write("wire.toml", include_str!("../../sdk/examples/whisper.wire.toml"));
    done(&desk.moxxy(".", &["build", "parrot", "--output", "whisper.wasm"]));
    let checked = desk.moxxy(".", &["provider", "check", "whisper.wasm", "--wire", "wire.toml"]);
    assert!(done(&checked).contains(" 0 failed, "), "{checked:?}");
}

#[test]
fn a_skill_in_a_workspace_is_one_of_its_members() {
    let desk = Desk::new();
    desk.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = []\n");
    done(&desk.moxxy(".", &["new", "skill", "member"]));
    assert!(fs::read_to_string(desk.path("Cargo.toml")).unwrap().contains("\"member\""));
    // Cargo's own commands find the SDK there.
    let resolved = desk.run(".", "cargo", &["metadata", "--format-version=1"]);
    assert!(done(&resolved).contains("moxxy-sdk-macros"));
    done(&desk.moxxy("member", &["build"]));
}

#[test]
fn what_cannot_be_made_or_built_is_explained() {
    let desk = Desk::new();
    let fails = |arguments: &[&str], why: &str| {
        let output = desk.moxxy(".", arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(why), "{arguments:?}: {error}");
    };
    fails(&["new", "skill", "../evil"], "1 to 64");
    fails(&["new", "skill", "2fast"], "begins with a letter");
    fails(&["build", "nothing"], "Cannot build nothing");
    fs::create_dir_all(desk.path("there/src")).unwrap();
    fails(&["new", "skill", "there"], "Cannot make there");
    fails(&["build", "there"], "Cargo.toml");
    desk.write("there/Cargo.toml", "[package]\nname = \"there\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    desk.write("there/src/lib.rs", "");
    fails(&["build", "there"], "lacks `[lib] crate-type = [\"cdylib\"]`");
}
