//! Server in its own process, for benchmarks.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Server {
    child: Child,
    pub http: reqwest::Client,
    pub url: String,
    _home: TempDir,
}

impl Server {
    pub(crate) fn start(options: &[(&str, &str)]) -> Self {
        Self::of(env!("CARGO_BIN_EXE_moxxy"), options)
    }

    /// Starts the server of this binary.
    pub(crate) fn of(binary: &str, options: &[(&str, &str)]) -> Self {
        let home = TempDir::new().unwrap();
        let mut child = Command::new(binary)
            .args(["--port", "0", "serve"])
            .env_clear()
            .env("MOXXY_HOME", home.path())
            .env("MOXXY_LOG_FILTER", "error")
            .envs(options.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { child, http, url, _home: home }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
