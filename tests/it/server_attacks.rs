//! Server under attack, in its own process: each attack ends as stated. Afterwards the server works, and its
//! memory is what it was before.

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

/// Allowed difference of the server's own memory after an attack, in KiB.
const SLACK: u64 = 32 * 1024;

/// Server in its own process, and its memory when idle.
pub(crate) struct Besieged {
    pub server: Server,
    child: Child,
    before: u64,
}

impl Besieged {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(options: &[(&str, &str)]) -> Self {
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

    /// Checks that the install is rejected with this reason.
    pub(crate) async fn refuses(&self, skill: Crafted, reason: &str) {
        let message = self.server.upload_bytes("ada", skill.module()).await.error(400, "invalid_component");
        assert!(message.contains(reason), "{}: {message}", skill.name());
        outcome(skill.name(), &message);
        self.is_unharmed(skill.name()).await;
    }

    /// Checks that the skill is installed and a limit, named in the message, ends its call.
    pub(crate) async fn ends(&self, skill: Crafted, message: &str) {
        self.server.upload_bytes("ada", skill.module()).await.expect(201);
        let told = self.server.invoke("ada", skill.name(), "go", json!({})).await.error(500, "component_limit");
        assert!(told.contains(message), "{}: {told}", skill.name());
        outcome(skill.name(), &told);
        self.is_unharmed(skill.name()).await;
    }

    /// Checks that the skill is installed and its call answers as usual.
    pub(crate) async fn bears(&self, skill: Crafted) {
        self.server.upload_bytes("ada", skill.module()).await.expect(201);
        let answer = self.server.invoke("ada", skill.name(), "go", json!({})).await.expect(200);
        assert_eq!(answer, "harmless", "{}", skill.name());
        outcome(skill.name(), "is borne: the server keeps little for it");
        self.is_unharmed(skill.name()).await;
    }

    pub(crate) async fn is_unharmed(&self, attack: &str) {
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

    /// Returns the process's memory without the pages of files, which the system reclaims when needed. In KiB.
    fn memory(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// Returns a field of the process's status, in KiB.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        // It may have ended already, which the test reports better.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
