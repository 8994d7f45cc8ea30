//! Loopback trust behind a real nginx on the same machine, whose workers run as their own user.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    harness::{Server, send},
    tools,
};

struct Nginx {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx with these lines in `location /`, and otherwise its defaults.
    fn start(program: &Path, location: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // On an address that nothing else uses, the port stays free.
        let address = TcpListener::bind("127.0.0.80:0").unwrap().local_addr().unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {name};\n"))
            .collect();
        let config = format!(
            "daemon off; user www-data; pid nginx.pid; error_log stderr notice; events {{}}\n\
             http {{ access_log off; {temporary} server {{ listen {address}; location / {{ {location} }} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let mut process = Command::new(program)
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let nginx = Self { process, address, _folder: folder };
        let ready =
            log.by_ref().inspect(|line| told.push(line.clone())).any(|line| line.contains("start worker process "));
        assert!(ready, "{told:#?}");
        // Read the rest of its log, so that nginx can keep writing.
        std::thread::spawn(move || log.for_each(drop));
        nginx
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let http = crate::harness::http();
        http.request(method, format!("http://{}{path}", self.address))
    }
}

impl Drop for Nginx {
    /// Ends nginx with its workers.
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            self.process.wait().ok();
        }
    }
}

/// Sends the requests that local programs may make through the proxy, and to the server itself for comparison.
async fn expect_no_trust(server: &Server, proxy: &Nginx) {
    let through = |method, path: &str| proxy.request(method, path);
    send(through(Method::GET, "/v1/health")).await.expect(200);
    let before = server.get("/v1/agents").await.expect(200);
    let agent = json!({ "name": "intruder", "provider": "offline", "model": "echo" });
    for request in [
        through(Method::GET, "/v1/agents"),
        through(Method::POST, "/v1/agents").json(&agent),
        through(Method::POST, "/v1/agents/ada/runs").json(&json!({ "task": "hello" })),
        through(Method::DELETE, "/v1/agents/ada"),
        through(Method::GET, "/v1/events/stream?after=0"),
    ] {
        send(request).await.error(401, "unauthenticated");
    }
    let first = through(Method::POST, "/v1/auth/tokens").json(&json!({ "scopes": ["*"] }));
    send(first).await.error(401, "unauthenticated");
    assert_eq!(server.get("/v1/auth/tokens").await.expect(200), json!([]));
    assert_eq!(server.get("/v1/agents").await.expect(200), before);
}

fn nginx() -> Option<PathBuf> {
    let program = tools::find(&["nginx"])?;
    if !rustix::process::geteuid().is_root() {
        tools::skip("only root can give nginx a user of its own");
        return None;
    }
    Some(program)
}

#[tokio::test]
async fn a_stock_proxy_is_not_trusted() {
    let Some(program) = nginx() else { return };
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let proxy = Nginx::start(&program, &format!("proxy_pass {};", server.url));
    expect_no_trust(&server, &proxy).await;
}

/// Its requests look like those of a local program: only its user differs.
#[tokio::test]
async fn a_proxy_that_does_not_show_is_not_trusted() {
    let Some(program) = nginx() else { return };
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let own = server.authority();
    let hidden = format!("proxy_http_version 1.1; proxy_set_header Host {own}; proxy_set_header Connection '';");
    let proxy = Nginx::start(&program, &format!("{hidden} proxy_pass {};", server.url));
    expect_no_trust(&server, &proxy).await;
    let why = send(proxy.request(Method::GET, "/v1/agents")).await.error(401, "unauthenticated");
    assert!(why.contains("another user's program"), "{why}");
}
