//! Connector: resolves a name once, checks every address and connects to checked addresses only.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use moxxy_system::{tasks, timeout::timeout_at};
use moxxy_types::error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::OnceCell,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use url::Host;

use super::{
    address::AddressClass,
    error::{Error, Refusal},
    rule::Rule,
    target::Target,
};
use crate::{Options, Resolver};

/// Maximum number of addresses tried per name.
const MAX_ADDRESSES_TRIED: usize = 4;

/// Opens connections.
pub(crate) struct Connector {
    resolver: Option<Resolver>,
    /// Certificate authorities from `egress.ca`, in addition to the system's.
    extra_authorities: Vec<CertificateDer<'static>>,
    tls: OnceCell<TlsConnector>,
    /// This server's own listeners.
    own_listeners: RwLock<Vec<SocketAddr>>,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An address that passed the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckedAddress {
    address: SocketAddr,
    pub private: bool,
}

impl Connector {
    pub(crate) fn new(config: &Options) -> error::Result<Self> {
        let extra_authorities = load_authorities(&config.ca)?;
        Ok(Self {
            resolver: config.resolver,
            extra_authorities,
            tls: OnceCell::new(),
            own_listeners: RwLock::default(),
        })
    }

    /// Blocks all connections to this listener.
    pub(crate) fn block_listener(&self, listener: SocketAddr) {
        self.own_listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Resolves a target. If any of its addresses is not allowed, the whole target is refused.
    pub(crate) async fn resolve(
        &self,
        target: &Target,
        rule: &Rule,
        until: Instant,
    ) -> Result<Vec<CheckedAddress>, Error> {
        let addresses = match target.host() {
            Host::Ipv4(address) => vec![(address, 0).into()],
            Host::Ipv6(address) => vec![(address, 0).into()],
            Host::Domain(name) => timeout_at(until, self.lookup(name))
                .await
                .unwrap_or_else(|_| Err(Error::UnresolvedName(name.into())))?,
        };
        addresses.into_iter().map(|address| Ok(self.check(address, target, rule)?)).collect()
    }

    /// Refuses targets that name one of this server's own listeners literally. Runs first, so that the error
    /// does not advise how to reach them.
    pub(crate) fn refuse_own_listener(&self, target: &Target) -> Result<(), Refusal> {
        let addresses: Vec<IpAddr> = match target.host() {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Domain(_) => Vec::new(),
        };
        match addresses.into_iter().any(|address| self.is_own(SocketAddr::new(address, target.port()))) {
            true => Err(Refusal::OwnListener(target.authority())),
            false => Ok(()),
        }
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let own = self.own_listeners.read().unwrap_or_else(PoisonError::into_inner);
        own.iter().any(|listener| reaches(address, *listener))
    }

    async fn lookup(&self, name: &str) -> Result<Vec<SocketAddr>, Error> {
        let unknown = || Error::UnresolvedName(name.to_owned());
        let found = match self.resolver {
            Some(resolver) => resolver(name),
            None => lookup_host((name, 0)).await.map_err(|_| unknown())?.collect(),
        };
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }

    fn check(&self, found: SocketAddr, target: &Target, rule: &Rule) -> Result<CheckedAddress, Refusal> {
        let address = found.ip();
        let class = AddressClass::classify(address);
        if let Some(class) = class.filter(|class| !(rule.allows_private() && class.can_be_allowed())) {
            return Err(Refusal::Address { host: target.authority(), address, class, advice: rule.advice_for(target) });
        }
        let port = if found.port() == 0 { target.port() } else { found.port() };
        let address = SocketAddr::new(address, port);
        match self.is_own(address) {
            true => Err(Refusal::OwnListener(target.authority())),
            false => Ok(CheckedAddress { address, private: class.is_some() }),
        }
    }

    /// Connects to the first of these addresses that answers.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        addresses: &[CheckedAddress],
        until: Instant,
    ) -> Result<(Box<dyn Stream>, bool), Error> {
        let unreachable = |reason: String| Error::Unreachable { host: target.authority(), reason };
        let mut last_error = unreachable("there is no address".into());
        let tried = addresses.iter().take(MAX_ADDRESSES_TRIED);
        for (index, checked) in tried.clone().enumerate() {
            // Split the remaining time, so that one silent address does not use up the time of the others.
            let addresses_left = tried.len().saturating_sub(index).max(1);
            let attempt_timeout =
                until.saturating_duration_since(Instant::now()) / u32::try_from(addresses_left).unwrap_or(1);
            match timeout_at(Instant::now() + attempt_timeout, TcpStream::connect(checked.address)).await {
                Ok(Ok(stream)) => return Ok((self.encrypt(stream, target, until).await?, checked.private)),
                Ok(Err(error)) => last_error = unreachable(error.to_string()),
                Err(_) => last_error = unreachable("it does not answer".into()),
            }
        }
        Err(last_error)
    }

