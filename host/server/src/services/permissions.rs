//! Consent: the permissions that a component requests, as text, and those that the operator accepted. Consent grants
//! public hosts. Secrets, and hosts with a port, which may be private, require `vault:write`; without it, consent to
//! them only lets an upgrade proceed.

use moxxy_egress::{Pattern, Target, configured, is_public};
use moxxy_runtime::{self as plugins, ANY_HOST};
use moxxy_types::{
    components::{HostRequest, Manifest, SecretRequest, World},
    error::{Detail, Error, Problem, Result},
    grants::Grant,
    host_port::HostPort,
    installations::Installation,
    permissions::{All, Names},
    tokens::{Principal, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Host;

/// Prefix of a destination that is reached without encryption.
pub const PLAIN_HTTP_PREFIX: &str = "http://";

/// What the operator consents to: names, or all that is asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it is \"all\" or a list of names")]
pub enum Accept {
    All(All),
    Names(Names),
}

/// Hosts and secrets, asked for or missing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Permissions {
    /// Hosts, with the methods used there.
    pub hosts: Vec<HostRequest>,
    /// Secrets, with where they go.
    pub secrets: Vec<SecretRequest>,
}

/// What of it a component has.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Granted")]
pub struct GrantedPermissions {
    /// Hosts, with the methods used there. One with a port is reached there alone, also by plain HTTP
    /// and at an address that is not public.
    pub hosts: Vec<HostRequest>,
    /// Grants of secrets that hold now.
    pub secrets: Vec<Grant>,
}

/// A requested host that the consent to it narrows, such as `host:docs.rs GET` where a component requests any host,
/// `host:nas.lan:8080 GET` where it requests `nas.lan`, or `host:api.example.com/repos/ada GET` where it requests all
/// of `api.example.com`.
#[derive(Debug)]
pub struct NarrowedHost<'a> {
    pub requested: &'a HostRequest,
    /// The narrowed request: the host, with port and path if there are any.
    pub request: HostRequest,
    /// The host without its path.
    pub host: String,
    /// Host and port, if it has a port.
    pub peer: Option<HostPort>,
    /// Path that requests must be below, if they are restricted to one.
    pub path: Option<String>,
}

impl Accept {
    /// Returns the union of both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Names(one), Self::Names(other)) => Self::Names(one.union(&other).cloned().collect()),
            _ => Self::All(All::All),
        }
    }

    /// Returns the accepted permissions that `principal` may accept. One that the component does not request is an
    /// error, because it may be misspelt.
    pub fn resolve(accept: Option<Self>, manifest: &Manifest, principal: &Principal) -> Result<Names> {
        let mut names = Self::named_or_all(accept, manifest)?;
        if !principal.may(Scope::VaultWrite) {
            names.retain(|name| narrowed_host(manifest, name).is_none_or(|opening| opening.peer.is_none()));
        }
        Ok(names)
    }

    /// Returns an error if a listed permission is one that `principal` may not accept.
    pub fn check_scope(accept: Option<&Self>, manifest: &Manifest, principal: &Principal) -> Result<()> {
        let Some(Self::Names(names)) = accept else { return Ok(()) };
        let trusted = |name: &&String| {
            name.starts_with("secret:") || narrowed_host(manifest, name).is_some_and(|opening| opening.peer.is_some())
        };
        match names.iter().find(trusted) {
            None => Ok(()),
            Some(name) => principal.require(Scope::VaultWrite, &format!("You consent to '{name}'")),
        }
    }

    /// Replaces permissions for `config:NAME` hosts, and `all`, by those for the hosts in the configuration.
    pub fn resolve_configured(self, manifest: &Manifest, config: &Map<String, Value>) -> Self {
        let at_place = |request: &HostRequest| {
            let peer = configured::host_and_port(request, config)?;
            let public = is_public(&peer.host.to_string());
            let request = HostRequest { host: peer.host.to_string(), ..request.clone() };
            Some(if public { host_permission(&request) } else { host_permission_at(&request, &peer) })
        };
        match self {
            Self::All(_) => {
                let places = manifest.hosts.iter().filter_map(at_place);
                Self::Names(
                    requested_names(&with_configured_hosts(manifest, config)).into_iter().chain(places).collect(),
                )
            }
            Self::Names(names) => {
                let known = |name: String| {
                    let wish = manifest.hosts.iter().find(|request| host_permission(request) == name);
                    wish.and_then(at_place).unwrap_or(name)
                };
                Self::Names(names.into_iter().map(known).collect())
            }
        }
    }

    fn named_or_all(accept: Option<Self>, manifest: &Manifest) -> Result<Names> {
        let asked = requested_names(manifest);
        let names = match accept {
            None => return Ok(Names::new()),
            Some(Self::All(All::All)) => return Ok(asked),
            Some(Self::Names(names)) => names,
        };
        let unknown = |name: &&String| narrowed_host(manifest, name).is_none();
        let Some(unknown) = names.difference(&asked).find(unknown) else { return Ok(names) };
        let list: Vec<_> = asked.iter().map(String::as_str).collect();
        let wishes = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        let hint = match list.iter().any(|name| name.starts_with("host:*")) {
            true => {
                "; of any host, name those you mean, such as `host:docs.rs GET`, with a port where they are not public"
            }
            false => "",
        };
        let reason = format!("the component does not ask for {unknown:?}; it asks for {wishes}{hint}");
        Err(Error::invalid_field("accept", reason))
    }
}

