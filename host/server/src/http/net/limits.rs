//! Rate limits: one bucket per valid token or client network, and a stricter one per network for failed
//! authentications.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Extensions, HeaderMap, Request, request::Parts},
    response::Response,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use moxxy_system::tasks::Tasks;
use moxxy_types::{
    error::{Error, Result},
    ids::TokenId,
};
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder, SharedRateLimiter},
    key_extractor::KeyExtractor,
};

use crate::{
    config::{RateLimitConfig, Server},
    http::net::loopback::Peer,
};

type NoHeaders = governor::middleware::NoOpMiddleware;
type Config = Arc<GovernorConfig<ByCaller, NoHeaders>>;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Interval between evictions of idle buckets.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
/// Maximum number of buckets for networks.
const MAX_NETWORK_BUCKETS: u64 = 1 << 18;
/// Randomly keyed hash, so that clients cannot choose networks that share a bucket.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Key of a bucket. A request with a valid token has the key in its extensions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    Token(TokenId),
    /// Hash of a network. Networks with the same hash share a bucket, which limits the number of buckets.
    Network(u32),
}

/// Buckets for requests.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Config);

/// Buckets for failed authentications.
#[derive(Debug, Clone)]
pub(crate) struct Failures(SharedRateLimiter<Bucket, NoHeaders>);

/// Rejection of a request that exceeds the limit.
#[derive(Debug)]
pub(crate) struct RateLimited {
    pub retry_after_seconds: u64,
}

/// Address that a request comes from: the peer's, or the one that a trusted proxy reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub IpAddr);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = Bucket;
    fn extract<T>(&self, request: &Request<T>) -> Result<Bucket, GovernorError> {
        Ok(request.extensions().get().cloned().unwrap_or_else(|| network(request.extensions())))
    }
}

impl Requests {
    pub(crate) fn new(config: &RateLimitConfig) -> Result<Self> {
        buckets(Duration::from_secs(1), config.per_second, config.burst).map(Self)
    }

    /// Rejects requests that exceed the limit with the response that `refuse` builds.
    pub(crate) fn layer(&self, refuse: fn(RateLimited) -> Response) -> GovernorLayer<ByCaller, NoHeaders, Body> {
        GovernorLayer::new(Arc::clone(&self.0)).error_handler(move |error| {
            let GovernorError::TooManyRequests { wait_time, .. } = error else { return refuse(RateLimited::after(0)) };
            refuse(RateLimited::after(wait_time))
        })
    }
}

impl RateLimited {
    /// Adds one second, because the wait is rounded down and a client that obeys it must not be rejected again.
    fn after(whole_seconds: u64) -> Self {
        Self { retry_after_seconds: whole_seconds.saturating_add(1) }
    }
}

impl Failures {
    pub(crate) fn new(config: &RateLimitConfig) -> Result<Self> {
        let minute = Duration::from_secs(60);
        Ok(Self(Arc::clone(buckets(minute, config.failures_per_minute, config.failures_burst)?.limiter())))
    }

    /// Returns the buckets from the extensions of a request.
    pub(crate) fn from_parts(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    /// Consumes one attempt of the request's network. Returns an error if none is left.
    pub(crate) fn consume(&self, from: &Extensions) -> Result<(), RateLimited> {
        self.0.check_key(&network(from)).map_err(|until| RateLimited::after(wait(&until)))
    }

    /// Returns whether a denial of this token may be recorded as an event. Rate-limited, so that not every one of a
    /// thousand denials is recorded.
    pub(crate) fn may_record(&self, token: &TokenId) -> bool {
        self.0.check_key(&Bucket::Token(token.clone())).is_ok()
    }
}

/// Evicts idle buckets once a minute.
pub(crate) fn sweep(tasks: &Tasks, requests: &Requests, failures: &Failures) {
    let (requests, failures) = (Arc::clone(requests.0.limiter()), Arc::clone(&failures.0));
    tasks.keep_running("rate limits", move || {
        let (requests, failures) = (Arc::clone(&requests), Arc::clone(&failures));
        async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                for buckets in [&requests, &failures] {
                    buckets.retain_recent();
                    buckets.shrink_to_fit();
                }
            }
        }
    });
}

impl Client {
    /// Returns the peer's address. Behind trusted proxies, returns the last address in `X-Forwarded-For` that is not
    /// one of them.
    pub(crate) fn identify(peer: &Peer, headers: &HeaderMap, server: &Server) -> Self {
        let trusted = |address: &IpAddr| {
            let address = address.to_canonical();
            server.trusted_proxies.iter().any(|network: &IpNet| network.contains(&address))
        };
        let peer = peer.address.ip();
        if !trusted(&peer) {
            return Self(peer);
        }
        // An unreadable line becomes an empty string, which does not parse and ends the list.
        let lines = headers.get_all(FORWARDED_FOR).iter().rev().map(|line| line.to_str().unwrap_or_default());
        let named = lines.flat_map(|line| line.rsplit(',')).map(|address| address.trim().parse::<IpAddr>());
        // Addresses before an unreadable entry could be forged.
        let named: Vec<_> = named.map_while(Result::ok).collect();
        Self(named.iter().find(|address| !trusted(address)).copied().unwrap_or(peer))
    }

    /// Returns the network that a request comes from: one network for all loopback addresses, a single IPv4 address,
    /// or the IPv6 prefix of 48 bits that one site is assigned.
    pub(crate) fn network_of(extensions: &Extensions) -> IpNet {
        let client = extensions.get().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Self(address)| *address);
        match client.to_canonical() {
            address if address.is_loopback() => IpNet::V4(LOOPBACK),
            IpAddr::V4(address) => IpNet::V4(address.into()),
            IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, 48).unwrap_or(address.into()).trunc()),
        }
    }
}

fn network(extensions: &Extensions) -> Bucket {
    let number = HASHER.hash_one(Client::network_of(extensions)) % MAX_NETWORK_BUCKETS;
    Bucket::Network(u32::try_from(number).unwrap_or_default())
}

fn buckets(time: Duration, count: u32, burst: u32) -> Result<Config> {
    let mut builder = GovernorConfigBuilder::default().key_extractor(ByCaller);
    let config = builder.period(time / count.max(1)).burst_size(burst).finish();
    config.map(Arc::new).ok_or_else(|| Error::internal("a rate of nothing"))
}

fn wait(until: &governor::NotUntil<governor::clock::QuantaInstant>) -> u64 {
    use governor::clock::{Clock as _, DefaultClock};
    until.wait_time_from(DefaultClock::default().now()).as_secs()
}
