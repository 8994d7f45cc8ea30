//! Hosts that components may and may not reach, tested with real servers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::HeaderMap,
    response::Redirect,
    routing::{any, get},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    harness::{Answer, PATIENCE, Server},
    peer::{Peer, call, fails, fetch, paste, reaching, server},
};

async fn echo(headers: HeaderMap, body: Bytes) -> String {
    let pairs: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    format!("{}\n\n{}", pairs.join("\n"), body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_host_is_reached_and_told_who_asks() {
    let peer = Peer::new(Router::new().route("/echo", any(echo))).await;
    let server = reaching(&peer).await;
    let headers = json!([["X-Own", "value"], ["Via", "1.1 me"], ["Expect", "100-continue"]]);
    let request = json!({ "url": peer.url("/echo?a=b"), "method": "POST", "bytes": 100_000, "headers": headers });
    let answer = call(&server, request).await.expect(200);
    let (head, body) = answer["body"].as_str().unwrap().split_once("\n\n").unwrap();
    assert_eq!((&answer["status"], body), (&json!(200), "100000"));
    for line in [&format!("host: 127.0.0.1:{}", peer.port), "x-own: value", "via: 1.1 me", "via: 1.1 moxxy"] {
        assert!(head.lines().any(|header| header == line), "{line}: {head}");
    }
    assert!(head.contains("user-agent: moxxy/") && !head.contains("expect"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reached_that_nobody_granted() {
    let peer = Peer::new(Router::new().route("/", get(|| async { "secret" }))).await;
    let (port, server) = (peer.port, server(&[], |_| {}).await);
    let cases = [
        (
            format!("http://127.0.0.1:{port}/"),
            "this would let it: PUT /v1/agents/ada/skills/http {\"accept\":[\"host:127.0.0.1:PORT GET+POST\"]}",
        ),
        (format!("http://0x7f.1:{port}/"), "[\"host:127.0.0.1:PORT GET+POST\"]"),
        (format!("http://2130706433:{port}/"), "[\"host:127.0.0.1:PORT GET+POST\"]"),
        (format!("http://0177.0.0.1:{port}/"), "[\"host:127.0.0.1:PORT GET+POST\"]"),
        (format!("http://127.1:{port}/"), "[\"host:127.0.0.1:PORT GET+POST\"]"),
        (format!("http://localhost:{port}/"), "[\"host:localhost:PORT GET\"]"),
        (format!("http://[::1]:{port}/"), "[\"host:[::1]:PORT GET\"]"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "its manifest does not ask for that host"),
        (format!("http://[64:ff9b::7f00:1]:{port}/"), "its manifest does not ask for that host"),
        (format!("http://127.0.0.2:{port}/"), "its manifest does not ask for that host"),
        (format!("http://0.0.0.0:{port}/"), "its manifest does not ask for that host"),
        ("http://169.254.169.254/latest/meta-data/".into(), "its manifest does not ask for that host"),
        ("https://wild.example/".into(), "its manifest does not ask for that host"),
        ("http://named.example/".into(), "by https on port 443 only, not by http on port 80"),
        ("https://named.example:8443/".into(), "by https on port 443 only, not by https on port 8443"),
    ];
    let count = cases.len();
    for (url, reason) in cases {
        let told = fails(&server, json!({ "url": url })).await;
        assert!(told.contains(&reason.replace("PORT", &port.to_string())), "{url}: {told}");
    }
    assert_eq!(peer.asked(), 0);
    server.get("/v1/health").await.expect(200);
    let audit = server.get("/v1/audit?event_type=egress.denied&actor=component:http").await.expect(200);
    assert_eq!(audit.as_array().unwrap().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_public_addresses_only() {
    fn names(name: &str) -> Vec<SocketAddr> {
        let addresses: &[&str] = match name {
            "loopback.wild.example" => &["127.0.0.1"],
            "mixed.wild.example" => &["93.184.216.34", "10.0.0.1"],
            "metadata.wild.example" => &["169.254.169.254"],
            "mapped.wild.example" => &["::ffff:127.0.0.1"],
            "nat64.wild.example" => &["64:ff9b::a9fe:a9fe"],
            "sixtofour.wild.example" => &["2002:7f00:1::"],
            _ => &[],
        };
        addresses.iter().map(|address| (address.parse::<IpAddr>().unwrap(), 0).into()).collect()
    }
    let server = server(&["127.0.0.1:443".into()], |config| config.egress.resolver = Some(names)).await;
    let cases = [
        (
            "loopback",
            "loopback.wild.example:443 is 127.0.0.1, a loopback address: this would let it: PUT /v1/agents/ada/skills/http ",
        ),
        ("mixed", "is 10.0.0.1, a private address"),
        ("metadata", "is 169.254.169.254, the address of a cloud's metadata"),
        ("mapped", "an IPv6 address that stands for another one, which no rule allows"),
        ("nat64", "the address of a cloud's metadata"),
        ("sixtofour", "an IPv6 address that stands for another one"),
        ("unknown", "the host has no address"),
    ];
    for (name, reason) in cases {
        let told = fails(&server, json!({ "url": format!("https://{name}.wild.example/") })).await;
        assert!(told.contains(reason), "{name}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_up_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    fn changing(_: &str) -> Vec<SocketAddr> {
        let first = ASKED.fetch_add(1, SeqCst) == 0;
        vec![(if first { [127, 0, 0, 1] } else { [169, 254, 169, 254] }, 0).into()]
    }
    let peer = Peer::new(Router::new().route("/", get(|| async { "found" }))).await;
    let private = [format!("named.example:{}", peer.port)];
    let server = server(&private, |config| config.egress.resolver = Some(changing)).await;
    let url = format!("http://named.example:{}/", peer.port);
    assert_eq!(fetch(&server, &url).await.expect(200)["body"], "found");
    // The second request uses the connection to the checked address.
    assert_eq!(fetch(&server, &url).await.expect(200)["body"], "found");
    assert_eq!((ASKED.load(SeqCst), peer.asked()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn this_server_is_reached_by_nobody() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let private = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{free}"));
    let server = server(&private, |config| config.server.port = free).await;
    for url in [format!("{}/v1/health", server.url), format!("http://localhost:{free}/v1/health")] {
        let told = fails(&server, json!({ "url": url })).await;
        assert!(told.contains("is this server itself, which no rule allows"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_as_far_as_the_rules_go() {
    let echo_after = |to: String| Router::new().route("/", any(move || async move { Redirect::to(&to) }));
    let other = Peer::new(Router::new().route("/", any(echo))).await;
    let local = format!("http://localhost:{}/", other.port);
    let here = Router::new()
        .route("/echo", any(echo))
        // Read the request body first: a connection with unread data is reset.
        .route("/near", any(async |_: Bytes| Redirect::to("../echo")))
        .route("/again", any(async |_: Bytes| Redirect::temporary("/echo")))
        .route("/found", any(|| async { (axum::http::StatusCode::FOUND, [("location", "/echo")]) }))
        .route("/moved", any(|| async { Redirect::permanent("/echo") }))
        .route("/loop", any(|| async { Redirect::to("/loop") }))
        .route("/metadata", any(|| async { Redirect::to("http://169.254.169.254/") }))
        .route("/user", any(|| async { Redirect::to("//ada@127.0.0.1/") }))
        .nest("/away", echo_after(local));
    let peer = Peer::new(here).await;
    let private = [format!("127.0.0.1:{}", peer.port), format!("localhost:{}", other.port)];
    let server = server(&private, |_| {}).await;
    let secret = json!([["Authorization", "Bearer secret"], ["Cookie", "a=b"]]);
    let body = |answer: Answer| answer.expect(200)["body"].as_str().unwrap().to_owned();

    for path in ["/found", "/moved", "/again"] {
        assert_eq!(fetch(&server, &peer.url(path)).await.expect(200)["status"], 200, "{path}");
    }
    let near = json!({ "url": peer.url("/near"), "method": "POST", "bytes": 9, "headers": secret });
    let near = body(call(&server, near).await);
    assert!(near.contains("Bearer secret") && near.ends_with("\n\n0") && !near.contains("content-type"), "{near}");
    let away = body(call(&server, json!({ "url": peer.url("/away"), "headers": secret })).await);
    assert!(away.contains("host: localhost") && !away.contains("secret") && !away.contains("cookie"), "{away}");
    // The body is consumed: the component gets the redirect.
    let again = json!({ "url": peer.url("/again"), "method": "POST", "bytes": 9 });
    assert_eq!(call(&server, again).await.expect(200)["status"], 307);

    for (path, reason) in [
        ("/metadata", "it may not reach 169.254.169.254"),
        ("/user", "it has user information in it"),
        ("/loop", "there were too many redirects"),
    ] {
        let told = fails(&server, json!({ "url": peer.url(path) })).await;
        assert!(told.contains(reason), "{path}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_with_two_readings_are_sent_nowhere() {
    let peer = Peer::new(Router::new().fallback(|| async { "reached" })).await;
    let server = reaching(&peer).await;
    let port = peer.port;
    for url in [
        format!("http://ada@127.0.0.1:{port}/"),
        format!("http://ada:pass@127.0.0.1:{port}/"),
        format!("http://evil.example\\@127.0.0.1:{port}/"),
        peer.url("/a\\b"),
        peer.url("/a/../b"),
        peer.url("/a/%2e%2E/b"),
        peer.url("/a/.%2e"),
        peer.url("/a/./b"),
        peer.url("/a b"),
        peer.url("/a\r\nX-Injected: yes"),
        format!("ftp://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}:80/"),
        format!("http://:{port}/"),
    ] {
        fails(&server, json!({ "url": url })).await;
    }
    fails(&server, json!({ "url": peer.url("/"), "headers": [["X-A", "b\r\nX-Injected: yes"]] })).await;
    let denied = fails(&server, json!({ "url": peer.url("/"), "method": "DELETE" })).await;
    assert!(denied.contains("it may send GET, POST to 127.0.0.1 only, not DELETE"), "{denied}");
    assert_eq!(peer.asked(), 0);
    fetch(&server, &peer.url("/a%2Fb")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_ended() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let fast = Duration::from_micros(10);
    let slow = Duration::from_millis(200);
    let more = format!("X-More: {}\r\n", "and more ".repeat(1000));
    let cases = [
        (Peer::raw(OK, more.leak().as_bytes(), fast).await, "headers are too large"),
        (Peer::raw(OK, b"X", slow).await, "there was no response in time"),
        (Peer::raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", slow).await, "in time"),
        (Peer::raw(b"HTTP/1.1 200 OK\r\n\r\n", b"x", slow).await, "the response took too long"),
        (Peer::raw(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 16384], fast).await, "larger than the operator allows"),
        (Peer::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"x", slow).await, "larger than"),
        (Peer::raw(b"HTTP/1.1 200 OK\r\n\r\n", b"x", Duration::from_secs(30)).await, "the response took too long"),
        (
            Peer::raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"x", slow)
                .await,
            "",
        ),
        (Peer::raw(b"nonsense\r\n\r\n", b"x", slow).await, "broke"),
    ];
    let private: Vec<_> = cases.iter().map(|(peer, _)| format!("127.0.0.1:{}", peer.port)).collect();
    let server = server(&private, |config| {
        (config.egress.head_time, config.egress.body_pause, config.egress.total_time) = (2, 2, 5);
        config.egress.response_body = 1 << 16;
    })
    .await;
    for (peer, reason) in &cases {
        let began = Instant::now();
        let told = fails(&server, json!({ "url": peer.url("/") })).await;
        assert!(told.contains(reason) && began.elapsed() < Duration::from_secs(20), "{reason}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_a_size_and_a_number() {
    let peer = Peer::new(Router::new().route("/echo", any(echo))).await;
    let server = server(&[format!("127.0.0.1:{}", peer.port)], |config| {
        (config.egress.request_body, config.egress.requests) = (50_000, 5);
    })
    .await;
    let of = |bytes: usize, times: usize| json!({ "url": peer.url("/echo"), "method": "POST", "bytes": bytes, "times": times });
    call(&server, of(50_000, 5)).await.expect(200);
    let large = fails(&server, of(50_001, 1)).await;
    assert!(large.contains("the request is larger than the operator allows"), "{large}");
    let many = fails(&server, of(1, 6)).await;
    assert!(many.contains("it made more than the 5 requests of one call that `egress.requests` allows"), "{many}");
    assert_eq!(peer.asked(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_there_as_it_comes() {
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let pieces = move || async move {
        let rest = async move {
            wait.notified().await;
            Ok::<_, std::io::Error>(Bytes::from("the rest"))
        };
        let first = futures_util::stream::once(async { Ok(Bytes::from("the first piece")) });
        Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::once(rest)))
    };
    let peer = Peer::new(Router::new().route("/", get(pieces))).await;
    let server = reaching(&peer).await;
    let mut events = server.events("agent_id=ada&event_type=skill.progress").await;
    let call = server.invoke("ada", "http", "stream", json!({ "url": peer.url("/") }));
    let told = async {
        let event = events.next().await.unwrap();
        go_on.notify_one();
        event.data["payload"]["message"].clone()
    };
    let (answer, told) = tokio::time::timeout(PATIENCE, async { tokio::join!(call, told) }).await.unwrap();
    assert_eq!((told, answer.expect(200)), (json!("the first piece"), json!("the rest")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_would_allow_it_and_is_told() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.upload("ada", "http").await.expect(201);
    let mut events = server.events("agent_id=ada&event_type=egress.denied&after=0").await;
    let url = "https://named.example/path?token=secret";
    let told = fails(&server, json!({ "url": url })).await;
    let way = "this would let it: PUT /v1/agents/ada/skills/http {\"accept\":[\"host:named.example GET\"]}";
    assert!(told.contains(way), "{told}");
    let payload = events.next().await.unwrap().data["payload"].clone();
    assert_eq!((&payload["component"], &payload["method"]), (&json!("http"), &json!("GET")));
    assert_eq!(payload["host"], "named.example");
    assert!(payload["reason"].as_str().unwrap().contains(way) && !payload.to_string().contains("secret"), "{payload}");
    // The suggested request works as written.
    paste(&server, &told).await.expect(200);
    let told = fails(&server, json!({ "url": url })).await;
    assert!(told.contains("the host has no address") && !told.contains("accept"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_against_the_operators_authorities() {
    let file = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls").join(name);
    let peer = Server::with(|config| {
        config.server.tls_certificate = file("server.pem");
        config.server.tls_key = file("server.key");
    })
    .await;
    let port = peer.url.rsplit_once(':').unwrap().1.to_owned();
    let private = ["127.0.0.1", "named.example"].map(|host| format!("{host}:{port}"));
    let here: fn(&str) -> Vec<SocketAddr> = |_| vec![([127, 0, 0, 1], 0).into()];
    let trusting = server(&private, |config| {
        config.egress.ca = file("authority.pem");
        config.egress.resolver = Some(here);
    })
    .await;
    let url = format!("https://127.0.0.1:{port}/livez");
    assert_eq!(fetch(&trusting, &url).await.expect(200)["status"], 200);
    let other = fails(&trusting, json!({ "url": format!("https://named.example:{port}/livez") })).await;
    assert!(other.contains("the host's certificate is not trusted"), "{other}");
    let strict = server(&private, |_| {}).await;
    let untrusted = fails(&strict, json!({ "url": url })).await;
    assert!(untrusted.contains("the host's certificate is not trusted"), "{untrusted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_may_ask_for_any_host_and_reaches_those_that_are_named() {
    let page = "<title>A page</title><p>Read <a href='/more'>more</a>.<script>no()</script>";
    let html = move || async move { axum::response::Html(page) };
    let peer = Peer::new(Router::new().route("/", get(html))).await;
    let server = server(&[], |_| {}).await;
    let install = async |accept: serde_json::Value| {
        let body = json!({ "source": { "bundled": "fetch" }, "accept": accept });
        server.post("/v1/agents/ada/skills/install", body).await
    };
    for wrong in ["host:docs.rs POST", "host:* GET+POST", "host:*.com GET", "host:config:x GET", "host:Docs.rs GET"] {
        install(json!([wrong])).await.error(400, "invalid_input");
    }
    // The skill requests any host, so `all` grants no host yet.
    assert_eq!(install(json!("all")).await.expect(201)["granted"]["hosts"], json!([]));
    let fetch = async || server.invoke("ada", "fetch", "fetch", json!({ "url": peer.url("/") })).await;
    let told = fetch().await.error(500, "tool_failed");
    let granted = paste(&server, &told).await.expect(200)["granted"]["hosts"].clone();
    assert_eq!(granted[0]["host"], json!(format!("127.0.0.1:{}", peer.port)));
    assert_eq!(fetch().await.expect(200), "A page\n\nRead [more](/more).");
}
