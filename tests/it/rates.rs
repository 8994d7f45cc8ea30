//! Rate limits: a bucket per token or address; and the middleware around every request.

use reqwest::{Method, header::HeaderMap};
use serde_json::json;

use crate::harness::{Server, send, target};

async fn limited(burst: u32) -> Server {
    Server::with(|config| {
        config.rate_limit.per_second = 1;
        config.rate_limit.burst = burst;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

#[tokio::test]
async fn each_token_and_each_address_has_its_own_bucket() {
    let server = limited(4).await;
    let first = server.token(None, &["*"]).await;
    let second = server.token(Some(&first), &["*"]).await;
    let with = |token: &str| send(server.request(Method::GET, "/v1/agents").bearer_auth(token));
    for _ in 0..4 {
        with(&second).await.expect(200);
    }
    let answer = with(&second).await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.error(429, "too_many_requests");
    with(&first).await.expect(200);
    server.get("/v1/agents").await.expect(200);
    // Behind a trusted proxy, the address that the proxy adds counts, and nothing before it.
    let from = |forwarded: &'static str| send(server.request(Method::GET, "/v2").header("X-Forwarded-For", forwarded));
    for forged in ["198.51.100.1, 192.0.2.1", "198.51.100.2, 192.0.2.1", "x, 192.0.2.1, 127.0.0.9", "192.0.2.1"] {
        from(forged).await.error(404, "route_not_found");
    }
    from("198.51.100.3, 192.0.2.1").await.error(429, "too_many_requests");
    from("192.0.2.2").await.error(404, "route_not_found");
    // An IPv6 network of 64 bits counts as one address.
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8::4"] {
        from(address).await.error(404, "route_not_found");
    }
    from("2001:db8::5").await.error(429, "too_many_requests");
}

#[tokio::test]
async fn health_is_exempt() {
    let server = limited(1).await;
    for path in ["/v1/health", "/livez", "/readyz"].repeat(10) {
        server.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_with_a_token() {
    let server = Server::with(|config| config.server.origins = vec!["https://app.example.com".into()]).await;
    let token = server.token(None, &["*"]).await;
    let preflight = |origin: &'static str| {
        let request = server.request(Method::OPTIONS, "/v1/agents").header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        send(request.header("Access-Control-Request-Headers", "authorization,content-type"))
    };
    let allowed = |headers: &HeaderMap| headers.get("access-control-allow-origin").cloned();
    let answer = preflight("https://app.example.com").await;
    assert_eq!(answer.status, 200);
    assert_eq!(allowed(&answer.headers).unwrap(), "https://app.example.com");
    assert!(answer.headers["access-control-allow-headers"].to_str().unwrap().contains("idempotency-key"));
    assert_eq!(allowed(&preflight("https://evil.example.com").await.headers), None);
    let get = || server.request(Method::GET, "/v1/agents").header("Origin", "https://app.example.com");
    let answer = send(get().bearer_auth(&token)).await;
    assert_eq!(allowed(&answer.headers).unwrap(), "https://app.example.com");
    let shown = answer.headers["access-control-expose-headers"].to_str().unwrap().to_owned();
    let wanted =
        ["etag", "link", "location", "retry-after", "x-request-id", "traceparent", "idempotency-replayed", "allow"];
    assert!(wanted.iter().all(|wanted| shown.split(',').any(|shown| shown == *wanted)), "{shown}");
    answer.expect(200);
    // The page can read errors, too, and it is not trusted for being on this machine.
    let answer = send(get()).await;
    assert!(allowed(&answer.headers).is_some());
    answer.error(401, "unauthenticated");
    // Without allowed origins there are no CORS headers.
    let server = Server::start().await;
    let answer = send(server.request(Method::GET, "/v1/health").header("Origin", "https://app.example.com")).await;
    assert_eq!(allowed(&answer.headers), None);
}

#[tokio::test]
async fn a_trace_goes_on() {
    let server = Server::start().await;
    let get = |parent: &str| send(server.request(Method::GET, "/v1/health").header("traceparent", parent));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = get(&format!("00-{trace}-00f067aa0ba902b7-01")).await;
    let parent = answer.headers["traceparent"].to_str().unwrap();
    let parts: Vec<_> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3], parts.len()), ("00", trace, "01", 4));
    assert_ne!(parts[2], "00f067aa0ba902b7");
    let zero = "0".repeat(32);
    for wrong in ["", "x", &format!("00-{zero}-00f067aa0ba902b7-01"), &format!("ff-{trace}-00f067aa0ba902b7-01")] {
        let answer = get(wrong).await;
        let parent = answer.headers["traceparent"].to_str().unwrap();
        assert!(parent.len() == 55 && !parent.contains(trace) && !parent.contains(&zero), "{wrong}: {parent}");
    }
    // With one byte changed, one too few, and one too many.
    let whole = format!("00-{trace}-00f067aa0ba902b7-01");
    for at in 0..whole.len() {
        for other in ["0", "g", "A", "-", "", "00"] {
            let sent = [&whole[..at], other, &whole[at + 1..]].concat();
            let parent = get(&sent).await.headers["traceparent"].to_str().unwrap().to_owned();
            let parts: Vec<_> = parent.split('-').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [2, 32, 16, 2], "{sent}: {parent}");
            assert!(parent.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{sent}: {parent}");
            // It stays valid only if a digit replaces a digit.
            let taken = sent == whole || other == "0" && !whole[at..].starts_with('-');
            assert_eq!(parts[1] == &sent[3.min(sent.len())..35.min(sent.len())], taken, "{sent}: {parent}");
        }
    }
}

#[tokio::test]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let server = Server::start().await;
    let page = server.get("/docs").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    let html = page.expect(200);
    let html = html.as_str().unwrap();
    assert!(html.contains("/v1/openapi.json") && !html.contains("<script src"));
    let document = server.get("/v1/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], json!("3.1.0"));
    // `make peers` depends on it.
    std::fs::write(target("openapi.json"), document.to_string()).unwrap();
}
