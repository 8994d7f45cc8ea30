//! Test servers that components may reach, and the skill that sends requests to them.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use moxxy_server::config::Config;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    harness::{Answer, Server, send},
    outcomes::outcome,
};

/// Test server that components may reach, with its number of requests.
pub(crate) struct Peer {
    pub port: u16,
    asked: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) async fn new(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let seen = Arc::clone(&asked);
        let count = move |request: Request| {
            seen.fetch_add(1, SeqCst);
            request
        };
        let routes = routes.layer(axum::middleware::map_request(move |request| std::future::ready(count(request))));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, asked }
    }

    /// Starts a server with TLS, as `localhost` and 127.0.0.1.
    pub(crate) async fn encrypted(routes: Router) -> Self {
        let pem = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls").join(name);
        let chain = CertificateDer::pem_file_iter(pem("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = Encrypted { listener, tls: TlsAcceptor::from(Arc::new(tls)) };
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, asked: Arc::default() }
    }

    /// Starts a server that answers every connection with `head`, and then with `again` repeatedly.
    pub(crate) async fn raw(head: &'static [u8], again: &'static [u8], pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    drop(stream.read(&mut [0; 4096]).await);
                    let mut sent = stream.write_all(head).await;
                    while sent.is_ok() {
                        tokio::time::sleep(pause).await;
                        sent = stream.write_all(again).await;
                    }
                });
            }
        });
        Self { port, asked: Arc::default() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

/// Accepts connections that begin with a TLS handshake.
struct Encrypted {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Starts a server whose components may reach these private hosts and the public ones.
pub(crate) async fn server(private: &[String], change: impl FnOnce(&mut Config)) -> Server {
    let private = serde_json::from_value(json!(private)).unwrap();
    let server = Server::with(|config| {
        config.egress.private = private;
        change(config);
    })
    .await;
    server.offline("ada", "echo").await;
    server.accepted("ada", "http").await;
    server
}

pub(crate) async fn reaching(peer: &Peer) -> Server {
    server(&[format!("127.0.0.1:{}", peer.port)], |_| {}).await
}

pub(crate) async fn call(server: &Server, arguments: Value) -> Answer {
    server.invoke("ada", "http", "get", arguments).await
}

pub(crate) async fn fetch(server: &Server, url: &str) -> Answer {
    call(server, json!({ "url": url })).await
}

/// Returns the reason why a request failed.
pub(crate) async fn fails(server: &Server, arguments: Value) -> String {
    let attack = format!("{} {}", arguments["method"].as_str().unwrap_or("GET"), arguments["url"].as_str().unwrap());
    let told = call(server, arguments).await.error(500, "tool_failed");
    let refusal = told.split_once("a request was refused: ").map_or(told.as_str(), |(_, refusal)| refusal);
    outcome(&attack, refusal);
    told
}

/// Sends the request that a rejection suggests to allow it.
pub(crate) async fn paste(server: &Server, refusal: &str) -> Answer {
    let (_, request) = refusal.split_once("this would").unwrap();
    let (_, request) = request.split_once(": ").unwrap();
    let mut words = request.splitn(3, ' ');
    let (method, path) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
    let body = serde_json::Deserializer::from_str(words.next().unwrap()).into_iter::<Value>().next().unwrap().unwrap();
    send(server.request(method, path).json(&body)).await
}
