//! Headless Chromium, driven by the DevTools protocol over two pipes. Each message is JSON, terminated by NUL.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::harness::PATIENCE;

pub(crate) struct Chromium {
    process: Child,
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    last_id: u64,
    session: Value,
    /// Address and status of each response.
    pub answers: Vec<(String, u64)>,
    // Last, so that it is dropped after the browser.
    _profile: TempDir,
}

impl Chromium {
    /// Starts a browser with a new profile, which resolves every name below `.example` to this machine.
    pub(crate) async fn start(program: &Path) -> Self {
        let profile = TempDir::new().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>"$LOG""#])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"])
            .args(["--remote-debugging-pipe", "--host-resolver-rules=MAP *.example 127.0.0.1"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("LOG", profile.path().join("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, messages) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (session, answers) = (Value::Null, Vec::new());
        let mut browser = Self { process, commands, messages, last_id: 0, session, answers, _profile: profile };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", target).await["sessionId"].take();
        browser.call("Network.enable", json!({})).await;
        browser
    }

    /// Navigates to an address, as if typed.
    pub(crate) async fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        assert_eq!(opened["errorText"], Value::Null, "{url}");
    }

    /// Evaluates a script in the open page and returns its result.
    pub(crate) async fn evaluate(&mut self, script: &str) -> Value {
        let script = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut outcome = self.call("Runtime.evaluate", script).await;
        assert_eq!(outcome["exceptionDetails"], Value::Null);
        outcome["result"]["value"].take()
    }

    pub(crate) async fn close(mut self) {
        self.call("Browser.close", json!({})).await;
        timeout(PATIENCE, self.process.wait()).await.expect("the browser does not end").unwrap();
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if self.session.is_string() {
            command["sessionId"] = self.session.clone();
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).await.unwrap();
        loop {
            let mut message = self.message().await;
            if message["id"] == self.last_id {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
            if message["method"] == "Network.responseReceived" {
                let response = &message["params"]["response"];
                self.answers.push((response["url"].as_str().unwrap().into(), response["status"].as_u64().unwrap()));
            }
        }
    }

    async fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.messages.read_until(0, &mut bytes)).await.expect("the browser is silent");
        read.unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser is gone");
        serde_json::from_slice(&bytes).unwrap()
    }
}
