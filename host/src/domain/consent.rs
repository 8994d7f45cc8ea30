//! Consent: what a component asks for, by name, and what of it the operator agreed to. Public hosts
//! are granted by it. Private ones and secrets are not: there, consent only lets an upgrade go on.

use std::{collections::BTreeSet, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Detail, Error, Problem, Result},
    plugins::{HostRequest, Manifest, SecretRequest},
};

/// Names such as `host:api.example.com GET+POST`. How a host is used and where a secret may go are
/// part of the wish.
pub type Names = BTreeSet<String>;

/// What the operator consents to: names, or all that is asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is \"all\" or a list of names")]
pub enum Accept {
    All(All),
    Names(Names),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

/// Hosts and secrets, asked for, granted or missing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Permissions {
    /// Hosts, with the methods used there.
    pub hosts: Vec<HostRequest>,
    /// Secrets, with where they go.
    pub secrets: Vec<SecretRequest>,
}

impl Accept {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Names(one), Self::Names(other)) => Self::Names(one.union(&other).cloned().collect()),
            _ => Self::All(All::All),
        }
    }

    /// The names that are meant. One that nobody asks for is an error: it may be misspelt.
    pub fn names(accept: Option<Self>, manifest: &Manifest) -> Result<Names> {
        let asked = asked(manifest);
        let names = match accept {
            None => return Ok(Names::new()),
            Some(Self::All(All::All)) => return Ok(asked),
            Some(Self::Names(names)) => names,
        };
        let Some(unknown) = names.difference(&asked).next() else { return Ok(names) };
        let list: Vec<_> = asked.iter().map(String::as_str).collect();
        let wishes = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        let reason = format!("the component does not ask for {unknown:?}; it asks for {wishes}");
        Err(Error::invalid_field("accept", reason))
    }
}

/// Refuses a version that asks for more than the one before, without consent to that.
pub fn check(old: &Manifest, new: &Manifest, accepted: &Names) -> Result<()> {
    let known = |request: &&HostRequest| old.hosts.iter().any(|before| covers(before, request));
    let before: Names = old.secrets.iter().map(secret).collect();
    let hosts = new.hosts.iter().filter(|request| !known(request)).map(host);
    let secrets = new.secrets.iter().map(secret).filter(|name| !before.contains(name));
    let more: Vec<_> = hosts.chain(secrets).filter(|name| !accepted.contains(name)).collect();
    if more.is_empty() {
        return Ok(());
    }
    let message = format!("The new version asks for more: {}. Consent with `accept`", more.join(", "));
    let details = more.into_iter().map(|name| Detail { field: "accept".into(), reason: name }).collect();
    Err(Error::Conflict(Problem::new("consent_required", message), details))
}

/// What of the consent to one version holds for the next: hosts with no more methods than before.
pub fn carried(old: &Manifest, accepted: &Names, new: &Manifest) -> Names {
    let granted = |request: &&HostRequest| {
        old.hosts.iter().any(|before| covers(before, request) && accepted.contains(&host(before)))
    };
    let hosts = new.hosts.iter().filter(granted).map(host);
    hosts.chain(new.secrets.iter().map(secret).filter(|name| accepted.contains(name))).collect()
}

/// Whether a wish goes no further than the one before: the same host, and no method more.
fn covers(before: &HostRequest, request: &HostRequest) -> bool {
    before.host == request.host && request.methods.iter().all(|method| before.methods.contains(method))
}

/// What is asked for, what of it is granted, and what is missing.
pub fn permissions(manifest: &Manifest, accepted: &Names) -> [Permissions; 3] {
    let (hosts, secrets) = (manifest.hosts.clone(), manifest.secrets.clone());
    let (granted, denied) =
        hosts.iter().cloned().partition(|request| is_public(&request.host) && accepted.contains(&host(request)));
    [
        Permissions { hosts, secrets: secrets.clone() },
        Permissions { hosts: granted, secrets: Vec::new() },
        // Secrets are granted by the vault alone, and there is none yet.
        Permissions { hosts: denied, secrets },
    ]
}

fn asked(manifest: &Manifest) -> Names {
    let hosts = manifest.hosts.iter().map(host);
    hosts.chain(manifest.secrets.iter().map(secret)).collect()
}

/// The name of a wish for a host.
pub fn host(request: &HostRequest) -> String {
    format!("host:{} {}", request.host, request.methods.join("+"))
}

/// The name of a wish for a secret.
pub fn secret(request: &SecretRequest) -> String {
    format!("secret:{} {} {}", request.name, request.place, request.hosts.join("+"))
}

/// Whether consent is enough for a host. One that lies in a private network, or that the
/// configuration names, takes more than that.
fn is_public(host: &str) -> bool {
    let private = ["localhost", "local", "internal", "home", "lan", "arpa"];
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let name = host.rsplit_once('.').is_some_and(|(_, last)| !private.contains(&last));
    name && !address && !host.starts_with("config:")
}
