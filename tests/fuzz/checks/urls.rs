//! URLs, host patterns, and the rules that are made of them.

use http::{Method, Uri};
use moxxy_egress::{Pattern, Policy, Rule, Target};

/// The first line is a pattern, the second a URL, the third where a redirect leads.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (pattern, url, location) = (lines.next(), lines.next(), lines.next());
    let Some(target) = url.and_then(|url| Target::parse(url).ok()) else { return };
    agrees(&target);
    if let Some(target) = location.and_then(|location| target.join(location).ok()) {
        agrees(&target);
    }
    if let Some(pattern) = pattern.and_then(Pattern::parse) {
        decided(&pattern, &target);
    }
}

/// There is one reading of it: read again, or by another parser, it is the same.
fn agrees(target: &Target) {
    let again = Target::parse(target.url().as_str());
    assert_eq!(again.as_ref(), Ok(target));
    let uri: Uri = target.url().as_str().parse().expect("what is sent is a URI");
    assert_eq!(uri.host(), Some(target.host().to_string().as_str()));
    assert_eq!(uri.port_u16().unwrap_or(if target.is_https() { 443 } else { 80 }), target.port());
    assert_eq!(uri.path(), target.url().path());
    assert!(!uri.path().split('/').any(|segment| segment == ".." || segment == "."));
    assert!(target.url().username().is_empty() && target.url().password().is_none());
}

/// A rule allows what it names and nothing else.
fn decided(pattern: &Pattern, target: &Target) {
    let rule = Rule::new(pattern.clone(), &["GET".to_owned()]).under_path("/below");
    let policy = Policy { rules: vec![rule], ..Policy::default() };
    let host = target.host().to_string();
    let named = match pattern {
        Pattern::Exact(exact) => exact.to_string() == host,
        Pattern::Subdomains(suffix) => host.len() > suffix.len() + 1 && host.ends_with(&format!(".{suffix}")),
        Pattern::Any => false,
    };
    assert_eq!(pattern.matches(&target.host()), named, "{pattern:?} {host}");
    let path = target.url().path();
    let below = path == "/below" || path.starts_with("/below/");
    let allowed = policy.decide(target, &Method::GET).is_ok();
    assert!(!allowed || (named && below && target.is_https() && target.port() == 443), "{pattern:?} {target:?}");
    assert!(policy.decide(target, &Method::POST).is_err());
}
