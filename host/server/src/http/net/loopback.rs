//! Loopback trust: rules that admit programs on this machine without a token. Web pages, proxies on this machine
//! and the server's own components do not pass them.

use std::{net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, Method, Version, header, request::Parts};
use moxxy_system::tasks;
use moxxy_types::error::{Error, Result};
use tokio::sync::OnceCell;

use crate::http::net::{socket::SocketState, socket_owner};

/// The two ends of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub address: SocketAddr,
    local: SocketAddr,
    socket: SocketState,
    has_tls: bool,
    /// Whether the peer's socket belongs to the server's own user or to root. Looked up once.
    owner_trust: Arc<OnceCell<bool>>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr, socket: SocketState, has_tls: bool) -> Self {
        Self { address, local, socket, has_tls, owner_trust: Arc::default() }
    }

    /// Returns an error if the owner cannot be looked up now, for example without free file descriptors.
    async fn is_own(&self) -> Result<bool> {
        let (peer, local, socket) = (self.address, self.local, self.socket.clone());
        // The lookup can take long, so it runs as a blocking task. The state is read after it: once the peer has
        // disconnected, another program's socket can have its address.
        let lookup = move || socket_owner::is_trusted(peer, local).map(|trusted| trusted && socket.is_established());
        let lookup = || async move { tasks::blocking(lookup).await };
        let owner_trust = self.owner_trust.get_or_try_init(|| async { lookup().await?.map_err(Error::internal) }).await;
        owner_trust.copied().map_err(|error| {
            tracing::error!(error = ?error, "failed to look up the owner of a peer's socket");
            Error::unavailable("busy", "The server cannot find out now who calls it; try again")
        })
    }
}

/// Returns why a request is not trusted, or `None` if it is. The text completes the sentence «without a token only
/// programs of the server's own user are answered, and».
pub(crate) async fn loopback_rejection(parts: &Parts, listens_on_loopback: bool) -> Result<Option<&'static str>> {
    let Some(peer) = parts.extensions.get::<Peer>() else { return Ok(Some("this request's peer is unknown")) };
    Ok(if !listens_on_loopback {
        Some("this server listens to other machines too")
    } else if !peer.address.ip().to_canonical().is_loopback() {
        Some("this request comes from another machine")
    } else if !peer.is_own().await? {
        Some("this request comes from another user's program")
    } else {
        suspicious(parts, peer)
    })
}

/// Returns the first property of a request that a plain program on this machine would not send.
fn suspicious(parts: &Parts, peer: &Peer) -> Option<&'static str> {
    let (headers, host) = (&parts.headers, host(parts).and_then(|host| name_and_port(host, peer.has_tls)));
    if parts.version < Version::HTTP_11 {
        Some("this request is older than HTTP/1.1")
    } else if headers.keys().any(|name| is_forwarding(name.as_str())) {
        Some("this request was forwarded by a proxy")
    } else if !host.is_some_and(|(name, _)| is_loopback_name(name)) {
        Some("this request names another host")
    } else if host.and_then(|(_, port)| port.parse().ok()) != Some(peer.local.port()) {
        Some("this request names another port than the server's")
    } else if !is_without_page(headers, &parts.method) {
        Some("this request comes from a web page")
    } else {
        None
    }
}

fn is_forwarding(header: &str) -> bool {
    matches!(header, "forwarded" | "via" | "x-real-ip") || header.starts_with("x-forwarded-")
}

fn is_without_page(headers: &HeaderMap, method: &Method) -> bool {
    let fetch_site = headers.get("sec-fetch-site");
    let typed_in = *method == Method::GET && fetch_site.is_some_and(|site| site == "none");
    !headers.contains_key(header::ORIGIN) && (fetch_site.is_none() || typed_in)
}

/// Returns the host, if the request names exactly one.
fn host(parts: &Parts) -> Option<&str> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    let host = named.next()?.to_str().ok()?;
    let target = parts.uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    (named.next().is_none() && target).then_some(host)
}

/// Splits a host into name and port. Removes the brackets of an IPv6 address. An absent port is the scheme's default.
fn name_and_port(host: &str, has_tls: bool) -> Option<(&str, &str)> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, Some(port.strip_prefix(':')?)),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = port.unwrap_or(if has_tls { "443" } else { "80" });
    port.bytes().all(|b| b.is_ascii_digit()).then_some((name, port))
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::name_and_port;

    #[test]
    fn an_absent_port_is_the_schemes() {
        assert_eq!(name_and_port("localhost", false), Some(("localhost", "80")));
        assert_eq!(name_and_port("[::1]", true), Some(("::1", "443")));
        assert_eq!(name_and_port("[::1]:3000", true), Some(("::1", "3000")));
        assert_eq!(name_and_port("[::1]3000", false), None);
        assert_eq!(name_and_port("localhost:+80", false), None);
    }
}
