//! Loopback trust: the requests that need no token.

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    harness::{Server, send},
    outcomes::outcome,
};

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
        ("Host", "[::1]80", "names another host"),
        ("Host", "localhost", "names another port"),
        ("Host", "localhost:1", "names another port"),
        ("Host", "127.0.0.1:", "names another port"),
        ("Host", "127.0.0.1:80", "names another port"),
        ("Host", "[::1]", "names another port"),
        ("Host", "[::1]:443", "names another port"),
        ("Authorization", "Bearer mox_unknown", "not known"),
    ];
    for (name, value, why) in cases {
        let answer = send(server.request(Method::GET, "/v1/agents").header(name, value)).await;
        let message = answer.error(401, "unauthenticated");
        assert!(message.contains(why), "{name}: {message}");
    }
    let port = server.authority().strip_prefix("127.0.0.1:").unwrap();
    for host in ["localhost", "LOCALHOST", "[::1]", "127.0.0.2", "[::ffff:127.0.0.1]"] {
        let get = |port: &str| server.request(Method::GET, "/v1/agents").header("Host", format!("{host}:{port}"));
        send(get(port)).await.expect(200);
        for other in [format!("{port}0"), format!("+{port}"), format!("-{port}"), format!("{port}x")] {
            send(get(&other)).await.error(401, "unauthenticated");
        }
    }
    outcome("a request that names another port of this machine", "401: it names another port than the server's");
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
    // `@` stands for the server's address.
    let cases = [
        ("GET /v1/agents HTTP/1.0\r\nHost: @\r\n\r\n", "401"),
        ("GET /v1/agents HTTP/1.1\r\nHost: @\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "40"),
        ("GET http://evil.example/v1/agents HTTP/1.1\r\nHost: @\r\nConnection: close\r\n\r\n", "401"),
        ("GET http://localhost/v1/agents HTTP/1.1\r\nHost: @\r\nConnection: close\r\n\r\n", "401"),
        ("GET http://@/v1/agents HTTP/1.1\r\nHost: @\r\nConnection: close\r\n\r\n", "200"),
        ("GET /v1/agents HTTP/1.1\r\nHost: @:80\r\nConnection: close\r\n\r\n", "401"),
        ("GET /v1/agents HTTP/1.1\r\nConnection: close\r\n\r\n", "40"),
        ("GET /v1/agents HTTP/1.1\r\nHost: @\r\nConnection: close\r\n\r\n", "200"),
    ];
    for (request, status) in cases {
        let mut stream = TcpStream::connect(server.authority()).await.unwrap();
        stream.write_all(request.replace('@', server.authority()).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.split(' ').nth(1).unwrap().starts_with(status), "{request}: {answer}");
    }
}
