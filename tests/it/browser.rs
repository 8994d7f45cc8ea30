//! Loopback trust with a real browser: no page gets access, whatever its address.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
};

use serde_json::{Value, json};

use crate::{chromium::Chromium, harness::Server, tools};

const ATTEMPTS: &str = include_str!("browser.js");

async fn browser() -> Option<Chromium> {
    let program = tools::find(&["chromium-headless-shell", "chromium", "google-chrome"])?;
    Some(Chromium::start(&program).await)
}

/// Starts a server with the agent `ada` and a conversation of it.
async fn server() -> Server {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.run("ada", "hello").await;
    server
}

/// Starts another program's server, with an empty page.
fn other_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The browser may open a connection and not use it.
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let page =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html><body>";
                stream.write_all(page.as_bytes()).unwrap();
            }
        }
    });
    address
}

/// Returns everything that a page could have changed.
async fn state(server: &Server) -> Value {
    let mut state = Vec::new();
    for path in
        ["/v1/auth/tokens", "/v1/agents", "/v1/agents/ada/sessions", "/v1/agents/ada/skills", "/v1/agents/ada/runs"]
    {
        state.push(server.get(path).await.expect(200));
    }
    Value::Array(state)
}

/// Runs all attempts in the open page and checks that the server rejects each.
async fn attempt(browser: &mut Chromium, server: &Server, url: &str) -> Value {
    let before = state(server).await;
    browser.answers.clear();
    let learnt = browser.evaluate(&format!("({ATTEMPTS})({})", json!(url))).await;
    for (attempt, outcome) in learnt.as_object().unwrap() {
        assert!(outcome == "failed" || outcome == "hidden" || *outcome == 401, "{attempt}: {outcome}");
    }
    let refused = browser.answers.iter().filter(|(address, status)| {
        // A preflight request is rejected with 405.
        assert!([401, 405].contains(status), "{address}: {status}");
        *status == 401
    });
    assert!(refused.count() >= 8, "{:?}", browser.answers);
    assert_eq!(state(server).await, before);
    learnt
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nothing() {
    let Some(mut browser) = browser().await else { return };
    let server = server().await;
    let port = other_server().port();
    // By an address of this machine, and by a name that resolves to it.
    let named = server.url.replace("127.0.0.1", "moxxy.example");
    for host in ["127.0.0.1", "localhost", "page.example"] {
        for url in [&server.url, &named] {
            browser.open(&format!("http://{host}:{port}")).await;
            let learnt = attempt(&mut browser, &server, url).await;
            assert!(learnt.as_object().unwrap().values().all(Value::is_string), "{host}: {learnt}");
        }
    }
    browser.close().await;
}

/// A page of a name that resolved elsewhere before and to this server now (DNS rebinding). For the browser it has
/// the server's own origin.
#[tokio::test]
async fn a_rebinding_name_gets_nothing() {
    let Some(mut browser) = browser().await else { return };
    let server = server().await;
    let rebound = server.url.replace("127.0.0.1", "rebind.example");
    browser.open(&rebound).await;
    let learnt = attempt(&mut browser, &server, &rebound).await;
    for name in ["read", "create", "create_blindly", "reset", "install", "remove"] {
        assert_eq!(learnt[name], 401, "{name}");
    }
    browser.close().await;
}

#[tokio::test]
async fn an_address_typed_in_is_shown_and_its_page_gets_nothing() {
    let Some(mut browser) = browser().await else { return };
    let server = server().await;
    browser.open(&format!("{}/v1/agents", server.url)).await;
    let shown = browser.evaluate("JSON.parse(document.body.innerText)").await;
    assert_eq!(shown[0]["name"], "ada");
    attempt(&mut browser, &server, &server.url).await;
    browser.close().await;
}
