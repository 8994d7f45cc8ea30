//! Clients of the API in other languages: those of the README, verbatim, and those that are generated from the
//! OpenAPI document.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    harness::{Server, send, target},
    tools,
};

const README: &str = include_str!("../../README.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the examples of the README with their language.
fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, section) = README.split_once("\n### From a program\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    section.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap())
}

/// Folder with the API's description, in which the tools of `make clients` run.
struct Workshop {
    folder: TempDir,
    path: String,
}

impl Workshop {
    /// Creates the folder, or returns `None` if the tool is missing.
    fn open(tool: &str) -> Option<Self> {
        let tools = target("clients");
        if !tools.join(tool).exists() {
            tools::skip(&format!("{tool} is missing: run `make clients`"));
            return None;
        }
        let folder = TempDir::new().unwrap();
        for name in ["drive.ts", "tsconfig.json", "package.json", "drive.py", "mypy.ini"] {
            fs::copy(root().join("tests/clients").join(name), folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(tools.join("node_modules"), folder.path().join("node_modules")).unwrap();
        let (node, python) = (tools.join("node_modules/.bin"), tools.join("python/bin"));
        let path = std::env::var("PATH").unwrap();
        Some(Self { folder, path: format!("{}:{}:{path}", node.display(), python.display()) })
    }

    async fn describe(&self, server: &Server) {
        let document = server.get("/v1/openapi.json").await.expect(200);
        fs::write(self.folder.path().join("openapi.json"), document.to_string()).unwrap();
    }

    /// Returns the output of a program that succeeds.
    async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .envs([
                ("PATH", self.path.as_str()),
                ("REDOCLY_TELEMETRY", "off"),
                ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true"),
            ])
            .output()
            .await
            .unwrap();
        let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {arguments:?}\n{told}\n{complained}");
        told.into_owned()
    }
}

#[tokio::test]
async fn the_examples_of_the_readme_work_as_they_stand() {
    let Some(workshop) = Workshop::open("python/installed") else { return };
    // Without loopback trust the token is needed.
    let server = Server::with(|config| config.server.loopback = false).await;
    let token = server.token(None, &["*"]).await;
    let with = |method, path: &str| server.request(method, path).bearer_auth(&token);
    let provider = json!({ "id": "offline", "component": { "bundled": "offline" } });
    send(with(Method::POST, "/v1/providers").json(&provider)).await.expect(201);
    let demo = json!({ "name": "demo", "provider": "offline", "model": "echo" });
    send(with(Method::POST, "/v1/agents").json(&demo)).await.expect(201);
    let mut languages = Vec::new();
    for (language, example) in examples() {
        let example = example.replace("http://127.0.0.1:3000", &server.url);
        let example = example.replace("mox_...", &token);
        let told = match language {
            "sh" => workshop.run("sh", &["-ec", &example]).await,
            "js" => workshop.run("node", &["--input-type=module", "--eval", &example]).await,
            "python" => workshop.run("python", &["-c", &example]).await,
            other => panic!("nothing runs {other}"),
        };
        let created = example.split_once("\"name\": \"").unwrap().1.split_once('"').unwrap().0;
        send(with(Method::GET, &format!("/v1/agents/{created}"))).await.expect(200);
        assert!(told.contains("demo") && told.contains(created), "{language}: {told}");
        languages.push(language);
    }
    assert_eq!(languages, ["sh", "js", "python"]);
}

#[tokio::test]
#[ignore = "run by `make peers`"]
async fn the_description_satisfies_a_linter() {
    let Some(workshop) = Workshop::open("node_modules/.bin/redocly") else { return };
    workshop.describe(&Server::start().await).await;
    let lint = ["lint", "openapi.json", "--extends=recommended", "--format=json", "--max-problems=1000"];
    let found: Value = serde_json::from_str(&workshop.run("redocly", &lint).await).unwrap();
    assert_eq!(found["problems"], json!([]));
}

#[tokio::test]
#[ignore = "run by `make peers`"]
async fn a_generated_client_in_typescript_makes_an_agent_work() {
    let Some(workshop) = Workshop::open("node_modules/.bin/tsc") else { return };
    let server = Server::start().await;
    workshop.describe(&server).await;
    workshop.run("openapi-typescript", &["openapi.json", "--output", "api.d.ts"]).await;
    workshop.run("tsc", &[]).await;
    let told = workshop.run("node", &["built/drive.js", &server.url]).await;
    assert_eq!(told, "completed: Hello from TypeScript\n404: agent_not_found\n");
}

#[tokio::test]
#[ignore = "run by `make peers`"]
async fn a_generated_client_in_python_makes_an_agent_work() {
    let Some(workshop) = Workshop::open("python/installed") else { return };
    let server = Server::start().await;
    workshop.describe(&server).await;
    let generate =
        ["generate", "--path=openapi.json", "--meta=none", "--output-path=moxxy_client", "--fail-on-warning"];
    workshop.run("openapi-python-client", &generate).await;
    workshop.run("mypy", &["drive.py", "moxxy_client"]).await;
    let import = "import importlib, pkgutil, moxxy_client as it\n\
        for module in pkgutil.walk_packages(it.__path__, 'moxxy_client.'): importlib.import_module(module.name)";
    workshop.run("python", &["-c", import]).await;
    let told = workshop.run("python", &["drive.py", &server.url, &server.token(None, &["*"]).await]).await;
    assert_eq!(told, "completed: Hello from Python\n404: agent_not_found\n");
}
