//! Benchmark of the cost of injecting a secret into a request and redacting it from the response.
//!
//! Calls a skill that sends a request to a local service, with a secret and without one, alternating in one run.
//! The baseline is the same call without the secret.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on stops")]

#[path = "server.rs"]
mod server;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::multipart::{Form, Part};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use server::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const ROUNDS: usize = 12;
const SIZES: [(&str, usize, usize); 3] = [("1 KiB", 1 << 10, 100), ("64 KiB", 64 << 10, 50), ("1 MiB", 1 << 20, 8)];
const VALUE: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// Starts a service that answers each request with as many bytes as its path says.
async fn service() -> u16 {
    let chain = CertificateDer::pem_file_iter(file("tests/it/tls/server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("tests/it/tls/server.key")).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                // Otherwise the second write of a short response waits for the acknowledgement of the first one.
                drop(stream.set_nodelay(true));
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let (mut head, mut read) = (vec![0; 16 * 1024], 0);
                while let Ok(more @ 1..) = stream.read(head.get_mut(read..).unwrap_or_default()).await {
                    read += more;
                    let text = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
                    let Some((line, _)) = text.split_once("\r\n").filter(|_| text.ends_with("\r\n\r\n")) else {
                        continue;
                    };
                    let size = line.split(['/', ' ']).find_map(|word| word.parse::<usize>().ok()).unwrap_or_default();
                    let body = "{\"id\": 12345, \"title\": \"A line of text\"}, ".repeat(size / 40 + 1);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                    if stream.write_all(head.as_bytes()).await.is_err()
                        || stream.write_all(body.as_bytes().get(..size).unwrap_or_default()).await.is_err()
                    {
                        return;
                    }
                    read = 0;
                }
            });
        }
    });
    port
}

impl Server {
    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// Installs the skill and its secret.
    async fn prepare(&self) {
        let offline = json!({ "id": "offline", "component": { "bundled": "offline" } });
        self.post("/v1/providers", offline).await;
        self.post("/v1/agents", json!({ "name": "ada", "provider": "offline", "model": "echo" })).await;
        self.post("/v1/vault/secrets", json!({ "name": "key", "value": VALUE })).await;
        let component = std::fs::read(concat!(env!("CARGO_TARGET_TMPDIR"), "/../test-components/keeper.wasm"));
        let component = component.expect("make test-components");
        let form = Form::new().part("component", Part::bytes(component)).text("accept", "all");
        let install = self.http.post(format!("{}/v1/agents/ada/skills/install", self.url)).multipart(form);
        assert!(install.send().await.unwrap().status().is_success());
    }

    async fn time(&self, url: &str, secret: bool, calls: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..calls {
            let arguments = json!({ "url": url, "secret": secret });
            self.post("/v1/agents/ada/skills/keeper/invoke", json!({ "tool": "measure", "arguments": arguments }))
                .await;
        }
        start.elapsed()
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let port = service().await;
    let (private, authority) = (format!("localhost:{port}"), file("tests/it/tls/authority.pem"));
    let server = Server::start(&[
        ("MOXXY_EGRESS_PRIVATE", &private),
        ("MOXXY_EGRESS_CA", &authority.display().to_string()),
        ("MOXXY_RATE_LIMIT_PER_SECOND", "1000000"),
        ("MOXXY_RATE_LIMIT_BURST", "1000000"),
    ]);
    server.prepare().await;
    println!("{:<10}{:>16}{:>16}{:>10}", "answer", "with ms/call", "without", "ratio");
    for (name, size, calls) in SIZES {
        let url = format!("https://localhost:{port}/{size}");
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let each = |time: Duration| time.as_secs_f64() * 1e3 / calls as f64;
            without.push(each(server.time(&url, false, calls).await));
            with.push(each(server.time(&url, true, calls).await));
        }
        let (with, without) = (median(with), median(without));
        println!("{name:<10}{with:>16.2}{without:>16.2}{:>10.2}", with / without);
    }
}
