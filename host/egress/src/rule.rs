//! Allow-list rules for outgoing requests. Nothing is allowed by default.

use std::net::IpAddr;

use http::Method;
use url::Host;

use super::{error::Refusal, target::Target};

/// A host pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    Exact(Host),
    /// Every subdomain of this name, not the name itself.
    Subdomains(String),
    /// Every host. Used only in [`Missing`], never in a rule.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    https: bool,
    host: Pattern,
    port: u16,
    methods: Vec<Method>,
    /// Restricts requests to this path and the paths below it.
    path: Option<String>,
    /// Whether the host may have a non-public address.
    private: bool,
    /// Tells the operator how to allow another port or a non-public address.
    advice: String,
}

/// Hosts that further consent would allow, and how to give it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Missing {
    pub host: Pattern,
    /// Advice for public hosts by HTTPS on port 443. `{host}` and `{port}` are replaced by those of the
    /// request.
    pub advice: String,
    /// Advice for all other requests.
    pub other_port_advice: String,
}

/// Everything that one component may reach. Connections are shared between calls with equal policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Identifies the component that owns the policy.
    pub owner: String,
    pub rules: Vec<Rule>,
    pub missing: Vec<Missing>,
}

impl Pattern {
    /// Parses `api.example.com`, `*.example.com`, or an IP address.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(suffix) = text.strip_prefix("*.") {
            return match Host::parse(suffix).ok()? {
                Host::Domain(suffix) if suffix.contains('.') => Some(Self::Subdomains(suffix)),
                _ => None,
            };
        }
        let bare = text.parse::<std::net::Ipv6Addr>().map(Host::Ipv6);
        match bare.or_else(|_| Host::parse(text)).ok()? {
            Host::Domain(name) if name.contains('*') => None,
            host => Some(Self::Exact(host)),
        }
    }

    pub fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Exact(Host::Domain(name)), Host::Domain(host)) => name == host,
            (Self::Exact(Host::Ipv4(address)), Host::Ipv4(host)) => address == host,
            (Self::Exact(Host::Ipv6(address)), Host::Ipv6(host)) => address == host,
            (Self::Subdomains(suffix), Host::Domain(host)) => {
                let label = host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty())
            }
            (Self::Any, _) => true,
            _ => false,
        }
    }
}

impl Rule {
    /// Allows HTTPS on port 443 at public addresses.
    pub fn new(host: Pattern, methods: &[String]) -> Self {
        let methods = methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect();
        let advice = "the option `egress.private = [\"{host}:{port}\"]` would allow it".to_owned();
        Self { https: true, host, port: 443, methods, path: None, private: false, advice }
    }

    /// Sets the advice for other ports and non-public addresses. Placeholders as in [`Missing`].
    pub fn advice(self, advice: &str) -> Self {
        Self { advice: advice.to_owned(), ..self }
    }

    /// Returns the advice for a request that this rule does not allow.
    pub(super) fn advice_for(&self, target: &Target) -> String {
        fill_placeholders(&self.advice, target)
    }

    pub fn host(self, host: Pattern) -> Self {
        Self { host, ..self }
    }

    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    pub fn allow_http(self) -> Self {
        Self { https: false, ..self }
    }

    /// Allows non-public addresses too. Ignored for patterns, which match more than one host.
    pub fn private(self) -> Self {
        Self { private: matches!(self.host, Pattern::Exact(_)), ..self }
    }

    pub fn under_path(self, path: &str) -> Self {
        Self { path: Some(path.trim_end_matches('/').to_owned()), ..self }
    }

    pub fn allows_private(&self) -> bool {
        self.private
    }

    fn scheme_and_port(&self) -> String {
        scheme_and_port(self.https, self.port)
    }

