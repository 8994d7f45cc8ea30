//! Loopback trust and disconnected peers: a program of the server's user may get the address of another user's
//! program whose requests have not been read yet.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, connect, recv, send, sockopt},
    thread::set_thread_uid,
};
use tokio::{net::TcpSocket, task::yield_now};

use crate::{harness::Server, outcomes::outcome, tools};

/// UID of the other user.
const STRANGER: u32 = 65_534;
const ATTEMPTS: usize = 20;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Another user's connection to the server.
struct Stranger {
    socket: TcpSocket,
    port: u16,
}

impl Stranger {
    /// Connects, and waits until the server has answered a request that needs no trust.
    async fn connect(server: &Server, device: Option<&'static [u8]>) -> Self {
        let to: SocketAddr = server.authority().parse().unwrap();
        let open = move || {
            // The raw system call, which affects only this thread.
            set_thread_uid(rustix::process::Uid::from_raw(STRANGER)).unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            if device.is_some() {
                socket.bind_device(device).unwrap();
            }
            socket.bind((LOOPBACK, 0).into()).unwrap();
            assert!(matches!(connect(&socket, &to), Ok(()) | Err(Errno::INPROGRESS)));
            socket
        };
        let socket = std::thread::spawn(open).join().unwrap();
        let stranger = Self { port: socket.local_addr().unwrap().port(), socket };
        stranger.send(&format!("GET /livez HTTP/1.1\r\nHost: {to}\r\n\r\n"));
        assert!(stranger.answer().await.starts_with("HTTP/1.1 200"));
        stranger
    }

    fn send(&self, text: &str) {
        assert_eq!(send(&self.socket, text.as_bytes(), SendFlags::empty()).unwrap(), text.len());
    }

    async fn answer(&self) -> String {
        let mut buffer = vec![0; 4096];
        loop {
            match recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => return String::from_utf8(buffer[..length].to_vec()).unwrap(),
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
            yield_now().await;
        }
    }

    /// Requests the creation of an agent. The partial request behind it keeps the server from reading on, so that
    /// it does not see how the connection ends.
    fn ask(&self, server: &Server, agent: usize) {
        let body = format!(r#"{{"name":"a{agent}","provider":"offline","model":"echo"}}"#);
        let head = format!("POST /v1/agents HTTP/1.1\r\nHost: {}\r\n", server.authority());
        let length = body.len();
        self.send(&format!(
            "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}GET /livez HTTP/1.1\r\n"
        ));
    }

    /// Resets the connection. Data that was sent can still be read.
    fn reset(self) {
        sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO)).unwrap();
    }
}

/// Connects from a port as the server's own user. Returns `None` if the port is not free: another test took it,
/// or a child process of a test holds the other user's socket until it executes its program.
fn successor(server: &Server, socket: TcpSocket, port: u16) -> Option<TcpSocket> {
    let mapped = |address: SocketAddr| match socket.local_addr().unwrap() {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(_) => (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), address.port()).into(),
    };
    socket.set_reuseaddr(true).unwrap();
    socket.bind(mapped((LOOPBACK, port).into())).ok()?;
    match connect(&socket, &mapped(server.authority().parse().unwrap())) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(socket),
        Err(error) => {
            assert_eq!(error, Errno::ADDRNOTAVAIL);
            None
        }
    }
}

/// Returns the inode of the server's socket that is connected to a port.
fn inode(server: &Server, port: u16) -> String {
    let to: SocketAddr = server.authority().parse().unwrap();
    let ends = [format!(":{:04X}", to.port()), format!(":{port:04X}")];
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut ours = lines.filter(|line| line[1].ends_with(&ends[0]) && line[2].ends_with(&ends[1]));
    ours.next().unwrap()[9].to_owned()
}

/// Waits until the server, which runs in this process, has closed a socket.
async fn closed(inode: &str) {
    let name = format!("socket:[{inode}]");
    let is_open = || {
        let mut files = fs::read_dir("/proc/self/fd").unwrap().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == name.as_str()))
    };
    while is_open() {
        yield_now().await;
    }
}

/// Returns the number of attempts that created an agent. The server runs on the test's own thread, so it does
/// nothing between two steps that do not wait.
async fn wins(attack: &str, device: Option<&'static [u8]>, open: fn() -> std::io::Result<TcpSocket>) -> usize {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let mut made = 0;
    for attempt in 0..ATTEMPTS {
        let stranger = Stranger::connect(&server, device).await;
        let (port, socket) = (stranger.port, inode(&server, stranger.port));
        stranger.ask(&server, attempt);
        // Sockets of different devices share an address, so this one stays open.
        let _stays = match device {
            Some(_) => Some(stranger),
            None => {
                stranger.reset();
                None
            }
        };
        let successor = successor(&server, open().unwrap(), port);
        made += usize::from(successor.is_some());
        closed(&socket).await;
    }
    let agents = server.get("/v1/agents?limit=1000").await.expect(200);
    let wins = agents.as_array().unwrap().len() - 1;
    outcome(attack, &format!("{wins} of {made} attempts were trusted"));
    println!("{attack}: {wins} of {made} attempts were trusted");
    assert!(made > 0);
    wins
}

fn are_two_users() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        tools::skip("only root can act for another user");
        outcome("loopback trust: another user's connection", "skipped: only root can act for another user");
    }
    root
}

#[tokio::test]
async fn a_request_of_another_user_who_left_is_not_the_next_ones() {
    if are_two_users() {
        assert_eq!(wins("a reset behind a request, the port reused", None, TcpSocket::new_v4).await, 0);
    }
}

#[tokio::test]
async fn nor_if_the_next_one_connects_by_version_6() {
    if are_two_users() {
        assert_eq!(wins("the same, the port reused by a socket of IPv6", None, TcpSocket::new_v6).await, 0);
    }
}

#[tokio::test]
async fn nor_if_the_next_one_only_begins_to_connect() {
    if are_two_users() {
        let attack = "another user's socket bound to a device, the port reused";
        assert_eq!(wins(attack, Some(b"lo"), TcpSocket::new_v4).await, 0);
    }
}
