//! Owner of the socket at the other end of a local connection, queried from the kernel (sock_diag(7)).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto, socket_with};

const ROOT: u32 = 0;
/// State of an established connection (TCP_ESTABLISHED).
const ESTABLISHED: u8 = 1;
/// Type of a request, and of a message about a socket (SOCK_DIAG_BY_FAMILY).
const BY_FAMILY: u16 = 20;
/// Types of the last message (NLMSG_ERROR, NLMSG_DONE).
const LAST: [u16; 2] = [2, 3];
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: u32 = 72;
/// Maximum size of one part of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Returns whether the peer's socket belongs to the server's own user or to root. `true` is valid only if the
/// connection is still established afterwards. If the kernel reports no socket, the peer is not trusted.
pub(crate) fn is_trusted(peer: SocketAddr, local: SocketAddr) -> io::Result<bool> {
    let own = rustix::process::geteuid().as_raw();
    let mut found = sockets(AddressFamily::INET, peer, local)?;
    // An IPv6 socket may have IPv4 addresses.
    found.extend(sockets(AddressFamily::INET6, peer, local)?);
    match found.as_slice() {
        [Some(user)] => Ok(*user == own || *user == ROOT),
        // Sockets of different devices may have the same addresses, so the peer's socket is unknown.
        _ => Ok(false),
    }
}

/// Returns whether the kernel reports the owners of sockets, tested on a connection of this process.
pub fn is_known() -> bool {
    let is_own = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        is_trusted(client.local_addr()?, client.peer_addr()?)
    };
    is_own().unwrap_or(false)
}

/// Returns the user of each socket of a family with these addresses. The user is `None` if the socket is not
/// established, or if its program has closed it: the kernel would report root.
fn sockets(family: AddressFamily, peer: SocketAddr, local: SocketAddr) -> io::Result<Vec<Option<u32>>> {
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    let request = request(family, peer.port(), local.port());
    sendto(&kernel, &request, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
    let (mut found, mut answer) = (Vec::new(), vec![0; MAX_ANSWER_BYTES]);
    loop {
        let (length, _) = recv(&kernel, &mut answer, RecvFlags::empty())?;
        let mut rest = answer.get(..length).unwrap_or_default();
        while let Some((kind, message, behind)) = split(rest) {
            if LAST.contains(&kind) {
                return Ok(found);
            }
            found.extend(owner(family, message, peer, local).filter(|_| kind == BY_FAMILY));
            rest = behind;
        }
        if length == 0 {
            return Ok(found);
        }
    }
}

/// Builds a `nlmsghdr` with an `inet_diag_req_v2` for the sockets of a family with these ports.
fn request(family: AddressFamily, peer: u16, local: u16) -> Vec<u8> {
    // NLM_F_REQUEST and NLM_F_DUMP.
    const FLAGS: u16 = 0x301;
    const TCP: u8 = 6;
    const ANY_STATE: u32 = u32::MAX;
    let mut bytes = Vec::with_capacity(REQUEST_BYTES as usize);
    bytes.extend(REQUEST_BYTES.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    // Sequence number, and the port of the kernel.
    bytes.extend([0; 8]);
    bytes.extend([u8::try_from(family.as_raw()).unwrap_or_default(), TCP, 0, 0]);
    bytes.extend(ANY_STATE.to_ne_bytes());
    bytes.extend(peer.to_be_bytes());
    bytes.extend(local.to_be_bytes());
    // Any addresses, interface and cookie.
    bytes.resize(REQUEST_BYTES as usize, 0);
    bytes
}

/// Splits off the first message. Returns its type, its content, and the remaining messages.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let message = bytes.get(HEADER_BYTES..length)?;
    Some((kind, message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Returns the user in an `inet_diag_msg`, or `None` if the socket has other addresses.
fn owner(family: AddressFamily, message: &[u8], peer: SocketAddr, local: SocketAddr) -> Option<Option<u32>> {
    let number = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let ip = |at: usize| {
        let words: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        let [a, b, c, d, ..] = words;
        Some(match family {
            AddressFamily::INET => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            _ => IpAddr::V6(Ipv6Addr::from(words)).to_canonical(),
        })
    };
    let has = |end: SocketAddr, ip: IpAddr, port: u16| end.ip().to_canonical() == ip && end.port() == port;
    if !(has(peer, ip(8)?, port(4)?) && has(local, ip(24)?, port(6)?)) {
        return None;
    }
    let (state, user, inode) = (*message.get(1)?, number(64)?, number(68)?);
    Some((state == ESTABLISHED && inode != 0).then_some(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(ip: IpAddr) -> bool {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, local) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let found = is_trusted(peer, local).unwrap();
        // A listener's own port is nobody's connection.
        assert!(!is_trusted(local, local).unwrap());
        assert!(!is_trusted(SocketAddr::new(ip, peer.port() ^ 1), local).unwrap());
        drop(client);
        assert!(!is_trusted(peer, local).unwrap());
        found
    }

    #[test]
    fn a_socket_has_an_owner_while_its_program_holds_it() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert!(is_own(Ipv6Addr::LOCALHOST.into()));
        }
        assert!(is_known());
    }

    #[test]
    fn a_client_of_version_4_is_found_at_a_listener_of_version_6() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port())).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        assert!(is_trusted(peer, accepted.local_addr().unwrap()).unwrap());
        drop(client);
    }
}