/// Returns an error if a version requests more than the previous one without consent to it.
pub fn check_consent(old: &Manifest, new: &Manifest, accepted: &Names) -> Result<()> {
    let known = |request: &&HostRequest| old.hosts.iter().any(|before| includes(before, request));
    let before: Names = old.secrets.iter().map(secret_permission).collect();
    let hosts = new.hosts.iter().filter(|request| !known(request)).map(host_permission);
    let secrets = new.secrets.iter().map(secret_permission).filter(|name| !before.contains(name));
    let narrowed: Names = narrowed_hosts(new, accepted).map(|opening| host_permission(opening.requested)).collect();
    let open = |name: &String| !accepted.contains(name) && !narrowed.contains(name);
    let more: Vec<_> = hosts.chain(secrets).filter(open).collect();
    if more.is_empty() {
        return Ok(());
    }
    let message = format!("The new version asks for more: {}. Consent with `accept`", more.join(", "));
    let details = more.into_iter().map(|name| Detail::field("accept", name)).collect();
    Err(Error::Conflict(Problem::new("consent_required", message), details))
}

/// Returns the part of the consent to one version that applies to the next: hosts without additional methods, and
/// unchanged secrets.
pub fn carried_over(old: &Manifest, accepted: &Names, new: &Manifest) -> Names {
    let granted = |request: &&HostRequest| {
        old.hosts.iter().any(|before| includes(before, request) && accepted.contains(&host_permission(before)))
    };
    let hosts = new.hosts.iter().filter(granted).map(host_permission);
    let named = accepted
        .iter()
        .filter(|name| narrowed_host(old, name).is_some() && narrowed_host(new, name).is_some())
        .cloned();
    hosts.chain(named).chain(new.secrets.iter().map(secret_permission).filter(|name| accepted.contains(name))).collect()
}

/// Whether a request goes no further than the previous one: the same host, and no additional methods.
fn includes(before: &HostRequest, request: &HostRequest) -> bool {
    before.host == request.host && request.methods.iter().all(|method| before.methods.contains(method))
}

/// Returns the requested, granted and missing permissions at the time `now`. Every component may also reach its
/// granted hosts at `private` addresses.
fn summarize(
    manifest: &Manifest,
    accepted: &Names,
    grants: &[Grant],
    now: &str,
    private: &[HostPort],
) -> (Permissions, GrantedPermissions, Permissions) {
    let (asked, secrets) = (manifest.hosts.clone(), manifest.secrets.clone());
    let opened: Vec<_> = narrowed_hosts(manifest, accepted).collect();
    let placed = |request: &HostRequest| private.iter().any(|peer| is_at(request, peer));
    let granted = |request: &&HostRequest| {
        accepted.contains(&host_permission(request)) && (is_public(&request.host) || placed(request))
    };
    let narrowed = |request: &HostRequest| opened.iter().any(|opening| opening.requested == request);
    let denied = asked.iter().filter(|request| !granted(request) && !narrowed(request)).cloned().collect();
    let reached = asked.iter().filter(granted).cloned();
    let hosts = reached.chain(opened.iter().map(|opening| opening.request.clone())).collect();
    let held: Vec<_> = grants.iter().filter(|grant| grant.is_usable(now)).cloned().collect();
    let lacking = |wish: &&SecretRequest| !held.iter().any(|grant| grant.name.as_str() == wish.name);
    let missing = Permissions { hosts: denied, secrets: secrets.iter().filter(lacking).cloned().collect() };
    (Permissions { hosts: asked, secrets }, GrantedPermissions { hosts, secrets: held }, missing)
}

