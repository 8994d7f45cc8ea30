//! Connections, TLS, rate limits and loopback trust.

pub(super) mod connections;
pub(super) mod limits;
pub(super) mod loopback;
pub(super) mod socket;
pub(super) mod socket_owner;
pub(super) mod tls;
pub(super) mod trace;
