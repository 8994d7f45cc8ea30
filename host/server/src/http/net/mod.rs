//! Connections, TLS, rate limits and loopback trust.

pub mod connections;
pub mod limits;
pub mod loopback;
pub mod socket;
pub mod socket_owner;
pub mod tls;
pub mod trace;
