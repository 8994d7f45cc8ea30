//! Consent: what a component asks for, by name, and what of it the operator agreed to. Hosts are
//! granted by it. A secret is not: consent only lets an upgrade that asks for one go on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Detail, Error, Problem, Result},
    plugins::{HostRequest, Manifest, SecretRequest},
};

/// Names such as `host:api.example.com GET+POST`. How a host is used and where a secret may go are
/// part of the wish.
pub type Names = BTreeSet<String>;

/// What the operator consents to: names, or all that is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "it is \"all\" or a list of names")]
pub enum Accept {
    All(All),
    Names(Names),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

/// Hosts and secrets, asked for, granted or missing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Permissions {
    pub hosts: Vec<HostRequest>,
    pub secrets: Vec<SecretRequest>,
}

impl Accept {
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
    let more: Vec<_> = asked(new).difference(&asked(old)).filter(|name| !accepted.contains(*name)).cloned().collect();
    if more.is_empty() {
        return Ok(());
    }
    let message = format!("The new version asks for more: {}. Consent with `accept`", more.join(", "));
    let details = more.into_iter().map(|name| Detail { field: "accept".into(), reason: name }).collect();
    Err(Error::Conflict(Problem::new("consent_required", message), details))
}

/// What is asked for, what of it is granted, and what is missing.
pub fn permissions(manifest: &Manifest, accepted: &Names) -> [Permissions; 3] {
    let (hosts, secrets) = (manifest.hosts.clone(), manifest.secrets.clone());
    let (granted, denied) = hosts.iter().cloned().partition(|request| accepted.contains(&host(request)));
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

fn host(request: &HostRequest) -> String {
    format!("host:{} {}", request.host, request.methods.join("+")).trim_end().to_owned()
}

fn secret(request: &SecretRequest) -> String {
    format!("secret:{} {} {}", request.name, request.place, request.hosts.join("+")).trim_end().to_owned()
}
