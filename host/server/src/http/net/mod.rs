//! Below HTTP: connections, TLS, rate limits, and who is at the other end.

pub mod connections;
pub mod limits;
pub mod loopback;
pub mod socket;
pub mod socket_owner;
pub mod tls;
pub mod trace;