/// Returns the requested hosts that the consent to them narrows.
pub fn narrowed_hosts<'a>(manifest: &'a Manifest, accepted: &'a Names) -> impl Iterator<Item = NarrowedHost<'a>> + 'a {
    accepted.iter().filter_map(|name| narrowed_host(manifest, name))
}

/// Parses a permission that narrows a requested host. Returns `None` for the permission of a whole request.
fn narrowed_host<'a>(manifest: &'a Manifest, name: &str) -> Option<NarrowedHost<'a>> {
    let (place, methods) = name.strip_prefix("host:")?.split_once(' ')?;
    let methods: Vec<_> = methods.split('+').map(str::to_owned).collect();
    let (pattern, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let path = (!path.is_empty()).then_some(path);
    if path.is_some_and(|path| !is_path(path)) {
        return None;
    }
    let peer = HostPort::try_from(pattern.to_owned()).ok().filter(|peer| peer.to_string() == pattern);
    let some = pattern != ANY_HOST && plugins::host_pattern(pattern).is_ok_and(|small| small == pattern);
    let fits = |request: &&HostRequest| {
        let host = match &peer {
            Some(peer) => request.host == ANY_HOST || is_at(request, peer),
            None if request.host == ANY_HOST => some && is_public(pattern.trim_start_matches("*.")),
            None => request.host == pattern && is_public(pattern),
        };
        host && methods.iter().all(|method| request.methods.contains(method))
    };
    if manifest.hosts.iter().any(|request| host_permission(request) == name) {
        return None;
    }
    let wish = manifest.hosts.iter().find(fits)?;
    let request = HostRequest { host: place.to_owned(), methods, reason: wish.reason.clone() };
    Some(NarrowedHost { requested: wish, request, host: pattern.to_owned(), peer, path: path.map(str::to_owned) })
}

/// Whether requests can be below a path: it must be in the normal form of a URL, without encoded slashes.
fn is_path(path: &str) -> bool {
    let target = Target::parse(&format!("https://host.example{path}"));
    target.is_ok_and(|target| target.url().path() == path && !target.has_encoded_slashes())
}

/// Whether a requested host matches `peer`.
pub fn is_at(request: &HostRequest, peer: &HostPort) -> bool {
    Pattern::parse(&request.host).is_some_and(|pattern| pattern.matches(&peer.host()))
}

/// Returns the manifest of a configured component: `config:NAME` hosts are replaced by those in the configuration.
pub fn with_configured_hosts(manifest: &Manifest, config: &Map<String, Value>) -> Manifest {
    let mut manifest = manifest.clone();
    for request in &mut manifest.hosts {
        if let Some(origin) = request.host.strip_prefix("config:").and_then(|option| configured::origin(option, config))
        {
            request.host = origin.host().to_string();
        }
    }
    manifest
}

/// Returns the consent that a given configuration implies: for a skill to the public hosts in it, as the installation
/// of a provider is consent to those; and with `vault:write` to the hosts that are not public.
pub fn implied_by_config(
    kind: World,
    manifest: &Manifest,
    config: &Map<String, Value>,
    principal: &Principal,
) -> Names {
    let named = |request: &HostRequest| {
        let peer = configured::host_and_port(request, config)?;
        let host = peer.host.to_string();
        match is_public(&host) {
            true => (kind == World::Skill).then(|| host_permission(&HostRequest { host, ..request.clone() })),
            false => principal.may(Scope::VaultWrite).then(|| host_permission_at(request, &peer)),
        }
    };
    manifest.hosts.iter().filter_map(named).collect()
}

