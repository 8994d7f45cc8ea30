//! Outgoing requests of components: egress rules for the hosts that a component requests and that an operator
//! accepted, and events for denied requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use moxxy_egress::{
    Body, CallClient, Error, Missing, Pattern, Policy, Refusal, RequestInterceptor, Rule, Timeouts, configured,
    is_public,
};
use moxxy_runtime::{ANY_HOST, Outgoing, Secrets as _};
use moxxy_store::{Store, events};
use moxxy_system::tasks::{ServerRuntime, Tasks};
use moxxy_types::{
    agents::AgentKey,
    components::{HostRequest, Manifest},
    error::Result,
    events::{Event, EventContext},
    host_port::HostPort,
    ids::Name,
    installations::Installation,
    permissions::Names,
};
use serde_json::{Map, Value, json};

use crate::services::{components::Components, permissions, vault::call_secrets};

/// Maximum length of the method in an event, in characters.
const MAX_METHOD_CHARACTERS: usize = 32;
/// Maximum length of the host in an event, in characters.
const MAX_HOST_CHARACTERS: usize = 255;
/// Maximum length of the reason in an event, in characters.
const MAX_REASON_CHARACTERS: usize = 2048;

/// HTTP client of one call. It sends on the server's threads.
pub struct CallEgress {
    client: Arc<CallClient>,
    server: ServerRuntime,
    recorder: Arc<DenialRecorder>,
}

/// Records the denied requests of a call. Holds only the parts of the server that it needs, because an aborted call
/// ends slightly later than the server.
struct DenialRecorder {
    store: Store,
    tasks: Tasks,
    component: Name,
    subject: EventContext,
    /// Secrets to redact in events.
    secrets: Option<Arc<call_secrets::CallSecrets>>,
    /// Whether a request over the limit was recorded: only the first one is.
    counted: AtomicBool,
}

impl CallEgress {
    pub fn new(
        components: &Components,
        component: &Name,
        subject: EventContext,
        policy: Policy,
        secrets: Option<&Arc<call_secrets::CallSecrets>>,
    ) -> Arc<Self> {
        let interceptor = secrets.map(|secrets| Arc::clone(secrets) as Arc<dyn RequestInterceptor>);
        let client = Arc::new(components.egress.for_call(policy, interceptor));
        let counted = AtomicBool::new(false);
        let recorder = Arc::new(DenialRecorder {
            store: components.store.clone(),
            tasks: components.tasks.clone(),
            component: component.clone(),
            subject,
            secrets: secrets.cloned(),
            counted,
        });
        Arc::new(Self { client, server: ServerRuntime::current(), recorder })
    }
}

impl Outgoing for CallEgress {
    fn send(&self, request: Request<Body>, timeouts: Timeouts) -> BoxFuture<'static, Result<Response<Body>, Error>> {
        let (client, recorder) = (Arc::clone(&self.client), Arc::clone(&self.recorder));
        let method = request.method().as_str().chars().take(MAX_METHOD_CHARACTERS).collect();
        let authority = request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
        // The part before an `@` contains credentials.
        let host = authority.rsplit('@').next().unwrap_or_default().chars().take(MAX_HOST_CHARACTERS).collect();
        let sending = self.server.spawn(async move {
            let result = client.send(request, timeouts).await;
            if let Err(Error::Refused(refusal)) = &result {
                recorder.record(host, method, refusal).await;
            }
            result
        });
        Box::pin(async { sending.await.unwrap_or_else(|error| Err(Error::Broken(error.to_string()))) })
    }
}

