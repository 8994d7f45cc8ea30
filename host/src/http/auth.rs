//! Who may do what: each handler names the scope that it needs in its signature. There are no
//! tokens yet; loopback trust decides alone.

use std::{marker::PhantomData, net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, connect_info::Connected},
    http::{HeaderMap, Method, StatusCode, Version, header, request::Parts},
    serve::IncomingStream,
};
use tokio::{net::TcpListener, sync::OnceCell};

use super::{answer::Answer, owner};
use crate::{app::App, error::Error, tasks};

/// A caller that may use the scope `S`.
#[derive(Debug)]
pub struct Caller<S>(PhantomData<S>);

/// A permission, by the name that tokens carry.
pub trait Scope {
    const NAME: &'static str;
}

macro_rules! scopes {
    ($($scope:ident = $name:literal),* $(,)?) => {
        $(
            #[derive(Debug)]
            pub struct $scope;
            impl Scope for $scope {
                const NAME: &'static str = $name;
            }
        )*
    };
}

scopes! {
    AgentsRead = "agents:read",
    AgentsWrite = "agents:write",
    RunsWrite = "runs:write",
    EventsRead = "events:read",
}

/// The two ends of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    address: SocketAddr,
    local: Option<SocketAddr>,
    /// Whether the peer's socket belongs to the server's own user or to root: looked up once.
    own: Arc<OnceCell<bool>>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), local: stream.io().local_addr().ok(), own: Arc::default() }
    }
}

impl Peer {
    /// An error where the system cannot say now, for want of open files perhaps.
    async fn is_own(&self) -> Result<bool, Error> {
        let Some(local) = self.local else { return Ok(false) };
        let peer = self.address;
        // The tables can be long.
        let look = || async move { tasks::blocking(move || owner::is_trusted(peer, local)).await };
        let own = self.own.get_or_try_init(|| async { look().await?.map_err(Error::internal) }).await;
        Ok(*own.map_err(|error| {
            tracing::error!(error = ?error, "whose program calls cannot be found out");
            Error::unavailable("busy", "The server cannot find out now who calls it; try again")
        })?)
    }
}

impl<S: Scope> FromRequestParts<App> for Caller<S> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Answer> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(denied("The token is not known here"));
        }
        let trusted = match ConnectInfo::<Peer>::from_request_parts(parts, app).await {
            Ok(ConnectInfo(peer)) => local(parts, &peer, peer.is_own().await?),
            Err(_) => Err("its peer is unknown"),
        };
        match trusted {
            Ok(()) => Ok(Self(PhantomData)),
            Err(why) => {
                tracing::info!(scope = S::NAME, why, "a request was refused");
                Err(denied(&format!("This server answers only programs of its own user on this machine, and {why}")))
            }
        }
    }
}

/// The rules of loopback trust. Neither a web page, nor a proxy on this machine, nor one of our
/// own components passes them. The error continues the sentence «this request is refused, and».
fn local(parts: &Parts, peer: &Peer, own: bool) -> Result<(), &'static str> {
    let headers = &parts.headers;
    if !peer.address.ip().to_canonical().is_loopback() {
        return Err("this request comes from another machine");
    }
    if !own {
        return Err("this request comes from another user's program");
    }
    if parts.version < Version::HTTP_11 {
        return Err("this request is older than HTTP/1.1");
    }
    if headers.keys().any(|name| forwarding(name.as_str())) {
        return Err("this request was forwarded by a proxy");
    }
    if !host(parts).is_some_and(is_loopback_name) {
        return Err("this request names another host");
    }
    if !without_page(headers, &parts.method) {
        return Err("this request comes from a web page");
    }
    Ok(())
}

fn forwarding(header: &str) -> bool {
    matches!(header, "forwarded" | "via" | "x-real-ip") || header.starts_with("x-forwarded-")
}

fn without_page(headers: &HeaderMap, method: &Method) -> bool {
    let fetch_site = headers.get("sec-fetch-site");
    let typed_in = *method == Method::GET && fetch_site.is_some_and(|site| site == "none");
    !headers.contains_key(header::ORIGIN) && (fetch_site.is_none() || typed_in)
}

/// The one host that the request names.
fn host(parts: &Parts) -> Option<&str> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    let host = named.next()?.to_str().ok()?;
    let target = parts.uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    (named.next().is_none() && target).then_some(host)
}

fn is_loopback_name(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    port && name
}

fn denied(message: &str) -> Answer {
    Answer::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
}
