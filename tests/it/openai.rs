//! Official clients of OpenAI's API, which use agents as models.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use tokio::process::Command;

use crate::{
    chat::counting,
    harness::{Server, target},
    tools,
};

const README: &str = include_str!("../../README.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the output of a program that succeeds.
async fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().await.unwrap();
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complained}");
    told.into_owned()
}

/// Runs a program of the clients' Python; returns `None` if that is missing.
async fn python(arguments: &[&str]) -> Option<String> {
    let tools = target("clients/python");
    if !tools.join("installed").exists() {
        tools::skip("python/installed is missing: run `make clients`");
        return None;
    }
    Some(run(&tools.join("bin/python"), arguments).await)
}

/// Creates six agents: one counts words, one echoes, one returns the request it receives, one has a busy service, one has a
/// service that breaks off, and one answers with a person as JSON, at second try.
async fn agents(server: &Server) {
    server.scripted("ada", counting()).await;
    server.install("ada", "text").await;
    server.offline("echo", "echo").await;
    let person = json!([{ "text": "She is Ada." }, { "text": "{\"name\": \"Ada\", \"age\": null}", "stream": true }]);
    server.scripted("clerk", person).await;
    let cut = json!({ "kind": "transport", "message": "it broke off" });
    for (agent, step) in [
        ("mirror", json!({ "record": true })),
        ("busy", json!({ "error": { "kind": "rate_limited", "message": "too fast" } })),
        ("cut", json!({ "text": "one two", "stream": true, "error_after": 1, "error": cut })),
    ] {
        server.scripted_with(agent, json!({ "steps": [step], "repeat": true }), json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_in_python_talks_to_agents() {
    let server = Server::start().await;
    agents(&server).await;
    let token = server.token(None, &["*"]).await;
    let reader = server.token(Some(&token), &["agents:read"]).await;
    let program = root().join("tests/clients/chat.py");
    let Some(told) = python(&[program.to_str().unwrap(), &server.url, &token, &reader]).await else { return };
    let expected = [
        "models: ada busy clerk cut echo mirror",
        "model: moxxy",
        "plain: Let me count them.|There are three: ä 世 😀 length 42",
        "streamed: Let me count them.|There are three: ä 世 😀 length 42, in pieces: True",
        "helper: Let me count them.|There are three: ä 世 😀",
        "at once: 3 the same: True",
        "remembered: user assistant user",
        "parsed: Person(name='Ada', age=None)",
        "parsed from a stream: Person(name='Ada', age=None)",
        "unknown: NotFoundError agent_not_found: Agent 'nobody' not found",
        "tools: BadRequestError invalid_input: Invalid `tools`: an agent uses its own tools, and takes none from a client: \
         install them as skills, or set `client_tools` in its tool policy",
        "scope: PermissionDeniedError insufficient_scope: This takes a token with the scope `runs:write`, which this one \
         lacks; it has `agents:read`",
        "limited: RateLimitError provider_rate_limited: too fast",
        "unfit: BadRequestError output_invalid: The model's answer does not fit `output_schema`, for the second time: \
         `city`: it is missing",
        "cut: APIError provider_unreachable it broke off",
        "response: Let me count them.|There are three: ä 世 😀 incomplete 42",
        "response streamed: True",
        "followed: user assistant user",
        "retrieved: True",
        "deleted: response_not_found",
        "response cut: InternalServerError provider_unreachable",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    // The client repeated a request twice whose run had called no tool.
    assert_eq!(server.get("/v1/agents/busy/runs").await.expect(200).as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_in_javascript_talks_to_agents() {
    let Some(node) = tools::find(&["node"]) else { return };
    if !target("clients/node_modules/openai").is_dir() {
        return tools::skip("openai is not installed: `make clients`");
    }
    let server = Server::start().await;
    agents(&server).await;
    let token = server.token(None, &["*"]).await;
    // Next to the packages, where Node.js looks for them.
    let program = target("clients/chat.mjs");
    fs::copy(root().join("tests/clients/chat.mjs"), &program).unwrap();
    let told = run(&node, &[program.to_str().unwrap(), &server.url, &token]).await;
    let expected = [
        "models: ada busy clerk cut echo mirror",
        "plain: Let me count them.|There are three: ä 世 😀 42",
        "streamed: Let me count them.|There are three: ä 世 😀",
        "helper: Let me count them.|There are three: ä 世 😀",
        "nobody: NotFoundError 404 Agent 'nobody' not found",
        "busy: RateLimitError 429 too fast",
        "cut: APIError it broke off",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_readme_talk_to_an_agent() {
    let server = Server::start().await;
    server.offline("demo", "echo").await;
    let token = server.token(None, &["*"]).await;
    let (_, section) = README.split_once("\n### From a client of OpenAI's\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let (mut languages, mut client) = (Vec::new(), String::new());
    for block in section.split("\n```").skip(1).step_by(2) {
        let (language, example) = block.split_once('\n').unwrap();
        let example = example.replace("http://127.0.0.1:3000", &server.url).replace("mox_...", &token);
        let told = match language {
            "sh" => run(Path::new("sh"), &["-ec", &example]).await,
            // Examples after the first use its client.
            _ => match python(&["-c", &format!("{client}\n{example}")]).await {
                Some(told) => told,
                None => continue,
            },
        };
        assert!(told.contains("Count the words"), "{told}");
        if language == "python" && client.is_empty() {
            client = example.lines().take_while(|line| !line.starts_with("asked")).collect::<Vec<_>>().join("\n");
        }
        languages.push(language);
    }
    assert_eq!(languages, ["sh", "python", "python"]);
}
