//! HTTP client for all outgoing requests, restricted by a [`Policy`] to an allow-list. A [`Target`](target) is
//! one parsed URL, a [`rule`] allows it, [`connect`] resolves, checks and connects, [`client`] sends and
//! follows redirects, and [`body`] limits sizes.

mod address;
mod body;
mod client;
pub mod configured;
mod connect;
mod credentials;
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
    error::{Error, Refusal, Wait},
    rule::{Missing, Pattern, Policy, Rule, is_public},
    target::Target,
};
use self::{client::Client, connect::Connector, pool::Pool};
pub use options::{Options, Resolver};

/// Interval at which idle connections are evicted.
const TIDY: Duration = Duration::from_secs(5);
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
    sent: AtomicU32,
    turns: Arc<Semaphore>,
}

impl Egress {
    pub fn new(config: &Options, tasks: &Tasks) -> Result<Self> {
        let pool = Arc::new(Pool::new(config.connections));
        let client = Client {
            dialler: Connector::new(config)?,
            config: config.clone(),
            pool: Arc::clone(&pool),
            server: ServerRuntime::current(),
        };
        tasks.keep_running("egress", move || {
            let pool = Arc::clone(&pool);
            async move {
                let mut tick = interval(TIDY);
                loop {
                    tick.tick().await;
                    pool.tidy();
                }
            }
        });
        Ok(Self(Arc::new(client)))
    }

    /// Blocks one of this server's own listeners for every policy.
    pub fn refuse(&self, listener: SocketAddr) {
        self.0.dialler.refuse(listener);
    }

    /// Returns a client for one call.
    pub fn for_call(&self, policy: Policy, interceptor: Option<Arc<dyn RequestInterceptor>>) -> CallClient {
        let (sent, turns) = (AtomicU32::new(0), Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)));
        CallClient { egress: self.clone(), policy: Arc::new(policy), interceptor, sent, turns }
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
        let (client, most) = (&self.egress.0, self.egress.timeouts());
        let timeouts = Timeouts {
            connection: timeouts.connection.min(most.connection),
            head: timeouts.head.min(most.head),
            pause: timeouts.pause.min(most.pause),
        };
        if self.sent.fetch_add(1, Relaxed) >= client.config.requests {
            return Err(Refusal::Count(client.config.requests).into());
        }
        let turn = timeout(timeouts.connection.min(most.connection), Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Error::Busy) };
        client.send(&self.policy, self.interceptor.as_deref(), request, timeouts, turn).await
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("config", &self.0.config).finish_non_exhaustive()
    }
}
