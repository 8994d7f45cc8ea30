//! Secrets in calls: where they are sent, where they are not, and that they do not leak.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, Uri},
    routing::any,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::{
    cli,
    harness::{Answer, Server},
    outcomes::outcome,
    peer::{Peer, paste},
};

pub(crate) const VALUE: &str = "ghp_Kq8vYw3nT5xZ1sD7+/=\"\\";
const GRANTS: &str = "/v1/vault/grants";

fn authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls/authority.pem")
}

/// Server with the skill `keeper` and its secret, and a service that echoes every request.
pub(crate) struct Trial {
    pub server: Server,
    pub peer: Peer,
    seen: Arc<Mutex<Vec<String>>>,
    pub secret: String,
    /// Releases the answer to `/gate`.
    pub gate: Arc<Notify>,
}

impl Trial {
    pub(crate) async fn new() -> Self {
        Self::on(async |port| {
            Server::with(|config| {
                let private = [format!("localhost:{port}"), format!("127.0.0.1:{port}")];
                config.egress.private = serde_json::from_value(json!(private)).unwrap();
                config.egress.ca = authority();
            })
            .await
        })
        .await
    }

    /// Creates the trial on a server whose components may reach this port.
    async fn on(server: impl AsyncFnOnce(u16) -> Server) -> Self {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let gate = Arc::<Notify>::default();
        let (kept, closed) = (Arc::clone(&seen), Arc::clone(&gate));
        let echo = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let text = |(name, value): (&_, &axum::http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
            let head: Vec<_> = headers.iter().map(text).collect();
            let all = format!("{method} {uri}\n{}\n\n{}", head.join("\n"), String::from_utf8_lossy(&body));
            if uri.path() == "/last" {
                // Returns the last request.
                return ([("x-echo", uri.to_string())], kept.lock().unwrap().last().cloned().unwrap_or_default());
            }
            kept.lock().unwrap().push(all.clone());
            if uri.path() == "/gate" {
                closed.notified().await;
            }
            ([("x-echo", uri.to_string())], all)
        };
        let peer = Peer::encrypted(Router::new().route("/{*path}", any(echo))).await;
        let server = server(peer.port).await;
        server.offline("ada", "echo").await;
        server.accepted("ada", "keeper").await;
        let secret = server.post("/v1/vault/secrets", json!({ "name": "key", "value": VALUE })).await.expect(201);
        let secret = secret["id"].as_str().unwrap().to_owned();
        Self { server, peer, seen, secret, gate }
    }