impl DenialRecorder {
    async fn record(&self, host: String, method: String, refusal: &Refusal) {
        if matches!(refusal, Refusal::RequestLimit(_)) && self.counted.swap(true, Relaxed) {
            return;
        }
        let (store, subject) = (self.store.clone(), self.subject.clone());
        let redactor = self.secrets.as_ref().and_then(|secrets| secrets.redactor()).unwrap_or_default();
        let redact = |text: &str| redactor.text(text).chars().take(MAX_REASON_CHARACTERS).collect::<String>();
        let (host, method, reason) = (redact(&host), redact(&method), redact(&refusal.to_string()));
        let event = Event::EgressDenied { component: self.component.clone(), host, method, reason };
        let record =
            async move { store.write(|tx| Box::pin(async move { events::record(tx, &subject, event).await })).await };
        // Recorded even if the call ends meanwhile.
        if let Err(error) = self.tasks.run_detached("refusal", record).await {
            tracing::error!(error = ?error, "failed to record a denied request");
        }
    }
}

impl std::fmt::Debug for CallEgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallEgress").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Returns the egress policy of an agent's skill.
pub fn of_skill(components: &Components, (key, agent): (AgentKey, &Name), skill: &Installation) -> Policy {
    let (manifest, accepted) = (&skill.component.manifest, &skill.accepted);
    let grant_request = match skill.agent {
        Some(_) => format!("PUT /v1/agents/{agent}/skills/{}", skill.name),
        None => format!("POST /v1/components/{}/upgrade", skill.id),
    };
    let is_accepted = |request: &HostRequest| accepted.contains(&permissions::host_permission(request));
    // Agents share no connections.
    let owner = format!("{grant_request} {} {}", key.0, skill.created_at);
    let asked =
        HostRequests { manifest, accepted, grant_request: &grant_request, private: &components.config.egress.private };
    let mut policy = Policy { owner, ..asked.policy(is_accepted) };
    policy.rules.extend(asked.configured(&skill.config, is_accepted));
    policy
}

/// Returns the egress policy of a provider. Installing a provider is consent to its public hosts, and configuring it
/// is consent to the origin of each `config:NAME`.
pub fn of_provider(components: &Components, provider: &Installation) -> Policy {
    let (manifest, accepted) = (&provider.component.manifest, &provider.accepted);
    let grant_request = format!("PATCH /v1/providers/{}", provider.name);
    let asked =
        HostRequests { manifest, accepted, grant_request: &grant_request, private: &components.config.egress.private };
    let mut policy = asked.policy(|request| request.host != ANY_HOST);
    policy.owner = format!("{grant_request} {}", provider.created_at);
    policy.rules.extend(asked.configured(&provider.config, |_| true));
    policy
}

/// Requested hosts of a component, and the consent to them.
struct HostRequests<'a> {
    manifest: &'a Manifest,
    accepted: &'a Names,
    /// The API request that gives further consent.
    grant_request: &'a str,
    /// Private addresses open to every component that may reach their hosts.
    private: &'a [HostPort],
}

