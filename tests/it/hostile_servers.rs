//! Commands against untrusted servers, whose responses the tests write by hand.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::Output,
    sync::Arc,
    thread::JoinHandle,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;

use crate::cli::{moxxy, text};

/// Returns a response with its status line, headers and body.
fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Starts a server that sends one answer to each connection. Returns its address and the requests.
fn forge(
    answers: impl FnOnce(&str) -> Vec<String>,
    tls: Option<Arc<ServerConfig>>,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    let answers = answers(&url);
    let asked = std::thread::spawn(move || {
        let serve = |answer: String| {
            let (stream, _) = listener.accept().unwrap();
            match &tls {
                None => exchange(stream, &answer),
                Some(tls) => exchange(StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream), &answer),
            }
        };
        answers.into_iter().map(serve).collect()
    });
    (url, asked)
}

/// Reads a request and sends the answer. Returns the request's head; empty if the client disconnected.
fn exchange(stream: impl Read + Write, answer: &str) -> String {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        if !stream.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {
            return String::new();
        }
        if let Some(value) = head[begin..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    stream.get_mut().write_all(answer.as_bytes()).unwrap();
    stream.get_mut().flush().unwrap();
    head
}

fn ask(url: &str, home: &Path, arguments: &[&str]) -> Output {
    moxxy(home).env("MOXXY_URL", url).args(arguments).output().unwrap()
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let of = |line: &'h str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().find_map(of).unwrap_or_default().1
}

#[test]
fn what_is_sent_again_has_the_same_key_and_the_token() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("token");
    std::fs::write(&file, "mox_abc\n").unwrap();
    let made = r#"{"run_id": "run_1"}"#;
    let busy = answer("503 Service Unavailable", "Retry-After: 0\r\n", r#"{"error": "busy", "code": "busy"}"#);
    let (url, asked) = forge(|_| vec![busy, answer("201 Created", "", made)], None);
    let output =
        ask(&url, home.path(), &["run", "start", "ada", "hello", "-d", "--token-file", file.to_str().unwrap()]);
    assert_eq!(text(&output.stdout), "run_1\n", "{output:?}");
    let asked = asked.join().unwrap();
    let keys: Vec<_> = asked.iter().map(|head| header(head, "Idempotency-Key")).collect();
    assert!(keys[0].len() >= 16 && keys[0] == keys[1], "{keys:?}");
    assert!(asked.iter().all(|head| header(head, "Authorization") == "Bearer mox_abc"), "{asked:?}");
}

#[test]
fn lists_go_on_where_the_server_says_but_nowhere_else() {
    let home = TempDir::new().unwrap();
    let page = |link: &str, name: &str| {
        let link = format!("Link: <{link}>; rel=\"next\"\r\n");
        answer("200 OK", &link, &format!(r#"[{{"name": "{name}"}}]"#))
    };
    let (url, asked) =
        forge(|_| vec![page("/v1/agents?cursor=x", "one"), page("http://example.com/v1/agents", "two")], None);
    let output = ask(&url, home.path(), &["agent", "list", "--json"]);
    assert_eq!(text(&output.stdout), "[{\"name\": \"one\"},{\"name\": \"two\"}]\n", "{output:?}");
    assert!(asked.join().unwrap()[1].starts_with("GET /v1/agents?cursor=x "));
}

#[test]
fn a_terminal_is_safe_from_what_a_server_sends() {
    let home = TempDir::new().unwrap();
    let evil = "\\u001b]0;owned\\u0007\u{9b}31m\u{202e}";
    let agents = format!(r#"[{{"name": "a{evil}b", "model": "c\nd"}}]"#);
    let error = answer("500 Internal Server Error", "", &format!(r#"{{"error": "e{evil}f", "code": "x"}}"#));
    let good = answer("200 OK", "", &agents);
    let commands: [&[&str]; 4] =
        [&["agent", "list"], &["agent", "list", "--json"], &["agent", "show", "x"], &["agent", "show", "x", "--json"]];
    let (url, asked) = forge(|_| vec![good.clone(), good, error.clone(), error], None);
    for arguments in commands {
        let output = ask(&url, home.path(), arguments);
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(shown.contains("owned") && !shown.contains(hidden), "{arguments:?}: {shown:?}");
    }
    asked.join().unwrap();
}

#[test]
fn a_token_that_may_not_is_told_which_scope_it_takes() {
    let home = TempDir::new().unwrap();
    let body = r#"{"error": "The token lacks the scope `agents:write`", "code": "forbidden"}"#;
    let (url, asked) = forge(|_| vec![answer("403 Forbidden", "", body)], None);
    let output = ask(&url, home.path(), &["agent", "delete", "ada"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("moxxy token create --scope agents:write"), "{output:?}");
    asked.join().unwrap();
}

#[test]
fn a_token_is_printed_alone() {
    let home = TempDir::new().unwrap();
    let id = "tok_01a20abc-1955-74d4-abd7-df99a22c1056";
    let token = format!(r#"{{"id": "{id}", "token": "mox_new", "scopes": ["agents:read"], "expires_at": null}}"#);
    let listed = format!(r#"[{{"id": "{id}", "scopes": ["agents:read"], "revoked_at": "2026-01-01T00:00:00.000Z"}}]"#);
    let answers =
        vec![answer("201 Created", "", &token), answer("200 OK", "", &listed), answer("204 No Content", "", "")];
    let (url, asked) = forge(|_| answers, None);
    let made = ask(&url, home.path(), &["token", "create", "--scope", "agents:read", "--expires", "30d"]);
    assert_eq!(text(&made.stdout), "mox_new\n");
    assert!(text(&made.stderr).contains(id), "{made:?}");
    let listed = ask(&url, home.path(), &["token", "list"]);
    assert!(text(&listed.stdout).contains("revoked 2026-01-01 00:00:00"), "{listed:?}");
    assert_eq!(text(&ask(&url, home.path(), &["token", "revoke", id]).stdout), format!("Revoked {id}.\n"));
    assert!(asked.join().unwrap()[2].starts_with(&format!("DELETE /v1/auth/tokens/{id} ")));
}

#[test]
fn an_encrypted_connection_needs_an_authority_that_is_trusted() {
    let home = TempDir::new().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls");
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let health = answer("200 OK", "", r#"{"status": "ok"}"#);
    let check = |url: &str, authority: &str| {
        let authority = folder.join(authority);
        ask(url, home.path(), &["health", "--ca", authority.to_str().unwrap()])
    };
    let (url, asked) = forge(|_| vec![health.clone()], Some(tls.clone()));
    let trusted = check(&url, "authority.pem");
    assert!(trusted.status.success() && text(&trusted.stdout).contains("ok"), "{trusted:?}");
    assert!(asked.join().unwrap()[0].starts_with("GET /v1/health "));
    let (url, _) = forge(|_| vec![health; 4], Some(tls));
    let strange = check(&url, "server.pem");
    assert_eq!(strange.status.code(), Some(3), "{strange:?}");
    assert!(text(&strange.stderr).contains("name its certificate: --ca"), "{strange:?}");
    assert_eq!(check(&url, "server.key").status.code(), Some(2));
}
