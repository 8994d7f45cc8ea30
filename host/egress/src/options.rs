//! Options for outgoing requests. Times are in seconds, sizes in bytes.

use std::{net::SocketAddr, path::PathBuf};

use moxxy_types::host_port::HostPort;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub private: Vec<HostPort>,
    pub ca: PathBuf,
    pub connections: usize,
    pub requests: u32,
    pub redirects: u32,
    pub connect_time: u64,
    pub head_time: u64,
    pub body_pause: u64,
    pub total_time: u64,
    pub request_body: u64,
    pub response_head: u64,
    pub response_body: u64,
    /// Overrides the system's resolver in tests.
    #[serde(skip)]
    pub resolver: Option<Resolver>,
}

/// Returns the addresses of a name. Port 0 stands for the requested port.
pub type Resolver = fn(&str) -> Vec<SocketAddr>;
