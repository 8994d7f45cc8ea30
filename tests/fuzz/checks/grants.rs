//! What a manifest, an operator or a client names: hosts and places of secrets.

use moxxy_egress::Pattern;
use moxxy_runtime::{ANY_HOST, permission_requests};
use moxxy_secrets::Place;
use moxxy_types::grants::NewGrant;

/// A host, a place and a JSON grant, each in a line.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (host, place, grant) = (lines.next(), lines.next(), lines.next());
    if let Some(host) = host.and_then(|host| permission_requests::host(host).ok()) {
        named(&host);
    }
    if let Some(place) = place {
        placed(place);
    }
    if let Some(grant) = grant {
        // Whatever it is, it is taken or refused.
        drop(serde_json::from_str::<NewGrant>(grant));
    }
}

/// A host has one form, and is a pattern that the way out understands.
fn named(host: &str) {
    assert_eq!(permission_requests::host(host).as_deref(), Ok(host));
    if host == ANY_HOST || host.starts_with("config:") {
        assert!(permission_requests::normalize_hosts(&[host.to_owned()]).is_err() == (host == ANY_HOST));
        return;
    }
    let pattern = Pattern::parse(host);
    assert!(pattern.is_some(), "{host}");
    // No pattern is for half the world.
    let suffix = match &pattern {
        Some(Pattern::Subdomains(suffix)) => suffix.as_str(),
        _ => return,
    };
    assert!(suffix.contains('.') && !suffix.contains('*'), "{host}");
}

fn placed(text: &str) {
    let place = text.parse::<Place>();
    if let Ok(place) = &place {
        assert!(place.to_string().parse::<Place>().is_ok_and(|again| again == *place));
        assert!(permission_requests::check_place(text).is_ok(), "{text}");
    }
}
