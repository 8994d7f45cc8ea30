//! Both tools against a GitHub that answers what each test says.

use std::time::{SystemTime, UNIX_EPOCH};

use moxxy_sdk::{
    skill::{Error, ToolFunction as _},
    testing::{self, Host},
};
use serde_json::{Value, json};

use super::*;

const SEARCH: &str = "https://api.github.com/search/issues?q=crash%20is%3Aissue&per_page=10";
const FILE: &str = "https://api.github.com/repos/ada/engine/contents/src/lib.rs";
const JSON: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");
const RAW: (&str, &str) = ("Content-Type", "application/vnd.github.raw+json; charset=utf-8");

fn read(host: &mut Host, path: &str) -> Result<Output, Error> {
    host.call::<read_file>(json!({ "repo": "ada/engine", "path": path }))
}

fn file(body: impl AsRef<[u8]>) -> Host {
    Host::new().response_with("GET", FILE, 200, &[RAW], body)
}

/// The error of a file that GitHub refuses.
fn refused(host: Host, status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let mut host = host.response_with("GET", FILE, status, headers, body);
    read(&mut host, "src/lib.rs").unwrap_err().to_string()
}

fn item() -> Value {
    json!({
        "repository_url": "https://api.github.com/repos/ada/engine",
        "number": 7,
        "title": "It stops",
        "state": "open",
        "user": { "login": "charles", "id": 1 },
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-02-03T04:05:06Z",
        "comments": 3,
        "labels": [{ "name": "bug", "color": "ff0000" }, { "name": "urgent" }],
        "html_url": "https://github.com/ada/engine/issues/7",
        "body": "ä".repeat(501),
    })
}

fn searched(items: &[Value]) -> Value {
    let answer = json!({ "total_count": 12, "incomplete_results": false, "items": items });
    let mut host = Host::new().response_with("GET", SEARCH, 200, &[JSON], answer.to_string());
    let output = host.call::<search_issues>(json!({ "query": "crash" })).unwrap();
    assert_eq!(output.media_type, "application/json");
    serde_json::from_str(&output.content).unwrap()
}

/// What is sent to GitHub for arguments.
fn sent(arguments: Value) -> String {
    let mut host = Host::new();
    host.call::<search_issues>(arguments).unwrap_err();
    host.requests()[0].url().replace("https://api.github.com/search/issues", "")
}

#[test]
fn the_token_goes_where_the_server_puts_it_in() {
    let mut host = file("fn main() {}").secret("github", "ghp_t0ps3cret");
    assert_eq!(read(&mut host, "src/lib.rs").unwrap().content, "fn main() {}");
    let header = |name| host.requests()[0].sent_header(name);
    let bearer = format!("Bearer {}", testing::placeholder("github"));
    assert_eq!(header("Authorization"), Some(bearer.as_str()));
    assert_eq!(header("Accept"), Some("application/vnd.github.raw+json"));
    assert_eq!(header("X-GitHub-Api-Version"), Some("2022-11-28"));
    assert_eq!(header("User-Agent"), Some("moxxy-github"));
}

#[test]
fn what_is_public_is_read_without_a_token() {
    let mut host = file("fn main() {}");
    assert_eq!(read(&mut host, "src/lib.rs").unwrap().content, "fn main() {}");
    assert_eq!(host.requests()[0].sent_header("Authorization"), None);
}

#[test]
fn nothing_is_changed_by_either_tool() {
    for hints in [search_issues::definition().hints, read_file::definition().hints] {
        assert!(hints.read_only && hints.idempotent && !hints.requires_approval);
    }
}

#[test]
fn issues_are_told_with_what_matters() {
    let body = format!("{}…", "ä".repeat(500));
    let issue = json!({
        "repo": "ada/engine",
        "number": 7,
        "title": "It stops",
        "pull_request": false,
        "state": "open",
        "author": "charles",
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-02-03T04:05:06Z",
        "comments": 3,
        "labels": ["bug", "urgent"],
        "url": "https://github.com/ada/engine/issues/7",
        "body": body,
    });
    assert_eq!(searched(&[item()]), json!({ "total": 12, "incomplete": false, "issues": [issue] }));
}

