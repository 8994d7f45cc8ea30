//! Resolution of the server's address, the trusted certificates and the token.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use moxxy_server::config::{self, Config, Remote};
use reqwest::{Certificate, Url, header::HeaderValue, redirect::Policy};
use secrecy::ExposeSecret as _;

use super::{
    Options,
    failure::{CliResult, Exit, Failure},
};

const CONNECTING: Duration = Duration::from_secs(10);

/// Configured HTTP client, server address and token.
pub(crate) struct Connection {
    pub http: reqwest::Client,
    pub url: Url,
    /// Value of the `Authorization` header.
    pub token: Option<HeaderValue>,
}

pub(crate) fn prepare(options: &Options) -> CliResult<Connection> {
    let Remote { url, token, ca } = Remote::load()?;
    let url = address(options, url)?;
    let token = match &options.token_file {
        Some(file) => Some(config::token_in(file)?),
        None => token,
    };
    let token = token.as_ref().map(|token| bearer(token.expose_secret())).transpose()?;
    if token.is_some() && url.scheme() == "http" && !is_loopback(&url) {
        options.terminal().print_status("moxxy: the token goes over the network unencrypted; use an https address");
    }
    let http = connector(&url, options.ca.as_deref().or(ca.as_deref()))?;
    Ok(Connection { http, url, token })
}

/// Returns whether the address is on this machine, so that the traffic does not leave it.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(loopback)
}

/// Resolves the server's address: the flags, then the environment, then the server on this machine.
fn address(options: &Options, variable: Option<String>) -> CliResult<Url> {
    let (named, by) = match (&options.url, options.port) {
        (Some(url), _) => (Some(url.clone()), "--url"),
        (None, Some(_)) => (None, ""),
        (None, None) => (variable, "MOXXY_URL"),
    };
    let url = match named {
        Some(url) => url,
        None => {
            let server = Config::load(&options.flags())?.server;
            let scheme = if server.tls_certificate.as_os_str().is_empty() { "http" } else { "https" };
            let host = SocketAddr::new(reachable_address(server.listen), server.port);
            format!("{scheme}://{host}")
        }
    };
    let wrong = |why: &str| Failure::usage(format!("{by} is not the address of a server: {why}"));
    let parsed = Url::parse(&url).map_err(|e| wrong(&e.to_string()))?;
    match parsed.scheme() {
        "http" | "https" if parsed.username().is_empty() && parsed.password().is_none() => Ok(parsed),
        "http" | "https" => Err(wrong("a token goes into MOXXY_TOKEN, not into the address")),
        _ => Err(wrong("it begins with http:// or https://")),
    }
}

fn bearer(token: &str) -> CliResult<HeaderValue> {
    let wrong = |_| Failure::usage("The token has characters that no token has; look at MOXXY_TOKEN or --token-file");
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

fn connector(url: &Url, ca: Option<&Path>) -> CliResult<reqwest::Client> {
    // Fails if the process has already installed one.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A proxy would turn a local request into a forwarded one, which the server rejects. A Moxxy server never
    // redirects.
    let builder = reqwest::Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(CONNECTING);
    let builder = match ca {
        Some(file) => builder.tls_certs_only(authorities(file)?),
        // Plain HTTP needs no certificates, and the system may have none.
        None if url.scheme() == "http" => builder.tls_certs_only([]),
        None => builder,
    };
    builder.build().map_err(|error| {
        let message = format!("Cannot prepare an encrypted connection: {}", innermost(&error));
        Failure::new(Exit::Failed, "tls", message).advise("--ca FILE names the certificate of the authority to trust.")
    })
}

fn authorities(file: &Path) -> CliResult<Vec<Certificate>> {
    let wrong = |why: &str| Failure::usage(format!("--ca or MOXXY_CA: {}: {why}", file.display()));
    let pem = fs::read(file).map_err(|e| wrong(&e.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&innermost(&e)))?;
    if certificates.is_empty() { Err(wrong("there is no certificate in it")) } else { Ok(certificates) }
}

/// Returns the address at which this machine reaches a listener.
pub(crate) fn reachable_address(listens: IpAddr) -> IpAddr {
    match listens {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Returns the innermost source of an error as text.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
