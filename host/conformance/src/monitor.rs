//! Monitors rules that apply during the whole suite: which hosts are requested, and where keys occur.
//! Violations do not fail requests; the rule cases report them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use moxxy_egress::{Pattern, Policy, Rule, Target, configured};
use moxxy_runtime::{ANY_HOST, Denial, Secrets};
use moxxy_secrets::{Injectable, Injector, Placeholder, Redactor, Rule as Grant, Value};
use moxxy_types::{
    components::{HostRequest, Manifest},
    digest,
    error::Result,
};
use serde_json::{Map, Value as Json};

/// Value of every secret.
const SECRET_VALUE: &[u8] = b"sk-not-a-key-0123456789";

pub(crate) struct RuleMonitor {
    manifest: Manifest,
    policy: Policy,
    placeholders: BTreeMap<String, Placeholder>,
    opened: AtomicBool,
    /// Whether a request carried a key in its proper place.
    injected: AtomicBool,
    violations: Mutex<Violations>,
}

/// The first violation of each rule.
#[derive(Debug, Default)]
struct Violations {
    hosts: Option<String>,
    keys: Option<String>,
}

impl RuleMonitor {
    pub(crate) fn new(manifest: &Manifest, config: &Map<String, Json>) -> Result<Self> {
        let rules = manifest.hosts.iter().filter_map(|request| rule(request, config)).collect();
        let placeholder = |name: &String| Ok((name.clone(), Placeholder::random()?));
        Ok(Self {
            policy: Policy { rules, ..Policy::default() },
            placeholders: manifest.secrets.iter().map(|secret| placeholder(&secret.name)).collect::<Result<_>>()?,
            manifest: manifest.clone(),
            opened: AtomicBool::new(false),
            injected: AtomicBool::new(false),
            violations: Mutex::default(),
        })
    }

    /// Checks a request against the rules.
    pub(crate) fn check_request(&self, target: &Target, method: &Method, headers: &HeaderMap, body: &Bytes) {
        let decided = self.policy.decide(target, method);
        let admits = decided.is_ok();
        if let Err(refusal) = decided {
            self.violations().hosts.get_or_insert(refusal.to_string());
        }
        let injected = self.injector(admits).map(|injector| injector.inject(target.url(), headers, Some(body)));
        match injected {
            Ok(Ok(injected)) if injected.uses.is_empty() => {}
            Ok(Ok(_)) => self.injected.store(true, Relaxed),
            Ok(Err(refusal)) => self.record_key_violation(refusal.to_string()),
            Err(error) => self.record_key_violation(error.to_string()),
        }
    }

    /// Searches the component's output for keys.
    pub(crate) fn scan_for_keys(&self, text: &str) {
        if let Some((name, _)) = self.placeholders.iter().find(|(_, placeholder)| text.contains(placeholder.digits())) {
            self.record_key_violation(format!("what stands for the secret `{name}` came out in its answer"));
        }
    }

    /// Replaces placeholders, which differ between checks, with the names of their secrets.
    pub(crate) fn readable(&self, text: &str) -> String {
        let named = |text: String, (name, placeholder): (&String, &Placeholder)| {
            text.replace(placeholder.as_str(), &format!("[secret {name}]"))
        };
        self.placeholders.iter().fold(text.to_owned(), named)
    }

    /// Returns the first request of a host or method that the manifest does not list.
    pub(crate) fn host_violation(&self) -> Option<String> {
        self.violations().hosts.clone()
    }

    /// Returns the first misuse of a key.
    pub(crate) fn key_violation(&self) -> Option<String> {
        self.violations().keys.clone()
    }

    pub(crate) fn has_opened(&self) -> bool {
        self.opened.load(Relaxed)
    }

    pub(crate) fn has_injected(&self) -> bool {
        self.injected.load(Relaxed)
    }

    fn record_key_violation(&self, what: String) {
        self.violations().keys.get_or_insert(what);
    }

    fn violations(&self) -> MutexGuard<'_, Violations> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.violations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `admits`: whether the request goes to a host that the manifest lists.
    fn injector(&self, admits: bool) -> Result<Injector> {
        let mut secrets = Vec::new();
        for asked in &self.manifest.secrets {
            let Some(placeholder) = self.placeholders.get(&asked.name).cloned() else { continue };
            let grant = Grant { place: asked.place.parse()?, admits: Arc::new(move |_| admits) };
            let value = Value::new(SECRET_VALUE.to_vec())?;
            secrets.push(Injectable { name: asked.name.clone(), placeholder, value, rules: vec![grant] });
        }
        Ok(Injector::new(secrets))
    }

    fn deny_undeclared<T: Send + 'static>(&self, name: &str) -> BoxFuture<'static, Result<T, Denial>> {
        self.deny(format!("its manifest asks for no secret {:?}", name.chars().take(64).collect::<String>()))
    }

    fn deny<T: Send + 'static>(&self, why: String) -> BoxFuture<'static, Result<T, Denial>> {
        self.record_key_violation(why.clone());
        Box::pin(async { Err(Denial::Denied(why)) })
    }
}

/// Converts a host request of the manifest to a rule.
fn rule(request: &HostRequest, config: &Map<String, Json>) -> Option<Rule> {
    if request.host == ANY_HOST {
        return Some(Rule::new(Pattern::Any, &request.methods));
    }
    let Some(option) = request.host.strip_prefix("config:") else {
        return Some(Rule::new(Pattern::parse(&request.host)?, &request.methods));
    };
    let (origin, place) = (configured::origin(option, config)?, configured::host_and_port(request, config)?);
    let rule = Rule::new(Pattern::Exact(place.host), &request.methods).port(place.port);
    Some(if origin.is_https() { rule } else { rule.allow_http() })
}

impl Secrets for RuleMonitor {
    fn open(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<String, Denial>> {
        let Some(placeholder) = self.placeholders.get(&name) else { return self.deny_undeclared(&name) };
        self.opened.store(true, Relaxed);
        let text = placeholder.as_str().to_owned();
        Box::pin(async { Ok(text) })
    }

    fn sign(self: Arc<Self>, name: String, data: Vec<u8>) -> BoxFuture<'static, Result<[u8; 32], Denial>> {
        if !self.placeholders.contains_key(&name) {
            return self.deny_undeclared(&name);
        }
        self.opened.store(true, Relaxed);
        Box::pin(async move { Ok(digest::hmac(SECRET_VALUE, &data)) })
    }

    fn reveal(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<Value, Denial>> {
        let name: String = name.chars().take(64).collect();
        self.deny(format!("it wants the secret {name:?} revealed"))
    }

    /// Nothing is redacted, so that leaks are visible.
    fn redactor(&self) -> Option<Redactor> {
        None
    }
}

impl std::fmt::Debug for RuleMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleMonitor").finish_non_exhaustive()
    }
}
