//! Conformance suite of providers: ours pass it, and each fault of a faulty provider fails the expected cases.

use std::{
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{moxxy, text},
    harness::{Server, test_component},
    outcomes::outcome,
};

const README: &str = include_str!("../../README.md");
const GEMINI: &str = include_str!("../../sdk/examples/gemini.wire.toml");
const COHERE: &str = include_str!("../../sdk/examples/cohere.wire.toml");
const WHISPER: &str = include_str!("../../sdk/examples/whisper.rs");
const WIRE: &str = include_str!("../../sdk/examples/whisper.wire.toml");

/// Cases that fail a provider which accepts nothing but what OpenAI documents.
const STRICT_FAILS: [&str; 6] = [
    "lenient.after-stop",
    "lenient.no-terminator",
    "lenient.no-stop",
    "lenient.no-stream",
    "lenient.surrogates",
    "lenient.arguments",
];

fn component(name: &str) -> Value {
    json!({ "base64": BASE64.encode(std::fs::read(test_component(name)).unwrap()) })
}

async fn checked(server: &Server, id: &str, component: Value, config: Value) -> Value {
    server.post("/v1/providers", json!({ "id": id, "component": component, "config": config })).await.expect(201);
    let begun = Instant::now();
    let report = server.post(&format!("/v1/providers/{id}/check"), json!({})).await.expect(200);
    println!("{id}, in {:.1?}:\n{}", begun.elapsed(), report["text"].as_str().unwrap());
    report
}

