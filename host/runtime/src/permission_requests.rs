//! Validates and normalizes the permissions that a manifest requests. Names become lower case, methods and
//! hosts are sorted, so that equal requests compare equal.

use std::net::IpAddr;

use moxxy_egress::Pattern;
use moxxy_secrets::Place;
use moxxy_types::components::{HostRequest, SecretRequest};

use super::{
    bindings::plugin::exports::moxxy::plugin::plugin as guest,
    manifest::{check_length, check_name, truncate},
};

/// Maximum length of a text, in bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// Maximum number of entries per list.
const MAX_REQUESTS: usize = 64;
/// Maximum length of a host name, in bytes.
const MAX_HOST_BYTES: usize = 253;
/// Requests hosts that the operator names when granting.
pub const ANY_HOST: &str = "*";

pub fn hosts(requests: Vec<guest::HostRequest>) -> Result<Vec<HostRequest>, String> {
    check_count("hosts", requests.len())?;
    let mut checked: Vec<HostRequest> = Vec::with_capacity(requests.len());
    for request in requests {
        let host = host(&request.host)?;
        if checked.iter().any(|other| other.host == host) {
            return Err(format!("it asks for the host {host:?} twice"));
        }
        text("the reason for a host", &request.reason)?;
        checked.push(HostRequest { host, methods: methods(request.methods)?, reason: request.reason });
    }
    Ok(checked)
}

pub fn secrets(requests: Vec<guest::SecretRequest>) -> Result<Vec<SecretRequest>, String> {
    check_count("secrets", requests.len())?;
    let mut checked = Vec::with_capacity(requests.len());
    for request in requests {
        check_name("a secret", &request.name)?;
        check_place(&request.place)?;
        text("the reason for a secret", &request.reason)?;
        let hosts = normalize_hosts(&request.hosts)?;
        checked.push(SecretRequest { name: request.name, hosts, place: request.place, reason: request.reason });
    }
    Ok(checked)
}

/// Validates the hosts that a secret may be sent to.
pub fn normalize_hosts(hosts: &[String]) -> Result<Vec<String>, String> {
    check_count("hosts of a secret", hosts.len())?;
    let mut hosts = hosts.iter().map(|name| host(name)).collect::<Result<Vec<_>, _>>()?;
    if hosts.iter().any(|host| host == ANY_HOST) {
        return Err("a secret may not go to any host".into());
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

/// Checks a text that people may read in a terminal.
pub fn text(what: &str, text: &str) -> Result<(), String> {
    check_length(what, text, MAX_TEXT_BYTES)?;
    match text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        true => Err(format!("{what} has control characters in it")),
        false => Ok(()),
    }
}

/// Validates a host: `api.example.com`, `*.example.com`, an IP address, `config:NAME`, or `*` for hosts that
/// the operator names.
pub fn host(name: &str) -> Result<String, String> {
    if name == ANY_HOST {
        return Ok(name.to_owned());
    }
    if let Some(option) = name.strip_prefix("config:") {
        return check_name("a configured host", option).map(|()| name.to_owned());
    }
    let lower_case = name.to_ascii_lowercase();
    let address = lower_case.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&lower_case);
    let domain = match lower_case.strip_prefix("*.") {
        // `*.com` would cover an entire top-level domain.
        Some(suffix) => suffix.contains('.') && is_domain(suffix),
        None => is_domain(&lower_case),
    };
    if (domain || address.parse::<IpAddr>().is_ok()) && is_same_for_egress(&lower_case) {
        return Ok(lower_case);
    }
    Err(format!("the host {:?} is no name such as api.example.com, *.example.com or config:NAME", truncate(name)))
}

/// Whether the egress client reads the name as the same host. It reads a name that ends in a number as an IPv4
/// address or rejects it.
fn is_same_for_egress(name: &str) -> bool {
    match Pattern::parse(name) {
        Some(Pattern::Exact(url::Host::Ipv4(address))) => address.to_string() == name,
        pattern => pattern.is_some(),
    }
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        let fits = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        fits && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= MAX_HOST_BYTES && name.split('.').all(label)
}

/// Validates methods. An empty list means GET only.
fn methods(mut methods: Vec<String>) -> Result<Vec<String>, String> {
    check_count("methods", methods.len())?;
    let fits = |method: &String| (1..=16).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(invalid) = methods.iter().find(|method| !fits(method)) {
        return Err(format!("the method {:?} is not 1 to 16 of A-Z", truncate(invalid)));
    }
    if methods.is_empty() {
        methods.push("GET".to_owned());
    }
    methods.sort();
    methods.dedup();
    Ok(methods)
}

/// Validates where a secret may be placed in a request.
pub fn check_place(place: &str) -> Result<(), String> {
    let invalid = |_| {
        let rule = "header:NAME, basic, path, query:NAME or body, or is a header that frames the request";
        format!("the place {:?} is not {rule}", truncate(place))
    };
    place.parse::<Place>().map(drop).map_err(invalid)
}

fn check_count(what: &str, count: usize) -> Result<(), String> {
    if count > MAX_REQUESTS { Err(format!("it lists more than {MAX_REQUESTS} {what}")) } else { Ok(()) }
}
