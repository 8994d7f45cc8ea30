//! What requires `vault:write` belongs to a digest and to the moment: whatever a principal without that scope does, no
//! installation ends with a secret, a host for a secret, or a host that is not public which it did not have before.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Server, form, send, test_component},
    secrets::VALUE,
};

const SKILL: &str = "/v1/agents/ada/skills/keeper";
const PROVIDER: &str = "/v1/providers/caller";
/// Agents that the skill of the server is enabled for in turn.
const AGENTS: [&[&str]; 3] = [&[], &["bob"], &["bob", "cleo"]];
/// Hosts that the provider is configured with in turn.
const BASES: [&str; 5] = [
    "https://a.example.com",
    "https://b.example.com/v1",
    "http://localhost:11434",
    "http://localhost:8000",
    "http://10.0.0.7:80",
];
/// Number of sequences, unless `PERMISSION_SEQUENCES` says another one.
const SEQUENCES: u32 = 60;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A skill of one agent.
    Skill,
    /// The same skill, installed for the server.
    Shared,
    Provider,
}

/// A change of an installation.
#[derive(Debug, Clone)]
enum Change {
    Install { consents: bool },
    Remove,
    Upgrade { variant: u8, consents: bool },
    Rollback,
    Accept(usize),
    Revoke,
    Configure(usize),
    Grant { wide: bool },
    Secrets,
    RevokeGrants,
    Enable(usize),
}

/// A change by somebody with `vault:write` or without it.
#[derive(Debug, Clone)]
struct Step {
    is_trusted: bool,
    of: Holder,
    change: Change,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = prop_oneof![
        any::<bool>().prop_map(|consents| Change::Install { consents }),
        Just(Change::Remove),
        (0_u8..3, any::<bool>()).prop_map(|(variant, consents)| Change::Upgrade { variant, consents }),
        Just(Change::Rollback),
        (0_usize..4).prop_map(Change::Accept),
        Just(Change::Revoke),
        (0..BASES.len()).prop_map(Change::Configure),
        any::<bool>().prop_map(|wide| Change::Grant { wide }),
        Just(Change::Secrets),
        Just(Change::RevokeGrants),
        (0..AGENTS.len()).prop_map(Change::Enable),
    ];
    let holder = prop_oneof![Just(Holder::Skill), Just(Holder::Shared), Just(Holder::Provider)];
    let step = (any::<bool>(), holder, change);
    vec(step.prop_map(|(is_trusted, of, change)| Step { is_trusted, of, change }), 3..12)
}

/// Returns a component with a section that nobody reads, so that its digest differs.
fn variant(name: &str, number: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(test_component(name)).unwrap();
    bytes.extend([0, 3, 1, b'x', number]);
    bytes
}

struct Trial {
    server: Server,
    token: String,
}

impl Trial {
    async fn request(&self, step: &Step, method: Method, path: &str, body: Value) -> Answer {
        let request = self.server.request(method, path).json(&body);
        send(if step.is_trusted { request } else { request.bearer_auth(&self.token) }).await
    }

    async fn upload(&self, step: &Step, path: &str, bytes: Vec<u8>, accept: Option<&str>) -> Answer {
        let request = self.server.request(Method::POST, path).multipart(form(bytes, accept));
        send(if step.is_trusted { request } else { request.bearer_auth(&self.token) }).await
    }

    async fn install(&self, step: &Step, component: Vec<u8>, consents: bool) -> Answer {
        let accept = consents.then_some("all");
        match step.of {
            Holder::Skill => self.upload(step, "/v1/agents/ada/skills/install", component, accept).await,
            Holder::Shared => self.upload(step, "/v1/components", component, accept).await,
            Holder::Provider => {
                let base = if consents { BASES[2] } else { BASES[0] };
                let bytes = base64(&component);
                let mut body =
                    json!({ "id": "caller", "component": { "base64": bytes }, "config": { "base_url": base } });
                if consents {
                    body["secrets"] = json!({ "key": "key" });
                }
                self.request(step, Method::POST, "/v1/providers", body).await
            }
        }
    }

    /// Makes a change. It may be refused.
    async fn make(&self, step: &Step) -> Answer {
        let component = if step.of == Holder::Provider { "caller" } else { "keeper" };
        let path = &*self.path(step.of).await;
        let send = async |method, path: &str, body| self.request(step, method, path, body).await;
        match &step.change {
            Change::Install { consents } => self.install(step, variant(component, 0), *consents).await,
            Change::Remove => send(Method::DELETE, path, Value::Null).await,
            Change::Upgrade { variant: number, consents } => {
                let accept = consents.then_some("all");
                self.upload(step, &format!("{path}/upgrade"), variant(component, *number), accept).await
            }
            Change::Rollback => send(Method::POST, &format!("{path}/rollback"), json!({})).await,
            Change::Accept(which) => {
                let names = [
                    json!(["host:localhost:9000 GET+POST"]),
                    json!(["host:config:base_url GET"]),
                    json!(["host:10.0.0.7:80 GET"]),
                    json!("all"),
                ];
                send(Method::PATCH, path, json!({ "accept": names[*which] })).await
            }
            Change::Revoke => {
                let body = json!({ "revoke": self.consented(path).await });
                send(Method::POST, &format!("{path}/upgrade"), body).await
            }
            Change::Configure(which) => {
                send(Method::PATCH, path, json!({ "config": { "base_url": BASES[*which] } })).await
            }
            Change::Grant { wide } => {
                let id = path.rsplit('/').next().unwrap();
                let mut grant = match step.of {
                    Holder::Skill => json!({ "agent_id": "ada", "component": "keeper", "secret": "key" }),
                    Holder::Shared => json!({ "installation_id": id, "secret": "key" }),
                    Holder::Provider => json!({ "provider_id": "caller", "secret": "key" }),
                };
                if *wide {
                    grant["hosts"] = json!(["*.example.com"]);
                }
                send(Method::POST, "/v1/vault/grants", grant).await
            }
            Change::Secrets => send(Method::PATCH, path, json!({ "secrets": { "key": "key" } })).await,
            Change::RevokeGrants => {
                let now = self.server.get(path).await;
                let first = now.body["granted"]["secrets"][0]["id"].as_str().unwrap_or("grt_0").to_owned();
                send(Method::DELETE, &format!("/v1/vault/grants/{first}"), Value::Null).await
            }
            Change::Enable(which) => send(Method::PATCH, path, json!({ "agents": AGENTS[*which] })).await,
        }
    }