    fn allows_path(&self, target: &Target) -> bool {
        let Some(prefix) = &self.path else { return true };
        let rest = target.url().path().strip_prefix(prefix.as_str());
        !target.has_encoded_slashes() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Missing {
    fn advice_for(&self, target: &Target) -> &str {
        let ordinary = target.is_https() && target.port() == 443 && is_public(&target.host().to_string());
        if ordinary { &self.advice } else { &self.other_port_advice }
    }
}

/// Whether a host looks like a public name. The addresses that it resolves to are checked regardless.
pub fn is_public(host: &str) -> bool {
    let private = ["localhost", "local", "internal", "home", "lan", "arpa"];
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let name = host.rsplit_once('.').is_some_and(|(_, last)| !private.contains(&last));
    name && !address && !host.starts_with("config:")
}

impl Policy {
    /// Returns the rule that allows a request, or a refusal that says what would.
    pub fn decide(&self, target: &Target, method: &Method) -> Result<&Rule, Refusal> {
        let host = target.host();
        let mut rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.host.matches(&host)).collect();
        if rules.is_empty() {
            let missing = self.missing.iter().find(|missing| missing.host.matches(&host));
            let advice =
                missing.map_or("its manifest does not ask for that host", |missing| missing.advice_for(target));
            let advice = fill_placeholders(advice, target);
            return Err(Refusal::Host { host: host.to_string(), advice });
        }
        let describe_all = |rules: &[&Rule], describe: fn(&Rule) -> String| {
            let mut texts: Vec<_> = rules.iter().map(|rule| describe(rule)).collect();
            texts.sort();
            texts.dedup();
            texts.join(" or ")
        };
        let host = target.host().to_string();
        let allowed = describe_all(&rules, Rule::scheme_and_port);
        let advice = rules.first().map(|rule| rule.advice_for(target)).unwrap_or_default();
        rules.retain(|rule| rule.https == target.is_https() && rule.port == target.port());
        if rules.is_empty() {
            return Err(Refusal::Port {
                host,
                allowed,
                asked: scheme_and_port(target.is_https(), target.port()),
                advice,
            });
        }
        let allowed =
            describe_all(&rules, |rule| rule.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "));
        // A CONNECT tunnel would bypass the rules.
        rules.retain(|rule| rule.methods.contains(method) && method != Method::CONNECT);
        if rules.is_empty() {
            return Err(Refusal::Method { host, allowed, asked: method.to_string() });
        }
        let allowed = describe_all(&rules, |rule| rule.path.clone().unwrap_or_default());
        // Prefer a rule that allows non-public addresses.
        let fits = rules.into_iter().filter(|rule| rule.allows_path(target)).max_by_key(|rule| rule.private);
        fits.ok_or(Refusal::Path { host, allowed })
    }
}

fn fill_placeholders(advice: &str, target: &Target) -> String {
    advice.replace("{host}", &target.host().to_string()).replace("{port}", &target.port().to_string())
}

fn scheme_and_port(https: bool, port: u16) -> String {
    format!("{} on port {port}", if https { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_labels() {
        let cases = [
            ("api.example.com", "https://api.example.com", true),
            ("api.example.com", "https://API.EXAMPLE.com.", true),
            ("api.example.com", "https://x.api.example.com", false),
            ("api.example.com", "https://api.example.com.evil.example", false),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "https://a.b.example.com", true),
            ("*.example.com", "https://example.com", false),
            ("*.example.com", "https://badexample.com", false),
            ("127.0.0.1", "https://0x7f.1", true),
            ("127.0.0.1", "https://127.0.0.2", false),
            ("::1", "https://[0::1]", true),
            ("[::1]", "https://[::1]", true),
            ("127.0.0.1", "https://[::ffff:127.0.0.1]", false),
            ("*.0.0.1", "https://127.0.0.1", false),
        ];
        for (pattern, url, matches) in cases {
            let found = Pattern::parse(pattern).is_some_and(|p| p.matches(&Target::parse(url).unwrap().host()));
            assert_eq!(found, matches, "{pattern} {url}");
        }
        for invalid in ["*", "*.", "*.com", "**.example.com", "a.*.com", "", "a b", "http://a.example"] {
            assert_eq!(Pattern::parse(invalid), None, "{invalid}");
        }
    }

    fn policy() -> Policy {
        let get = ["GET".to_owned()];
        let rule = |host: &str| Rule::new(Pattern::parse(host).unwrap(), &get);
        let missing = Missing {
            host: Pattern::parse("b.example").unwrap(),
            advice: "consent to it".into(),
            other_port_advice: "consent to {host}:{port}".into(),
        };
        let rules = vec![
            rule("a.example"),
            rule("c.example").under_path("/repos/"),
            rule("127.0.0.1").allow_http().port(81).private(),
        ];
        Policy { owner: "test".into(), rules, missing: vec![missing] }
    }

    #[test]
    fn a_policy_allows_what_a_rule_names() {
        for url in ["https://a.example/x", "https://c.example/repos", "https://c.example/repos/x", "http://127.1:81/"] {
            policy().decide(&Target::parse(url).unwrap(), &Method::GET).unwrap();
        }
    }

    #[test]
    fn a_refusal_names_what_would_allow_it() {
        let cases = [
            ("GET", "https://b.example/", "it may not reach b.example: consent to it"),
            ("GET", "http://b.example/", "it may not reach b.example: consent to b.example:80"),
            ("GET", "https://d.example/", "it may not reach d.example: its manifest does not ask for that host"),
            ("GET", "http://a.example/", "by https on port 443 only, not by http on port 80"),
            ("GET", "https://a.example:8443/", "by https on port 443 only, not by https on port 8443"),
            ("GET", "http://127.0.0.1:82/", "by http on port 81 only, not by http on port 82"),
            ("POST", "https://a.example/", "it may send GET to a.example only, not POST"),
            ("CONNECT", "https://a.example/", "not CONNECT"),
            ("GET", "https://c.example/", "below /repos only"),
            ("GET", "https://c.example/reposx", "below /repos only"),
            ("GET", "https://c.example/repos/x%2fy", "without encoded slashes"),
            ("GET", "https://c.example/repos%5c..%5cadmin", "without encoded slashes"),
        ];
        for (method, url, reason) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let refusal = policy().decide(&Target::parse(url).unwrap(), &method).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{url}: {refusal}");
        }
    }
}