    async fn encrypt(&self, stream: TcpStream, target: &Target, until: Instant) -> Result<Box<dyn Stream>, Error> {
        // Best effort: without it, sending is only slower.
        drop(stream.set_nodelay(true));
        if !target.is_https() {
            return Ok(Box::new(stream));
        }
        let failed = |reason: String, certificate| Error::Tls { host: target.authority(), reason, certificate };
        let name = match target.host() {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|e| failed(e.to_string(), false))?,
            Host::Ipv4(address) => ServerName::from(IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::from(address)),
        };
        let tls = self.tls.get_or_try_init(|| self.tls_connector()).await.map_err(|e| failed(e.to_string(), false))?;
        match timeout_at(until, tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => {
                let certificate = error.to_string().contains("certificate");
                Err(failed(error.to_string(), certificate))
            }
            Err(_) => Err(failed("it does not answer".into(), false)),
        }
    }

    /// Builds a TLS connector that trusts the system's and the operator's certificate authorities.
    async fn tls_connector(&self) -> error::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        // The system may have hundreds of certificate files.
        let system = tasks::blocking(rustls_native_certs::load_native_certs).await?;
        roots.add_parsable_certificates(system.certs.into_iter().chain(self.extra_authorities.clone()));
        if roots.is_empty() {
            tracing::error!(
                "no certificate authority is trusted: install the system's certificates or set `egress.ca`"
            );
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(error::Error::internal)?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn load_authorities(file: &Path) -> error::Result<Vec<CertificateDer<'static>>> {
    if file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |why: &dyn std::fmt::Display| {
        let message = format!("`egress.ca` is {}, which cannot be used: {why}", file.display());
        error::Error::invalid("invalid_configuration", message)
    };
    let pem = fs::read(file).map_err(|error| invalid(&error))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| invalid(&error))?;
    if found.is_empty() { Err(invalid(&"there is no certificate in it")) } else { Ok(found) }
}

/// Whether connecting to this address reaches this listener.
fn reaches(address: SocketAddr, listener: SocketAddr) -> bool {
    let (to, own) = (address.ip().to_canonical(), listener.ip().to_canonical());
    address.port() == listener.port() && (to == own || (own.is_unspecified() && is_local_address(to)))
}

/// Whether an address belongs to this machine. A socket binds only to local addresses.
fn is_local_address(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_by_its_addresses() {
        let cases = [
            ("127.0.0.1:3000", "127.0.0.1:3000", true),
            ("127.0.0.1:3000", "127.0.0.1:3001", false),
            ("127.0.0.2:3000", "127.0.0.1:3000", false),
            ("127.0.0.2:3000", "0.0.0.0:3000", true),
            ("[::1]:3000", "[::]:3000", true),
            ("127.0.0.1:3000", "[::]:3000", true),
            ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000", true),
            ("192.0.2.1:3000", "0.0.0.0:3000", false),
        ];
        for (address, listener, expected) in cases {
            assert_eq!(reaches(address.parse().unwrap(), listener.parse().unwrap()), expected, "{address} {listener}");
        }
    }
}