impl HostRequests<'_> {
    /// Returns the policy for the requested hosts that are `is_accepted`, and for those that consent narrows.
    fn policy(&self, is_accepted: impl Fn(&HostRequest) -> bool) -> Policy {
        let mut policy = Policy::default();
        for request in &self.manifest.hosts {
            let (advice, other_port_advice) = (self.advice(request), self.advice_at_port(request));
            if request.host == ANY_HOST {
                let advice = advice.replacen(ANY_HOST, "{host}", 1);
                policy.missing.push(Missing { host: Pattern::Any, advice, other_port_advice });
                continue;
            }
            let Some(host) = Pattern::parse(&request.host) else { continue };
            let rule = Rule::new(host.clone(), &request.methods).advice(&other_port_advice);
            if is_accepted(request) {
                let peers = self.private.iter().filter(|peer| permissions::is_at(request, peer));
                policy.rules.extend(peers.flat_map(|peer| at(&rule, peer)));
            }
            match is_accepted(request) && is_public(&request.host) {
                true => policy.rules.push(rule),
                false => policy.missing.push(Missing { host, advice, other_port_advice }),
            }
        }
        for opening in permissions::narrowed_hosts(self.manifest, self.accepted) {
            let advice = self.advice_at_port(opening.requested);
            let rule = Rule::new(Pattern::Any, &opening.request.methods).advice(&advice);
            let rule = opening.path.iter().fold(rule, |rule, path| rule.under_path(path));
            match (&opening.peer, Pattern::parse(&opening.host)) {
                (Some(peer), _) => policy.rules.extend(at(&rule, peer)),
                (None, Some(host)) => policy.rules.push(rule.host(host)),
                (None, None) => {}
            }
        }
        policy
    }

    /// Returns a rule for the origin of each `config:NAME` host that is `is_accepted`, or that consent narrows.
    fn configured(&self, config: &Map<String, Value>, is_accepted: impl Fn(&HostRequest) -> bool) -> Vec<Rule> {
        let resolved = permissions::with_configured_hosts(self.manifest, config);
        let opened: Vec<_> = permissions::narrowed_hosts(&resolved, self.accepted).collect();
        let rule = |request: &HostRequest| {
            let origin = configured::origin(request.host.strip_prefix("config:")?, config)?;
            let peer = configured::host_and_port(request, config)?;
            let opening = opened.iter().find(|opening| opening.peer.as_ref() == Some(&peer));
            let methods = opening.map_or(&request.methods, |opening| &opening.request.methods);
            let rule = Rule::new(Pattern::Exact(peer.host.clone()), methods).port(peer.port);
            let rule = rule.advice(&self.advice_at_port(request));
            let rule = if origin.is_https() { rule } else { rule.allow_http() };
            let resolved = HostRequest { host: origin.host().to_string(), ..request.clone() };
            if opening.is_none() && !is_accepted(&resolved) {
                return None;
            }
            let private = opening.is_some() || self.private.contains(&peer);
            Some(if private { rule.private() } else { rule })
        };
        self.manifest.hosts.iter().filter_map(rule).collect()
    }

    /// Returns advice on how to consent to a requested host.
    fn advice(&self, request: &HostRequest) -> String {
        format!(
            "this would let it: {} {}",
            self.grant_request,
            json!({ "accept": [permissions::host_permission(request)] })
        )
    }

    /// Returns advice on how to consent to a requested host at one port, public or not.
    fn advice_at_port(&self, request: &HostRequest) -> String {
        self.advice(&HostRequest { host: "{host}:{port}".to_owned(), ..request.clone() })
    }
}