    /// Returns the path of an installation.
    async fn path(&self, holder: Holder) -> String {
        match holder {
            Holder::Skill => SKILL.to_owned(),
            Holder::Provider => PROVIDER.to_owned(),
            Holder::Shared => {
                let all = self.server.get("/v1/components?kind=skill").await.expect(200);
                let shared = all.as_array().unwrap().iter().find(|one| one["agent_id"].is_null());
                format!("/v1/components/{}", shared.and_then(|one| one["id"].as_str()).unwrap_or("none"))
            }
        }
    }

    /// Returns the name of a consent that an installation has.
    async fn consented(&self, path: &str) -> Vec<String> {
        let now = self.server.get(path).await;
        let hosts = now.body["granted"]["hosts"].as_array().cloned().unwrap_or_default();
        let name = |host: &Value| {
            let methods: Vec<_> = host["methods"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            format!("host:{} {}", host["host"].as_str().unwrap(), methods.join("+"))
        };
        hosts.iter().take(1).map(name).collect()
    }

    /// Returns what the installations have that requires `vault:write`, for each agent that may use it.
    async fn privileges(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for holder in [Holder::Skill, Holder::Shared, Holder::Provider] {
            let now = self.server.get(&self.path(holder).await).await;
            if now.status != 200 {
                continue;
            }
            let own = privileges_of(&now.body);
            let agents = now.body["agents"].as_array().cloned().unwrap_or_default();
            let users = agents.iter().filter_map(Value::as_str).chain(["anybody"]);
            all.extend(users.flat_map(|user| own.iter().map(move |one| format!("{holder:?} for {user}: {one}"))));
        }
        all
    }
    async fn check(&self, steps: &[Step]) -> Result<(), String> {
        for holder in [Holder::Skill, Holder::Shared, Holder::Provider] {
            self.server.delete(&self.path(holder).await).await;
        }
        let mut before = self.privileges().await;
        for step in steps {
            let answer = self.make(step).await;
            if answer.status.is_server_error() {
                return Err(format!("{step:?}: {answer:?}"));
            }
            let after = self.privileges().await;
            if let Some(more) = after.difference(&before).next()
                && !step.is_trusted
            {
                return Err(format!("{step:?} gave: {more}"));
            }
            before = after;
        }
        Ok(())
    }
}

/// Returns what an installation has that requires `vault:write`.
fn privileges_of(installation: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let digest = installation["digest"].as_str().unwrap();
    for host in installation["granted"]["hosts"].as_array().unwrap() {
        let name = host["host"].as_str().unwrap();
        if name.contains(':') || !name.ends_with(".example.com") {
            all.insert(format!("{digest} reaches {name} {}", host["methods"]));
        }
    }
    let base = installation["config"]["base_url"].as_str().unwrap_or_default();
    let base = base.split("//").last().unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    for grant in installation["granted"]["secrets"].as_array().unwrap() {
        all.insert(format!("{digest} has {} by {}", grant["secret"], grant["mode"]));
        for host in grant["hosts"].as_array().unwrap() {
            let host = host.as_str().unwrap();
            all.insert(format!("{digest} sends {} to {host}", grant["secret"]));
            if host.strip_prefix('*').is_some_and(|suffix| base.ends_with(suffix)) {
                all.insert(format!("{digest} sends {} to the configured {base}", grant["secret"]));
            }
        }
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_vault_ends_with_more() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    for agent in ["bob", "cleo"] {
        let agent = json!({ "name": agent, "provider": "offline", "model": "echo" });
        server.post("/v1/agents", agent).await.expect(201);
    }
    server.post("/v1/vault/secrets", json!({ "name": "key", "value": VALUE })).await.expect(201);
    let token = server.token(None, &["agents:read", "agents:write", "runs:write", "vault:read"]).await;
    let trial = Trial { server, token };
    let cases = std::env::var("PERMISSION_SEQUENCES").map_or(SEQUENCES, |number| number.parse().unwrap());
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let checked = runner.run(&steps(), |steps| runtime.block_on(trial.check(&steps)).map_err(TestCaseError::fail));
        checked.unwrap_or_else(|error| panic!("{error}"));
    });
}
