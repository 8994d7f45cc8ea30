//! HTTP client for all outgoing requests, restricted by a [`Policy`] to an allow-list. A [`Target`] is
//! one parsed URL, a [`Rule`] allows it, `connect` resolves, checks and connects, `client` sends and
//! follows redirects, and `body` limits sizes.

mod address;
mod body;
mod client;
pub mod configured;
mod connect;
mod credentials;
mod decoding;
mod error;
mod options;
mod pool;
mod redirect;
mod rule;
mod target;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use moxxy_system::tasks::{ServerRuntime, Tasks};
use moxxy_types::error::Result;
use tokio::{
    sync::Semaphore,
    time::{interval, timeout},
};

pub use self::{
    body::Body,
    client::Timeouts,
    credentials::{Hop, RequestInterceptor},
    error::{Error, Refusal, TimeoutPhase},
    rule::{Missing, Pattern, Policy, Rule, is_public},
    target::Target,
};
use self::{client::Client, connect::Connector, pool::Pool};
pub use options::{Options, Resolver};

/// Interval at which idle connections are evicted.
const EVICTION_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of concurrent requests per call. Further requests wait up to the connection timeout.
const MAX_CONCURRENT_REQUESTS: usize = 16;

/// The shared HTTP client.
#[derive(Clone)]
pub struct Egress(Arc<Client>);

/// HTTP client of one call, bound to its policy.
#[derive(Debug)]
pub struct CallClient {
    egress: Egress,
    policy: Arc<Policy>,
    interceptor: Option<Arc<dyn RequestInterceptor>>,
    request_count: AtomicU32,
    permits: Arc<Semaphore>,
}

impl Egress {
    pub fn new(config: &Options, tasks: &Tasks) -> Result<Self> {
        let pool = Arc::new(Pool::new(config.connections));
        let client = Client {
            connector: Connector::new(config)?,
            config: config.clone(),
            pool: Arc::clone(&pool),
            server: ServerRuntime::current(),
        };
        tasks.keep_running("egress", move || {
            let pool = Arc::clone(&pool);
            async move {
                let mut tick = interval(EVICTION_INTERVAL);
                loop {
                    tick.tick().await;
                    pool.evict_expired();
                }
            }
        });
        Ok(Self(Arc::new(client)))
    }

    /// Blocks one of this server's own listeners for every policy.
    pub fn block_listener(&self, listener: SocketAddr) {
        self.0.connector.block_listener(listener);
    }

    /// Returns a client for one call.
    pub fn for_call(&self, policy: Policy, interceptor: Option<Arc<dyn RequestInterceptor>>) -> CallClient {
        let (request_count, permits) = (AtomicU32::new(0), Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)));
        CallClient { egress: self.clone(), policy: Arc::new(policy), interceptor, request_count, permits }
    }

    /// Returns the configured timeouts, which are the upper limits for every request.
    pub fn timeouts(&self) -> Timeouts {
        let config = &self.0.config;
        Timeouts {
            connection: Duration::from_secs(config.connect_time),
            head: Duration::from_secs(config.head_time),
            pause: Duration::from_secs(config.body_pause),
        }
    }
}

impl CallClient {
    /// Sends a request if the policy allows it. Dropping the future cancels the request.
    pub async fn send(&self, request: Request<Body>, timeouts: Timeouts) -> Result<Response<Body>, Error> {
        let (client, max_timeouts) = (&self.egress.0, self.egress.timeouts());
        let timeouts = Timeouts {
            connection: timeouts.connection.min(max_timeouts.connection),
            head: timeouts.head.min(max_timeouts.head),
            pause: timeouts.pause.min(max_timeouts.pause),
        };
        if self.request_count.fetch_add(1, Relaxed) >= client.config.requests {
            return Err(Refusal::RequestLimit(client.config.requests).into());
        }
        let permit =
            timeout(timeouts.connection.min(max_timeouts.connection), Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Error::Busy) };
        client.send(&self.policy, self.interceptor.as_deref(), request, timeouts, permit).await
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("config", &self.0.config).finish_non_exhaustive()
    }
}