    pub(crate) async fn grant(&self, more: Value) -> String {
        let mut body = json!({ "agent_id": "ada", "secret_id": self.secret });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let granted = self.server.post(GRANTS, body).await.expect(201);
        granted["grants"][0]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.peer.port)
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.server.invoke("ada", "keeper", tool, arguments).await
    }

    /// Sends a request with the secret where it was granted.
    pub(crate) async fn send(&self) -> Answer {
        let (one, other) = VALUE.split_at(9);
        let headers = json!([["Authorization", "Bearer {key}"]]);
        self.call("send", json!({ "url": self.url("/a"), "headers": headers, "halves": [one, other] })).await
    }

    pub(crate) fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_the_secret_and_nobody_else() {
    let trial = Trial::new().await;
    let mut events = trial.server.events("after=0").await;
    trial.grant(json!({})).await;
    let answer = trial.send().await.expect(200);
    assert!(trial.last().contains(&format!("authorization: Bearer {VALUE}\n")), "{}", trial.last());
    assert!(answer["body"].as_str().unwrap().contains("authorization: Bearer [secret key]\n"), "{answer}");
    assert_eq!(answer["seen"], false, "it lies in the component's memory");
    let told = events.until("skill.completed").await;
    assert!(told.iter().any(|event| event.kind == "vault.accessed"));
    let text = told.iter().map(|event| event.data.to_string()).collect::<String>();
    let escaped = json!(VALUE).to_string();
    for form in [VALUE, escaped.trim_matches('"'), &hex(VALUE)] {
        assert!(!text.contains(form) && !answer.to_string().contains(form), "{form}: {text}");
    }
    let grants = trial.server.get(GRANTS).await.expect(200);
    assert_eq!(grants[0]["uses"], 1);
    let home = trial.server.stop().await;
    for file in ["moxxy.db", "moxxy.db-wal"].map(|name| home.path().join(name)) {
        let bytes = fs::read(file).unwrap_or_default();
        // Neither of the halves that the test itself sends contains these bytes.
        assert!(!bytes.windows(9).any(|bytes| bytes == &VALUE.as_bytes()[5..14]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_nothing_of_it() {
    let home = TempDir::new().unwrap();
    let (path, log) = (home.path().to_owned(), home.path().join("log"));
    let started = std::sync::Mutex::new(None);
    let trial = Trial::on(async |port| {
        let (private, authority) = (format!("localhost:{port}"), authority().display().to_string());
        let options = [("MOXXY_EGRESS_PRIVATE", &*private), ("MOXXY_EGRESS_CA", &*authority)];
        let (child, url) = cli::serve_logging(&path, &options, &path.join("log"));
        *started.lock().unwrap() = Some(child);
        Server::elsewhere(url, home)
    })
    .await;
    trial.grant(json!({})).await;
    trial.send().await.expect(200);
    trial.call("send", json!({ "url": trial.url("/a?key={key}") })).await.error(500, "tool_failed");
    let mut child = started.lock().unwrap().take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("keeper") || log.contains("TRACE"), "{log}");
    for form in [VALUE, &VALUE[4..16], &hex(VALUE)] {
        assert!(!log.contains(form), "{form}");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_request_that_grants_it() {
    let trial = Trial::new().await;
    let mut events = trial.server.events("event_type=vault.denied").await;
    let message = trial.send().await.error(500, "tool_failed");
    events.until("vault.denied").await;
    paste(&trial.server, &message).await.expect(201);
    trial.send().await.expect(200);
    for (tool, value) in [("sign", "sign"), ("reveal", "reveal")] {
        let message = trial.call(tool, json!({})).await.error(500, "tool_failed");
        assert!(message.contains(&format!("\"mode\":\"{value}\"")), "{message}");
        paste(&trial.server, &message).await.expect(201);
        trial.call(tool, json!({})).await.expect(200);
    }
    let guessed = trial.call("reveal", json!({ "name": "other" })).await.error(500, "tool_failed");
    assert!(guessed.contains("does not ask for a secret \"other\""), "{guessed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_nowhere_else() {
    let trial = Trial::new().await;
    trial.grant(json!({})).await;
    let port = trial.peer.port;
    let header = json!([["Authorization", "Bearer {key}"]]);
    let elsewhere = format!("https://127.0.0.1:{port}/a");
    let plain = format!("http://localhost:{port}/a");
    let cases = [
        (json!({ "url": elsewhere, "headers": header }), "is not granted for requests to"),
        (json!({ "url": plain, "headers": header }), "is not granted for requests to"),
        (json!({ "url": trial.url("/a?key={key}") }), "`query:key`"),
        (json!({ "url": trial.url("/{key}") }), "`path`"),
        (json!({ "url": trial.url("/a"), "headers": [["X-Other", "{key}"]] }), "`header:x-other`"),
        (
            json!({ "url": trial.url("/a"), "method": "POST", "body": "{\"a\": \"{key}\"}" }),
            "where no secret is put in",
        ),
        // In a body without a length, with a part of it in each chunk.
        (
            json!({ "url": trial.url("/a"), "method": "POST", "pieces": ["{\"a\": \"{key:0:20}", "{key:20:43}\"}"] }),
            "where no secret is put in",
        ),
        // In two headers, with a piece of it in each.
        (
            json!({ "url": trial.url("/a"), "headers": [["X-One", "{key:0:20}"], ["X-Two", "{key:20:43}"]] }),
            "a placeholder that stands for no secret of this call, or a piece of one",
        ),
        (json!({ "url": trial.url("/a"), "headers": [["Authorization", "{key:0:42}"]] }), "or a piece of one"),
        (json!({ "url": trial.url("/a"), "headers": [["{key}", "x"]] }), "the name of a header"),
    ];
    for (request, reason) in cases {
        let message = trial.call("send", request.clone()).await.error(500, "tool_failed");
        assert!(message.contains(reason), "{request}: {message}");
        outcome(&format!("a placeholder: {request}"), &message);
    }
    assert_eq!(trial.count(), 0);
    // Where it is granted it is inserted, with the encoding of that place.
    trial.grant(json!({ "place": "query:key" })).await;
    trial.call("send", json!({ "url": trial.url("/a?key={key}&b=c") })).await.expect(200);
    assert!(trial.last().starts_with("GET /a?key=ghp_Kq8vYw3nT5xZ1sD7%2B%2F%3D%22%5C&b=c\n"), "{}", trial.last());
    trial.grant(json!({ "place": "body" })).await;
    let body = json!({ "url": trial.url("/a"), "method": "POST", "body": "{\"a\": \"{key}\"}" });
    let answer = trial.call("send", body).await.expect(200);
    assert!(trial.last().ends_with(&json!({ "a": VALUE }).to_string().replace(':', ": ")), "{}", trial.last());
    assert!(answer["body"].as_str().unwrap().ends_with("{\"a\": \"[secret key]\"}"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_can_say_plain_http_to_one_port() {
    let trial = Trial::new().await;
    let plain =
        Peer::new(Router::new().route("/a", any(|headers: HeaderMap| async move { format!("{headers:?}") }))).await;
    let accept = json!({ "accept": [format!("host:localhost:{} GET", plain.port)] });
    let put = trial.server.request(Method::PUT, "/v1/agents/ada/skills/keeper").json(&accept);
    crate::harness::send(put).await.expect(200);
    trial.grant(json!({ "hosts": [format!("http://LOCALHOST:{}", plain.port)] })).await;
    let header = json!([["Authorization", "Bearer {key}"]]);
    let url = format!("http://localhost:{}/a", plain.port);
    let answer = trial.call("send", json!({ "url": url, "headers": header })).await.expect(200);
    assert!(answer["body"].as_str().unwrap().contains("Bearer [secret key]"), "{answer}");
    let other =
        trial.call("send", json!({ "url": trial.url("/a"), "headers": header })).await.error(500, "tool_failed");
    assert!(other.contains("is not granted for requests to https://localhost"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_remembers_tells_a_later_call_nothing() {
    let trial = Trial::new().await;
    trial.grant(json!({})).await;
    let mut events = trial.server.events("after=0").await;
    trial.send().await.expect(200);
    // This call reads no secret.
    let answer = trial.call("look", json!({ "url": trial.url("/last") })).await.expect(200).to_string();
    assert!(answer.contains("Bearer [secret key]") && !answer.contains(&VALUE[4..16]), "{answer}");
    outcome("an injected secret, asked back by a later call", "the service tells it, and nobody hears it");
    let mut told = events.until("skill.completed").await;
    told.extend(events.until("skill.completed").await);
    assert!(!told.iter().any(|event| event.data.to_string().contains(&VALUE[4..16])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revealed_secret_is_not_said_where_it_is_refused_or_breaks() {
    let trial = Trial::new().await;
    let path = format!("/v1/vault/secrets/{}", trial.secret);
    let rotate = async |value: &str| {
        let put = trial.server.request(Method::PUT, &path).json(&json!({ "value": value }));
        crate::harness::send(put).await.expect(200);
    };
    rotate("kq8vyw3nt5xz\nsecond-line-of-it").await;
    trial.grant(json!({ "mode": "reveal" })).await;
    let mut events = trial.server.events("after=0").await;
    let broken = trial.call("blurt", json!({})).await.error(500, "component_trapped");
    assert!(broken.contains("[secret key]") && !broken.contains("kq8vyw3nt5xz"), "{broken}");
    outcome("a revealed secret, printed before a trap", &broken);
    rotate("kq8vyw3nt5xz").await;
    assert_eq!(trial.call("twice", json!({})).await.expect(200), json!({ "a": "harmless" }));
    assert_eq!(trial.call("leak", json!({})).await.expect(200), json!([true, true, true]));
    let mut told = events.until("skill.completed").await;
    told.extend(events.until("skill.completed").await);
    for kind in ["vault.denied", "egress.denied"] {
        assert!(told.iter().any(|event| event.kind == kind), "{kind}");
    }
    let audit = trial.server.get("/v1/audit").await.expect(200).to_string();
    let text = told.iter().map(|event| event.data.to_string()).collect::<String>() + &audit;
    assert!(!text.contains("kq8vyw3nt5xz"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_reads_a_field_that_stands_twice_without_the_secret() {
    let trial = Trial::new().await;
    trial.grant(json!({ "mode": "reveal" })).await;
    let steps = json!([{ "tool_calls": [{ "name": "keeper__twice" }] }, { "record": true }]);
    let script = json!({ "id": "script", "component": { "bundled": "script" }, "config": { "steps": steps } });
    trial.server.post("/v1/providers", script).await.expect(201);
    trial.server.patch("/v1/agents/ada", json!({ "provider": "script", "model": "script" })).await.expect(200);
    trial.server.run("ada", "say it").await;
    let history = trial.server.get("/v1/agents/ada/history").await.expect(200).to_string();
    assert!(history.contains("harmless") && !history.contains(&VALUE[4..16]), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_as_often_as_somebody_would_read() {
    let trial = Trial::new().await;
    trial.grant(json!({})).await;
    let refused = trial.call("reveal", json!({ "times": 100 })).await.error(500, "tool_failed");
    assert!(refused.contains("no grant lets `keeper` read the secret"), "{refused}");
    let denied = trial.server.get("/v1/audit?event_type=vault.denied").await.expect(200);
    assert_eq!(denied.as_array().unwrap().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_and_revocation_bite_at_the_next_use() {
    let trial = Trial::new().await;
    let grant = trial.grant(json!({ "max_uses": 2 })).await;
    trial.send().await.expect(200);
    let path = format!("/v1/vault/secrets/{}", trial.secret);
    let rotated = trial.server.request(reqwest::Method::PUT, &path).json(&json!({ "value": "another-value" }));
    crate::harness::send(rotated).await.expect(200);
    trial.send().await.expect(200);
    assert!(trial.last().contains("authorization: Bearer another-value\n"));
    trial.send().await.error(500, "tool_failed");
    trial.server.delete(&format!("{GRANTS}/{grant}")).await.expect(204);
    let grant = trial.grant(json!({})).await;
    trial.send().await.expect(200);
    trial.server.delete(&format!("{GRANTS}/{grant}")).await.expect(204);
    let message = trial.send().await.error(500, "tool_failed");
    assert!(message.contains("no grant lets `keeper` use the secret"), "{message}");
    assert_eq!(trial.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revealed_is_not_passed_on() {
    let trial = Trial::new().await;
    let mut events = trial.server.events("after=0").await;
    trial.grant(json!({ "mode": "reveal" })).await;
    trial.grant(json!({ "mode": "sign" })).await;
    let answer = trial.call("reveal", json!({})).await.expect(200);
    assert_eq!((&answer["plain"], &answer["base64"]), (&json!("[secret key]"), &json!("[secret key]")));
    outcome("a revealed secret, returned as it is and in base64", &answer.to_string());
    let mut told = events.until("skill.completed").await;
    let signed = trial.call("sign", json!({ "data": "text" })).await.expect(200);
    assert_eq!(signed, json!(moxxy_types::digest::hmac(VALUE.as_bytes(), b"text")));
    told.extend(events.until("skill.completed").await);
    let text = told.iter().map(|event| event.data.to_string()).collect::<String>() + &answer.to_string();
    let percent: String = VALUE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for form in [VALUE, json!(VALUE).to_string().trim_matches('"'), &hex(VALUE), &percent] {
        assert!(!text.contains(form), "{form}: {text}");
    }
    assert!(told.iter().any(|event| event.kind == "skill.log"));
}