#[test]
fn a_pull_request_is_marked_and_what_is_missing_is_empty() {
    let mut item = item();
    item["pull_request"] = json!({ "url": "https://api.github.com/repos/ada/engine/pulls/7" });
    (item["user"], item["body"], item["labels"]) = (Value::Null, Value::Null, json!([]));
    let issue = &searched(&[item])["issues"][0];
    let told = ["pull_request", "author", "body", "labels"].map(|key| issue[key].clone());
    assert_eq!(told, [json!(true), Value::Null, json!(""), json!([])]);
}

#[test]
fn arguments_become_terms() {
    let cases = [
        (json!({ "query": "a&b" }), "?q=a%26b%20is%3Aissue&per_page=10"),
        (json!({ "query": "", "repo": "a-b/c.d_e", "limit": 50 }), "?q=is%3Aissue%20repo%3Aa-b%2Fc.d_e&per_page=50"),
        (json!({ "query": "x Is:PR", "state": "closed" }), "?q=x%20Is%3APR%20state%3Aclosed&per_page=10"),
        (json!({ "query": " -is:pr x", "state": "open" }), "?q=-is%3Apr%20x%20is%3Aissue%20state%3Aopen&per_page=10"),
        (
            json!({ "query": "x OR y", "repo": "a/b", "limit": 1 }),
            "?q=%28x%20OR%20y%29%20is%3Aissue%20repo%3Aa%2Fb&per_page=1",
        ),
    ];
    for (arguments, url) in cases {
        assert_eq!(sent(arguments.clone()), url, "{arguments}");
    }
}

#[test]
fn a_search_that_makes_no_sense_is_not_sent() {
    let cases = [
        (json!({ "query": " " }), "`query`"),
        (json!({ "query": "x", "limit": 0 }), "`limit`"),
        (json!({ "query": "x", "limit": 51 }), "`limit`"),
        (json!({ "query": "x", "state": "merged" }), "`state`"),
        (json!({ "query": "x", "repo": "a/b is:pr" }), "`repo`"),
    ];
    for (arguments, named) in cases {
        let mut host = Host::new();
        let error = host.call::<search_issues>(arguments).unwrap_err();
        assert!(matches!(&error, Error::Invalid(text) if text.contains(named)), "{error:?}");
        assert!(host.requests().is_empty());
    }
}

#[test]
fn a_path_is_encoded_part_by_part() {
    let url = "https://api.github.com/repos/ada/engine/contents/a%20b/%C3%A4%3F%23%25.md?ref=fix%2F1%262";
    let mut host = Host::new().response_with("GET", url, 200, &[RAW], "hello");
    let arguments = json!({ "repo": "ada/engine", "path": "a b/ä?#%.md", "reference": "fix/1&2" });
    assert_eq!(host.call::<read_file>(arguments).unwrap().content, "hello");
}

#[test]
fn what_leads_elsewhere_is_not_sent() {
    let paths = ["/", "/src", "src/", "a//b", ".", "..", "../../user", "src/../../x", "src/./x"];
    let repos =
        ["", "ada", "/engine", "ada/", "ada/.", "ada/..", "../x", "a/b/c", "ada/a b", "ada/x?y", "ada/%2e", "ä/b"];
    let cases = paths.map(|path| ("ada/engine", path, "`path`"));
    for (repo, path, named) in cases.into_iter().chain(repos.map(|repo| (repo, "src", "`repo`"))) {
        let mut host = Host::new();
        let error = host.call::<read_file>(json!({ "repo": repo, "path": path })).unwrap_err();
        assert!(matches!(&error, Error::Invalid(text) if text.contains(named)), "{repo} {path} {error:?}");
        assert!(host.requests().is_empty());
    }
}

