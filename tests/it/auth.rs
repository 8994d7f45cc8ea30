//! Loopback trust: who is answered without a token.

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Server, send};

#[tokio::test]
async fn pages_proxies_and_other_names_are_not_trusted() {
    let server = Server::start().await;
    let cases = [
        ("Origin", "http://localhost:3000", "comes from a web page"),
        ("Sec-Fetch-Site", "same-origin", "comes from a web page"),
        ("Via", "moxxy", "forwarded by a proxy"),
        ("Forwarded", "for=127.0.0.1", "forwarded by a proxy"),
        ("X-Forwarded-For", "127.0.0.1", "forwarded by a proxy"),
        ("X-Forwarded-Host", "localhost", "forwarded by a proxy"),
        ("X-Real-IP", "127.0.0.1", "forwarded by a proxy"),
        ("Host", "moxxy.example.com", "names another host"),
        ("Host", "127.0.0.1.example.com", "names another host"),
        ("Host", "localhost:80:80", "names another host"),
        ("Authorization", "Bearer mox_unknown", "not known"),
    ];
    for (name, value, why) in cases {
        let answer = send(server.request(Method::GET, "/v1/agents").header(name, value)).await;
        let message = answer.error(401, "unauthenticated");
        assert!(message.contains(why), "{name}: {message}");
    }
    for host in ["localhost", "LOCALHOST:1", "[::1]:3000", "127.0.0.2"] {
        send(server.request(Method::GET, "/v1/agents").header("Host", host)).await.expect(200);
    }
}

#[tokio::test]
async fn an_address_typed_into_a_browser_may_read_but_not_change() {
    let server = Server::start().await;
    let typed = |method| server.request(method, "/v1/agents").header("Sec-Fetch-Site", "none");
    send(typed(Method::GET)).await.expect(200);
    send(typed(Method::POST).json(&serde_json::json!({}))).await.error(401, "unauthenticated");
}

#[tokio::test]
async fn old_and_ambiguous_requests_are_not_trusted() {
    let server = Server::start().await;
    let cases = [
        ("GET /v1/agents HTTP/1.0\r\nHost: localhost\r\n\r\n", "401"),
        ("GET /v1/agents HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "40"),
        ("GET http://evil.example/v1/agents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "401"),
        ("GET /v1/agents HTTP/1.1\r\nConnection: close\r\n\r\n", "40"),
        ("GET /v1/agents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200"),
    ];
    for (request, status) in cases {
        let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.split(' ').nth(1).unwrap().starts_with(status), "{request}: {answer}");
    }
}
