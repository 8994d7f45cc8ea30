//! Below HTTP: connections, TLS, rate limits, and who is at the other end.

pub mod connections;
pub mod limits;
pub mod loopback;
pub mod owner;
pub mod socket;
pub mod tls;
pub mod trace;
