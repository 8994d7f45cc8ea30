//! Classification of IP addresses. Addresses of every non-public class are blocked unless a rule allows them.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv6Net};
use strum::IntoStaticStr;

/// A class of non-public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(const_into_str)]
pub enum AddressClass {
    #[strum(serialize = "an unspecified address")]
    Unspecified,
    #[strum(serialize = "a loopback address")]
    Loopback,
    #[strum(serialize = "a private address")]
    Private,
    #[strum(serialize = "a link-local address")]
    LinkLocal,
    #[strum(serialize = "the address of a cloud's metadata")]
    Metadata,
    #[strum(serialize = "an address behind a provider's NAT")]
    CarrierNat,
    #[strum(serialize = "a multicast address")]
    Multicast,
    #[strum(serialize = "a broadcast address")]
    Broadcast,
    #[strum(serialize = "a reserved address")]
    Reserved,
    #[strum(serialize = "an address for documentation")]
    Documentation,
    #[strum(serialize = "an address for benchmarks")]
    Benchmark,
    /// An IPv6 address that embeds an IPv4 address or belongs to a translator or a tunnel.
    #[strum(serialize = "an IPv6 address that stands for another one")]
    Embedded,
    #[strum(serialize = "a unique local address")]
    UniqueLocal,
    #[strum(serialize = "a site-local address")]
    SiteLocal,
}

/// Networks and their classes. The first network that contains an address determines its class.
const NETWORKS: [(&str, AddressClass); 52] = [
    ("0.0.0.0/32", AddressClass::Unspecified),
    ("0.0.0.0/8", AddressClass::Reserved),
    ("10.0.0.0/8", AddressClass::Private),
    ("100.100.100.200/32", AddressClass::Metadata),
    ("100.64.0.0/10", AddressClass::CarrierNat),
    ("127.0.0.0/8", AddressClass::Loopback),
    ("168.63.129.16/32", AddressClass::Metadata),
    ("169.254.169.254/32", AddressClass::Metadata),
    ("169.254.170.2/32", AddressClass::Metadata),
    ("169.254.170.23/32", AddressClass::Metadata),
    ("169.254.0.0/16", AddressClass::LinkLocal),
    ("172.16.0.0/12", AddressClass::Private),
    ("192.0.0.192/32", AddressClass::Metadata),
    ("192.0.0.0/24", AddressClass::Reserved),
    ("192.0.2.0/24", AddressClass::Documentation),
    ("192.88.99.0/24", AddressClass::Reserved),
    ("192.168.0.0/16", AddressClass::Private),
    ("198.18.0.0/15", AddressClass::Benchmark),
    ("198.51.100.0/24", AddressClass::Documentation),
    ("203.0.113.0/24", AddressClass::Documentation),
    ("224.0.0.0/4", AddressClass::Multicast),
    ("255.255.255.255/32", AddressClass::Broadcast),
    ("240.0.0.0/4", AddressClass::Reserved),
    ("::/128", AddressClass::Unspecified),
    ("::1/128", AddressClass::Loopback),
    // IPv4-mapped, IPv4-translated, IPv4-compatible.
    ("::ffff:0:0/96", AddressClass::Embedded),
    ("::ffff:0:0:0/96", AddressClass::Embedded),
    ("::/96", AddressClass::Embedded),
    // Local-use NAT64. Only the local network knows the position of the embedded IPv4 address.
    ("64:ff9b:1::/48", AddressClass::Embedded),
    // Teredo; 6to4 is below.
    ("2001::/32", AddressClass::Embedded),
    ("2001:2::/48", AddressClass::Benchmark),
    ("2001:db8::/32", AddressClass::Documentation),
    ("2001::/23", AddressClass::Reserved),
    ("2002::/16", AddressClass::Embedded),
    ("3fff::/20", AddressClass::Documentation),
    ("fd00:ec2::254/128", AddressClass::Metadata),
    ("fd00:ec2::23/128", AddressClass::Metadata),
    ("fd20:ce::254/128", AddressClass::Metadata),
    ("fc00::/7", AddressClass::UniqueLocal),
    ("fe80::/10", AddressClass::LinkLocal),
    ("fec0::/10", AddressClass::SiteLocal),
    ("ff00::/8", AddressClass::Multicast),
    // Everything outside global unicast (2000::/3).
    ("::/3", AddressClass::Reserved),
    ("4000::/3", AddressClass::Reserved),
    ("6000::/3", AddressClass::Reserved),
    ("8000::/3", AddressClass::Reserved),
    ("a000::/3", AddressClass::Reserved),
    ("c000::/3", AddressClass::Reserved),
    ("e000::/4", AddressClass::Reserved),
    ("f000::/5", AddressClass::Reserved),
    ("f800::/6", AddressClass::Reserved),
    ("fe00::/9", AddressClass::Reserved),
];

static NETWORK_CLASSES: LazyLock<Vec<(IpNet, AddressClass)>> =
    LazyLock::new(|| NETWORKS.iter().filter_map(|(net, class)| Some((net.parse().ok()?, *class))).collect());

