//! A server under attack, in a process of its own: each attack ends in the way that was stated, and
//! then the server serves, and its memory is what it was before.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli::serve,
    harness::{PATIENCE, Server},
    malformed_modules::Crafted,
    outcomes::outcome,
};

/// What the server's own memory may differ by after an attack, in KiB.
const SLACK: u64 = 32 * 1024;

/// A server in a process of its own, and the memory that it needs when nothing goes on.
pub struct Besieged {
    pub server: Server,
    child: Child,
    before: u64,
}

impl Besieged {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(options: &[(&str, &str)]) -> Self {
        let home = TempDir::new().unwrap();
        let few = [
            ("MOXXY_LOG_FILTER", "error"),
            ("MOXXY_PLUGINS_SKILL_CPU", "300"),
            ("MOXXY_PLUGINS_DESCRIBE_CPU", "300"),
            ("MOXXY_PLUGINS_CONCURRENT_SKILLS", "4"),
            ("MOXXY_PLUGINS_CONCURRENT_PROVIDERS", "4"),
        ];
        let (child, url) = serve(home.path(), &[&few, options].concat());
        let mut besieged = Self { server: Server::elsewhere(url, home), child, before: 0 };
        besieged.server.offline("ada", "echo").await;
        besieged.server.install("ada", "text").await;
        besieged.serves().await;
        besieged.before = besieged.memory();
        besieged
    }

    /// The install is refused with this reason.
    pub async fn refuses(&self, skill: Crafted, reason: &str) {
        let message = self.server.upload_bytes("ada", skill.module()).await.error(400, "invalid_component");
        assert!(message.contains(reason), "{}: {message}", skill.name());
        outcome(skill.name(), &message);
        self.is_unharmed(skill.name()).await;
    }

    /// The skill is installed, and its call is ended by a limit, which the message names.
    pub async fn ends(&self, skill: Crafted, message: &str) {
        self.server.upload_bytes("ada", skill.module()).await.expect(201);
        let told = self.server.invoke("ada", skill.name(), "go", json!({})).await.error(500, "component_limit");
        assert!(told.contains(message), "{}: {told}", skill.name());
        outcome(skill.name(), &told);
        self.is_unharmed(skill.name()).await;
    }

    /// The skill is installed, and its call answers as if nothing were.
    pub async fn bears(&self, skill: Crafted) {
        self.server.upload_bytes("ada", skill.module()).await.expect(201);
        let answer = self.server.invoke("ada", skill.name(), "go", json!({})).await.expect(200);
        assert_eq!(answer, "harmless", "{}", skill.name());
        outcome(skill.name(), "is borne: the server keeps little for it");
        self.is_unharmed(skill.name()).await;
    }

    pub async fn is_unharmed(&self, attack: &str) {
        self.serves().await;
        let deadline = Instant::now() + PATIENCE / 6;
        while self.memory() > self.before + SLACK {
            let now = self.memory();
            assert!(Instant::now() < deadline, "{attack}: {} KiB before, {now} KiB after", self.before);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn serves(&self) {
        assert_eq!(self.server.get("/v1/health").await.expect(200)["status"], "ok");
        let count = self.server.invoke("ada", "text", "word_count", json!({ "text": "a b" })).await.expect(200);
        assert_eq!(count["words"], 2);
    }

    /// The process's memory, but for pages of files, which the system takes back when it needs
    /// them.
    fn memory(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// What the system says of the process, in KiB.
    pub fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        // It may be gone already, and the test says so better.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