/// Returns what an installation requests, has and lacks at the time `now`. `private`: private addresses that are open
/// to every component.
pub fn summarize_installation(
    installation: &Installation,
    now: &str,
    private: &[HostPort],
) -> (Permissions, GrantedPermissions, Permissions) {
    let (manifest, config) = (&installation.component.manifest, &installation.config);
    let resolved = with_configured_hosts(manifest, config);
    // For a configured host, only the configured port counts.
    let configured = |request| configured::host_and_port(request, config);
    let configured: Vec<_> = manifest.hosts.iter().filter_map(configured).collect();
    let counts = |peer: &&HostPort| configured.contains(peer) || !configured.iter().any(|own| own.host == peer.host);
    let private: Vec<_> = private.iter().filter(counts).cloned().collect();
    let mut accepted = installation.accepted.clone();
    if installation.kind == World::Provider {
        // Installing a provider is consent to its public hosts.
        accepted.extend(resolved.hosts.iter().map(host_permission));
    }
    let (_, granted, mut missing) = summarize(&resolved, &accepted, &installation.grants, now, &private);
    // As the manifest requests them, with `config:NAME` unresolved.
    let wishes = manifest.hosts.iter().zip(&resolved.hosts);
    let lacking = |(_, wish): &(&HostRequest, &HostRequest)| missing.hosts.contains(wish);
    missing.hosts = wishes.filter(lacking).map(|(wish, _)| wish.clone()).collect();
    let asked = Permissions { hosts: manifest.hosts.clone(), secrets: manifest.secrets.clone() };
    (asked, granted, missing)
}

/// Returns the destination of a secret for this origin, in the notation of grants: the host, by HTTPS. On this
/// machine it may also be one port by plain HTTP.
pub fn destination(origin: &Target) -> String {
    let here = match origin.host() {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if here && !origin.is_https() {
        format!("{PLAIN_HTTP_PREFIX}{}", origin.authority())
    } else {
        origin.host().to_string()
    }
}

/// Returns the accepted permissions that still match a request, with this configuration.
pub fn retain_requested(accepted: Names, manifest: &Manifest, config: &Map<String, Value>) -> Names {
    let resolved = with_configured_hosts(manifest, config);
    let asked = requested_names(&resolved);
    let is_there = |opening: &NarrowedHost<'_>| {
        let mut wishes = manifest.hosts.iter().zip(&resolved.hosts).filter(|(_, wish)| *wish == opening.requested);
        // A configured host has exactly one port.
        wishes.any(|(wish, _)| {
            !wish.host.starts_with("config:") || configured::host_and_port(wish, config) == opening.peer
        })
    };
    let fits = |name: &String| asked.contains(name) || narrowed_host(&resolved, name).as_ref().is_some_and(is_there);
    accepted.into_iter().filter(fits).collect()
}

fn requested_names(manifest: &Manifest) -> Names {
    let hosts = manifest.hosts.iter().map(host_permission);
    hosts.chain(manifest.secrets.iter().map(secret_permission)).collect()
}

/// Whether a component requests a part of what a permission of another version is about, and lacks consent to it.
pub fn is_revoked(manifest: &Manifest, accepted: &Names, name: &str) -> bool {
    let Some((place, methods)) = name.strip_prefix("host:").and_then(|name| name.split_once(' ')) else {
        return !accepted.contains(name) && requested_names(manifest).contains(name);
    };
    methods.split('+').any(|method| {
        let part = format!("host:{place} {method}");
        let is_whole = |request: &HostRequest| request.host == place && request.methods.iter().any(|one| one == method);
        let requested = manifest.hosts.iter().any(is_whole) || narrowed_host(manifest, &part).is_some();
        let covers = |other: &String| {
            other
                .strip_prefix("host:")
                .and_then(|other| other.split_once(' '))
                .is_some_and(|(at, allowed)| at == place && allowed.split('+').any(|one| one == method))
        };
        requested && !accepted.iter().any(covers)
    })
}

/// Whether a permission is one to a host that is not public, which requires `vault:write`.
pub fn is_privileged(manifest: &Manifest, name: &str) -> bool {
    narrowed_host(manifest, name).is_some_and(|narrowed| narrowed.peer.is_some())
}

/// Returns the permission for a requested host.
pub fn host_permission(request: &HostRequest) -> String {
    format!("host:{} {}", request.host, request.methods.join("+"))
}

/// Returns the permission for a requested host at one host and port.
pub fn host_permission_at(request: &HostRequest, peer: &HostPort) -> String {
    host_permission(&HostRequest { host: peer.to_string(), ..request.clone() })
}

/// Returns the permission for a requested secret.
pub fn secret_permission(request: &SecretRequest) -> String {
    format!("secret:{} {} {}", request.name, request.place, request.hosts.join("+"))
}