/// NAT64's well-known prefix. On IPv6-only networks every name that has only IPv4 addresses resolves to this
/// prefix.
static NAT64_PREFIX: LazyLock<Option<Ipv6Net>> = LazyLock::new(|| "64:ff9b::/96".parse().ok());

impl AddressClass {
    /// Returns the class of an address, or `None` if it is public.
    pub fn classify(address: IpAddr) -> Option<Self> {
        if let IpAddr::V6(long) = address
            && NAT64_PREFIX.is_some_and(|prefix| prefix.contains(&long))
        {
            let [.., a, b, c, d] = long.octets();
            return Self::classify(Ipv4Addr::new(a, b, c, d).into());
        }
        NETWORK_CLASSES.iter().find(|(network, _)| network.contains(&address)).map(|(_, class)| *class)
    }

    /// Whether an operator may allow addresses of this class. Addresses that identify no single host stay
    /// blocked.
    pub fn can_be_allowed(self) -> bool {
        !matches!(self, Self::Unspecified | Self::Multicast | Self::Broadcast | Self::Embedded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_one() {
        assert_eq!(NETWORK_CLASSES.len(), NETWORKS.len());
    }

    use AddressClass::*;

    const CASES: [(&str, Option<AddressClass>); 78] = [
        ("0.0.0.0", Some(Unspecified)),
        ("0.1.2.3", Some(Reserved)),
        ("1.1.1.1", None),
        ("8.8.8.8", None),
        ("9.255.255.255", None),
        ("10.0.0.0", Some(Private)),
        ("10.255.255.255", Some(Private)),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", Some(CarrierNat)),
        ("100.100.100.200", Some(Metadata)),
        ("100.127.255.255", Some(CarrierNat)),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("127.0.0.1", Some(Loopback)),
        ("127.255.255.255", Some(Loopback)),
        ("128.0.0.0", None),
        ("168.63.129.16", Some(Metadata)),
        ("169.253.255.255", None),
        ("169.254.0.1", Some(LinkLocal)),
        ("169.254.169.254", Some(Metadata)),
        ("169.254.170.2", Some(Metadata)),
        ("169.255.0.0", None),
        ("172.15.255.255", None),
        ("172.16.0.0", Some(Private)),
        ("172.31.255.255", Some(Private)),
        ("172.32.0.0", None),
        ("192.0.0.1", Some(Reserved)),
        ("192.0.0.192", Some(Metadata)),
        ("192.0.1.0", None),
        ("192.0.2.1", Some(Documentation)),
        ("192.88.99.1", Some(Reserved)),
        ("192.167.255.255", None),
        ("192.168.0.1", Some(Private)),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.18.0.1", Some(Benchmark)),
        ("198.19.255.255", Some(Benchmark)),
        ("198.20.0.0", None),
        ("198.51.100.7", Some(Documentation)),
        ("203.0.113.7", Some(Documentation)),
        ("223.255.255.255", None),
        ("224.0.0.1", Some(Multicast)),
        ("239.255.255.255", Some(Multicast)),
        ("240.0.0.1", Some(Reserved)),
        ("255.255.255.254", Some(Reserved)),
        ("255.255.255.255", Some(Broadcast)),
        ("::", Some(Unspecified)),
        ("::1", Some(Loopback)),
        ("::2", Some(Embedded)),
        ("::127.0.0.1", Some(Embedded)),
        ("::ffff:127.0.0.1", Some(Embedded)),
        ("::ffff:8.8.8.8", Some(Embedded)),
        ("::ffff:0:127.0.0.1", Some(Embedded)),
        ("64:ff9b::127.0.0.1", Some(Loopback)),
        ("64:ff9b::169.254.169.254", Some(Metadata)),
        ("64:ff9b::8.8.8.8", None),
        ("64:ff9b:1::8.8.8.8", Some(Embedded)),
        ("100::1", Some(Reserved)),
        ("1fff::1", Some(Reserved)),
        ("2001::1", Some(Embedded)),
        ("2001:1::1", Some(Reserved)),
        ("2001:2::1", Some(Benchmark)),
        ("2001:200::1", None),
        ("2001:db8::1", Some(Documentation)),
        ("2002:7f00:1::", Some(Embedded)),
        ("2606:4700:4700::1111", None),
        ("3fff::1", Some(Documentation)),
        ("3fff:1000::1", None),
        ("4000::1", Some(Reserved)),
        ("5f00::1", Some(Reserved)),
        ("fc00::1", Some(UniqueLocal)),
        ("fd00:ec2::254", Some(Metadata)),
        ("fdff::1", Some(UniqueLocal)),
        ("fe00::1", Some(Reserved)),
        ("fe80::1", Some(LinkLocal)),
        ("fec0::1", Some(SiteLocal)),
        ("ff02::1", Some(Multicast)),
    ];

    #[test]
    fn addresses_have_their_class() {
        for (address, class) in CASES {
            assert_eq!(AddressClass::classify(address.parse().unwrap()), class, "{address}");
        }
    }
}