fn failed(report: &Value) -> Vec<&str> {
    let cases = report["cases"].as_array().unwrap().iter().filter(|case| case["outcome"] == "failed");
    cases.map(|case| case["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_providers_pass_all_of_it() {
    let server = Server::start().await;
    let variants = [
        ("openai", "openai", json!({}), "openai", 55),
        (
            "azure",
            "openai",
            json!({ "base_url": "https://ours.openai.azure.com/openai", "auth": "api-key" }),
            "openai",
            55,
        ),
        ("anthropic", "anthropic", json!({}), "anthropic", 54),
        ("ollama", "ollama", json!({ "auth": "bearer" }), "ollama", 51),
    ];
    for (id, bundled, config, wire, passed) in variants {
        let report = checked(&server, id, json!({ "bundled": bundled }), config).await;
        assert_eq!((&report["wire"], failed(&report)), (&json!(wire), Vec::new()), "{}", report["text"]);
        assert_eq!(report["passed"], passed, "{}", report["text"]);
        let cases = report["cases"].as_array().unwrap().len();
        assert!(README.contains(&format!("suite of {cases} cases")), "{cases}");
        let told = format!("{passed} of {cases} cases passed");
        outcome(&format!("conformance: {id}"), &told);
        let shown = server.get(&format!("/v1/providers/{id}")).await.expect(200)["check"].clone();
        assert_eq!((&shown["passed"], &shown["failed_cases"]), (&report["passed"], &json!([])), "{shown}");
        assert_eq!(server.get(&format!("/v1/providers/{id}/check")).await.expect(200), report);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_fails_what_it_should() {
    let server = Server::with(|config| config.plugins.provider_cpu = 2000).await;
    // For the fault that uses up the processor time in each case.
    let impatient = Server::with(|config| config.plugins.provider_cpu = 200).await;
    let faults: [(&str, &[&str]); 13] = [
        ("none", &[]),
        ("strict", &STRICT_FAILS),
        ("splits-letters", &["split.every-byte", "split.utf8", "split.drip"]),
        ("merges-calls", &["calls.parallel", "lenient.no-stop", "lenient.two-calls"]),
        ("trusts-ends", &["cut.every-byte", "error.garbage"]),
        ("limits-are-invalid", &["error.kinds", "error.retry-after", "error.bodies", "models.errors"]),
        ("buffers", &["text.prompt", "cut.connection", "cancel.midst"]),
        ("counts-twice", &["usage.parts"]),
        ("varies", &["request.twice"]),
        ("retries", &["request.once"]),
        ("strays", &["rule.hosts", "rule.key"]),
        ("shows-key", &["rule.key"]),
        ("spin", &["text.plain", "cancel.midst"]),
    ];
    for (fault, expected) in faults {
        let server = if fault == "spin" { &impatient } else { &server };
        let config = json!({ "fault": fault, "base_url": "https://service.example/v1" });
        server
            .post("/v1/providers", json!({ "id": fault, "component": component("faulty"), "config": config }))
            .await
            .expect(201);
        let order = json!({ "wire": "openai" });
        let report = server.post(&format!("/v1/providers/{fault}/check"), order).await.expect(200);
        println!("{fault}:\n{}", report["text"].as_str().unwrap());
        let failed = failed(&report);
        match fault {
            // Every case that needs an answer fails.
            "spin" => assert!(expected.iter().all(|case| failed.contains(case)), "{}", report["text"]),
            _ => assert_eq!(failed, expected, "{fault}: {}", report["text"].as_str().unwrap()),
        }
        outcome(&format!("a faulty provider: {fault}"), &failed.join(", "));
        assert!(!report.to_string().contains("MOXXYSECRET"), "{report}");
    }
    let shown = server.get("/v1/providers/varies").await.expect(200)["check"].clone();
    assert_eq!((&shown["failed"], &shown["failed_cases"]), (&json!(1), &json!(["request.twice"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_of_the_provider_as_it_is() {
    let server = Server::start().await;
    let url = |path: &str| json!({ "base_url": format!("https://service.example/{path}") });
    server
        .post("/v1/providers", json!({ "id": "mine", "component": component("whisper"), "config": url("a") }))
        .await
        .expect(201);
    server.get("/v1/providers/mine/check").await.error(404, "check_not_found");
    let unknown = server.post("/v1/providers/mine/check", json!({})).await.error(400, "unknown_wire");
    assert!(
        unknown.contains("asks POST /a/say") && unknown.contains("`openai` (POST …/chat/completions)"),
        "{unknown}"
    );
    server.post("/v1/providers/mine/check", json!({ "wire": "telex" })).await.error(400, "unknown_wire");
    let wrong = server.post("/v1/providers/mine/check", json!({ "wire": "name = 1\n" })).await;
    assert!(wrong.error(400, "invalid_wire").contains("name"));
    let report = server.post("/v1/providers/mine/check", json!({ "wire": WIRE })).await.expect(200);
    assert_eq!((failed(&report), &report["wire"]), (Vec::new(), &json!("whisper")), "{}", report["text"]);
    let check = async || server.get("/v1/providers/mine").await.expect(200)["check"].clone();
    assert_eq!(check().await["suite"], "2.1.0");
    server.patch("/v1/providers/mine", json!({ "config": url("b") })).await.expect(200);
    assert_eq!(check().await, Value::Null);
    server.get("/v1/providers/mine/check").await.error(404, "check_not_found");
    server.patch("/v1/providers/mine", json!({ "config": url("a") })).await.expect(200);
    assert_eq!(check().await["failed"], 0);
    server.delete("/v1/providers/mine").await.expect(204);
}

fn check(home: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = moxxy(home);
    command.args(["provider", "check"]).args(arguments).output().unwrap()
}

/// Providers that were written with nothing but the SDK, each with its own description of its service.
#[tokio::test(flavor = "multi_thread")]
async fn providers_of_other_services_pass_too() {
    let server = Server::start().await;
    for (id, wire, passed) in [("gemini", GEMINI, 52), ("cohere", COHERE, 49)] {
        let config = json!({ "base_url": "https://service.example" });
        let install = json!({ "id": id, "component": component(id), "config": config });
        server.post("/v1/providers", install).await.expect(201);
        let begun = Instant::now();
        let report = server.post(&format!("/v1/providers/{id}/check"), json!({ "wire": wire })).await.expect(200);
        println!("{id}, in {:.1?}:\n{}", begun.elapsed(), report["text"].as_str().unwrap());
        assert_eq!((failed(&report), &report["passed"]), (Vec::new(), &json!(passed)), "{}", report["text"]);
        let skipped = report["skipped"].as_u64().unwrap();
        outcome(&format!("conformance: a stranger's {id}"), &format!("{passed} passed, {skipped} skipped"));
    }
}

#[test]
fn a_component_is_checked_without_a_server() {
    let home = TempDir::new().unwrap();
    let run = |arguments: &[&str]| check(home.path(), arguments);
    let whisper = test_component("whisper").display().to_string();
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/examples/whisper.wire.toml").display().to_string();
    let passed = run(&[&whisper, "--wire", &wire]);
    assert!(passed.status.success(), "{passed:?}");
    let table = text(&passed.stdout);
    assert!(table.contains("\npassed   split.every-byte") && table.contains("\nskipped  calls.parallel"), "{table}");
    assert!(table.ends_with("suite 2.1.0 on the wire `whisper`\n"), "{table}");
    let faulty = test_component("faulty").display().to_string();
    let failed = run(&[&faulty, "--set", "fault=counts-twice", "--json"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let report: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&report["wire"], self::failed(&report)), (&json!("openai"), vec!["usage.parts"]));
    let told: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((&told["code"], &told["error"]), (&json!("cases_failed"), &json!("1 case failed")));
    for (arguments, exit, about) in [
        (&["/none.wasm"][..], 2, "Cannot read the component"),
        (&["openai", "--wire", "/none.toml"], 2, "Cannot read the wire"),
        (&["offline"], 1, "asked no service"),
        (&[&*test_component("plain").display().to_string()], 1, "is a skill"),
        (&["none", "--url", "http://127.0.0.1:1"], 3, "`moxxy serve` starts it"),
    ] {
        let output = run(arguments);
        assert!(output.status.code() == Some(exit) && text(&output.stderr).contains(about), "{output:?}");
    }
}

#[test]
fn the_worked_example_is_as_long_as_the_readme_says() {
    for (file, content) in [("whisper.rs", WHISPER), ("whisper.wire.toml", WIRE)] {
        let told = format!("[`{file}`](sdk/examples/{file}) ({} lines)", content.lines().count());
        assert!(README.contains(&told), "{told}");
    }
}
