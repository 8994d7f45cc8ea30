//! A host with a port, such as `127.0.0.1:11434`.

use std::fmt;

use serde::Deserialize;
use url::Host;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    pub host: Host,
    pub port: u16,
}

impl HostPort {
    pub fn host(&self) -> Host<&str> {
        match &self.host {
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for HostPort {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (host, port) = text.rsplit_once(':').ok_or("a host needs a port, as in 127.0.0.1:11434")?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or("a port is 1 to 65535")?;
        // A name with a `*` would stand for several hosts.
        let host = Host::parse(host).ok().filter(|host| !matches!(host, Host::Domain(name) if name.contains('*')));
        Ok(Self { host: host.ok_or("a host is a name, an IPv4 address, or an IPv6 address in brackets")?, port })
    }
}
