//! Whose socket is at the other end of a local connection: `/proc/net/tcp` and `tcp6` name each
//! socket's user (proc(5)).

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

const ROOT: u32 = 0;
const ESTABLISHED: &str = "01";

/// Whether the peer's socket belongs to the server's own user or to root. That holds for a connection that
/// is still established afterwards. Where there are no tables, nobody is trusted.
pub fn is_trusted(peer: SocketAddr, local: SocketAddr) -> io::Result<bool> {
    let own = rustix::process::geteuid().as_raw();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        match users(&text, peer, local).as_slice() {
            [] => {}
            [Some(user)] => return Ok(*user == own || *user == ROOT),
            // Which of them is the peer's is not known.
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether the tables can be read here at all.
pub fn is_known() -> bool {
    fs::read_to_string("/proc/net/tcp").is_ok()
}

/// The user of each socket that is connected so, or `None` where it is not established: it is being opened,
/// or its program has closed it, after which its user reads as root.
fn users(table: &str, peer: SocketAddr, local: SocketAddr) -> Vec<Option<u32>> {
    let same = |a: SocketAddr, b: SocketAddr| a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical();
    let user = |line: &str| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (from, to) = (address(columns.next()?)?, address(columns.next()?)?);
        let state = columns.next()?;
        // Then queues, timer, retransmissions; then user, timeout, inode.
        let (user, inode) = (columns.nth(3)?, columns.nth(1)?);
        let found = same(from, peer) && same(to, local);
        found.then(|| if state == ESTABLISHED && inode != "0" { user.parse().ok() } else { None })
    };
    table.lines().skip(1).filter_map(user).collect()
}

/// Reads `0100007F:0BB8`: the address in words of the machine's byte order, the port in hex.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let bytes = hex::decode(address).ok()?;
    let words: Vec<u8> = bytes
        .chunks_exact(4)
        .filter_map(|w| w.try_into().ok())
        .flat_map(|w| u32::from_be_bytes(w).to_ne_bytes())
        .collect();
    let ip = match words.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(words).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::users;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C40 0100007F:0BB8 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000 20 4 30 10 -1
   1: 0100007F:9C41 0100007F:0BB8 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0000 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:9C42 0000000000000000FFFF00000100007F:0BB8 01 0:0 0:0 0  7 0 4243 1
   3: 0100007F:9C44 0100007F:0BB8 02 00000000:00000000 00:00000000 00000000     0        0 4244 1 0000 20 4 30 10 -1
   4: 0100007F:9C45 0100007F:0BB8 02 00000000:00000000 00:00000000 00000000     0        0 4245 1 0000 20 4 30 10 -1
   5: 0100007F:9C45 0100007F:0BB8 01 00000000:00000000 00:00000000 00000000  1000        0 4246 1 0000 20 4 30 10 -1
   6: 0100007F:9C46 0100007F:0BB8 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0000 20 4 30 10 -1
   7: 0100007F:0BB8 0100007F:9C47 01 00000000:00000000 00:00000000 00000000     0        0 4247 1 0000 20 4 30 10 -1";

    fn of(port: u16) -> Vec<Option<u32>> {
        let local = |port: u16| ([127, 0, 0, 1], port).into();
        users(TABLE, local(port), local(3000))
    }

    #[test]
    fn a_socket_has_an_owner_while_it_is_established() {
        assert_eq!(of(40000), [Some(1000)]);
        assert_eq!(of(40001), [None]);
        assert_eq!(of(40002), [Some(7)]);
        assert_eq!(of(40003), []);
        assert_eq!(of(40004), [None]);
        assert_eq!(of(40005), [None, Some(1000)]);
        assert_eq!(of(40006), [None]);
        assert_eq!(of(40007), []);
    }
}