#[test]
fn a_folder_is_a_list_of_names() {
    let url = "https://api.github.com/repos/ada/engine/contents";
    let entries = json!([{ "name": "src", "type": "dir", "size": 0 }, { "name": "README.md", "type": "file" }]);
    let mut host = Host::new().response_with("GET", url, 200, &[JSON], entries.to_string());
    let output = read(&mut host, "").unwrap();
    assert_eq!((&*output.content, &*output.media_type), (r#"["src/","README.md"]"#, "application/json"));
    // A file may look just the same.
    assert_eq!(read(&mut file(entries.to_string()), "src/lib.rs").unwrap().content, entries.to_string());
}

#[test]
fn what_is_neither_file_nor_folder_is_named() {
    let submodule = r#"{ "name": "lib.rs", "type": "submodule" }"#;
    let mut host = Host::new().response_with("GET", FILE, 200, &[JSON], submodule);
    let error = read(&mut host, "src/lib.rs").unwrap_err().to_string();
    assert_eq!(error, r#""src/lib.rs" is no file but a submodule"#);
}

#[test]
fn a_long_file_is_cut_between_characters() {
    let whole = "x".repeat(contents::LIMIT);
    assert_eq!(read(&mut file(&whole), "src/lib.rs").unwrap().content, whole);
    let long = format!("{}äöü", "x".repeat(contents::LIMIT - 1));
    let content = read(&mut file(&long), "src/lib.rs").unwrap().content;
    assert!(content.ends_with("xx\n\n[cut off after 256 KiB: the file is longer]"));
    assert!(content.starts_with(&long[..contents::LIMIT - 1]));
}

#[test]
fn a_file_that_is_no_text_is_an_error() {
    for body in [&b"\x89PNG"[..], b"broken off \xc3", &[0x80; contents::LIMIT + 9]] {
        let error = read(&mut file(body), "src/lib.rs").unwrap_err().to_string();
        assert!(error.contains(r#""src/lib.rs" is no text in UTF-8"#), "{error}");
    }
}

#[test]
fn a_refusal_without_a_token_says_what_would_grant_one() {
    let denial = r#"no grant lets this plugin use the secret "github""#;
    for status in [401, 403, 404, 429] {
        let error = refused(Host::new(), status, &[], r#"{ "message": "Not this." }"#);
        let told = "Not this. No token was granted, so there is only what is public";
        assert_eq!(error, format!("GitHub answered {status}: {told}: {denial}"));
    }
    let granted = Host::new().secret("github", "ghp_t0ps3cret");
    assert_eq!(refused(granted, 404, &[], r#"{ "message": "Not Found" }"#), "GitHub answered 404: Not Found");
    assert_eq!(refused(Host::new(), 502, &[], "<h1>"), "GitHub answered 502");
}

#[test]
fn what_github_says_is_told_within_limits() {
    let long = json!({ "message": "ä".repeat(9000) }).to_string();
    assert!(refused(Host::new(), 500, &[], &long).chars().count() < 500);
    assert!(refused(Host::new(), 500, &[], &long[..5000]).chars().count() < 500);
}

#[test]
fn a_query_that_github_does_not_take_is_invalid() {
    let body = r#"{ "message": "Validation Failed", "errors": [{ "message": "No such user", "field": "q" }] }"#;
    let mut host = Host::new().secret("github", "ghp_t0ps3cret").response("GET", SEARCH, 422, body);
    let error = host.call::<search_issues>(json!({ "query": "crash" })).unwrap_err();
    assert_eq!(error, Error::invalid("GitHub answered 422: Validation Failed: No such user"));
}

#[test]
fn a_limit_on_requests_says_when_to_try_again() {
    let granted = || Host::new().secret("github", "ghp_t0ps3cret");
    let body = r#"{ "message": "Too many" }"#;
    let told = "GitHub answered 429: Too many. It may be tried again in 60 seconds";
    assert_eq!(refused(granted(), 429, &[("retry-after", "60")], body), told);
    let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
    assert!(refused(granted(), 403, &past, body).ends_with("again in 1 seconds"));
    let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1000;
    let coming = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &*reset.to_string())];
    let error = refused(Host::new(), 403, &coming, body);
    assert!(error.contains("again in 1000 seconds. No token") || error.contains("again in 99"), "{error}");
    let enough = [("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "1")];
    assert_eq!(refused(granted(), 403, &enough, body), "GitHub answered 403: Too many");
}