/// Returns the rules for an address that may be private, by HTTPS and by plain HTTP.
fn at(rule: &Rule, peer: &HostPort) -> [Rule; 2] {
    let rule = rule.clone().host(Pattern::Exact(peer.host.clone())).port(peer.port).private();
    [rule.clone(), rule.allow_http()]
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use moxxy_egress::Target;
    use moxxy_types::{
        components::{LimitRequests, World},
        tokens::Principal,
    };

    fn manifest(hosts: &[&str]) -> Manifest {
        let request = |host: &&str| HostRequest {
            host: (*host).to_owned(),
            methods: vec!["GET".into()],
            reason: "Because.".into(),
        };
        Manifest {
            name: Name::from_db("test".into()),
            version: "1.0.0".into(),
            description: "Tests.".into(),
            hosts: hosts.iter().map(request).collect(),
            secrets: Vec::new(),
            limits: LimitRequests { memory: None, cpu_time: None, wall_time: None },
            config_schema: None,
        }
    }

    fn peers(texts: &[&str]) -> Vec<HostPort> {
        texts.iter().map(|text| HostPort::try_from((*text).to_owned()).unwrap()).collect()
    }

    fn allows(policy: &Policy, url: &str) -> bool {
        policy.decide(&Target::parse(url).unwrap(), &Method::GET).is_ok()
    }

    #[test]
    fn a_configured_host_is_one_origin() {
        let manifest = manifest(&["config:base_url"]);
        let pinned = |url: &str, accepted: &Names| {
            let config = json!({ "base_url": url }).as_object().unwrap().clone();
            let asked = HostRequests { manifest: &manifest, accepted, grant_request: "PATCH", private: &[] };
            let named = permissions::implied_by_config(World::Provider, &manifest, &config, &Principal::Local);
            (Policy { rules: asked.configured(&config, |_| true), ..Policy::default() }, named)
        };
        let cases = [
            ("https://api.example.com/v1", "https://api.example.com/v1/chat", true),
            ("https://api.example.com/v1", "https://api.example.com/other", true),
            ("https://api.example.com/v1", "http://api.example.com/v1", false),
            ("https://api.example.com/v1", "https://api.example.com:8443/v1", false),
            ("https://api.example.com/v1", "https://example.com/v1", false),
            ("http://localhost:11434", "http://localhost:11434/api", true),
            ("http://localhost:11434", "https://localhost:11434/api", false),
            ("https://ada:pass@api.example.com", "https://api.example.com/", false),
            ("nonsense", "https://nonsense/", false),
        ];
        for (configured, url, allowed) in cases {
            let (policy, named) = pinned(configured, &Names::new());
            assert_eq!(allows(&policy, url), allowed, "{configured} {url}");
            assert!(!policy.rules.iter().any(Rule::allows_private), "{configured}");
            // A non-public host requires consent, which the configuration implies with `vault:write`.
            let (policy, _) = pinned(configured, &named);
            let private = policy.rules.iter().any(Rule::allows_private);
            assert_eq!(private, configured.contains("localhost"), "{configured}");
        }
    }

    #[test]
    fn a_private_host_takes_consent_and_a_place() {
        let manifest = manifest(&["127.0.0.1", "nas.home.arpa", "*.home.lan", "api.example.com"]);
        let private = peers(&["127.0.0.1:81", "api.example.com:82"]);
        let allowed = |is_accepted: bool, accepted: &[&str], private: &[HostPort], url: &str| {
            let accepted = accepted.iter().map(|name| (*name).to_owned()).collect();
            let asked = HostRequests { manifest: &manifest, accepted: &accepted, grant_request: "PUT", private };
            allows(&asked.policy(|_| is_accepted), url)
        };
        for url in
            ["http://127.0.0.1:81/", "https://127.0.0.1:81/", "https://api.example.com/", "http://api.example.com:82/"]
        {
            assert!(allowed(true, &[], &private, url) && !allowed(false, &[], &private, url), "{url}");
        }
        for url in ["http://127.0.0.1:82/", "https://127.0.0.1/", "https://nas.home.arpa/", "https://a.home.lan/"] {
            assert!(!allowed(true, &[], &private, url), "{url}");
        }
        assert!(!allowed(true, &[], &[], "http://127.0.0.1:81/"));
        assert!(allowed(false, &["host:nas.home.arpa:8080 GET"], &[], "http://nas.home.arpa:8080/"));
        assert!(!allowed(false, &["host:nas.home.arpa:8080 GET"], &[], "http://nas.home.arpa:8081/"));
        assert!(allowed(false, &["host:a.home.lan:80 GET"], &[], "http://a.home.lan/"));
        assert!(!allowed(false, &["host:b.example:80 GET"], &[], "http://b.example/"));
        // A requested host can be narrowed to a path.
        for (name, url, expected) in [
            ("host:api.example.com/repos/ada GET", "https://api.example.com/repos/ada/x", true),
            ("host:api.example.com/repos/ada GET", "https://api.example.com/repos/adam", false),
            ("host:api.example.com/repos/ada GET", "https://api.example.com/repos/ada%2f..%2fbob", false),
            ("host:api.example.com:8443/repos GET", "https://api.example.com:8443/repos", true),
            ("host:api.example.com/repos/../x GET", "https://api.example.com/x", false),
            ("host:api.example.com/%2fx GET", "https://api.example.com/%2fx", false),
            ("host:127.0.0.1/x GET", "https://127.0.0.1/x", false),
        ] {
            assert_eq!(allowed(false, &[name], &[], url), expected, "{name} {url}");
        }
    }
}
