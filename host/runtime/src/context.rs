//! What a call may use, as narrow handles. Whoever makes the call builds one for it, so that this
//! module knows neither the rules nor the database behind them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use moxxy_egress::{self as egress, Body, Timeouts};
use moxxy_secrets::{Redactor, Value};
use moxxy_types::ids::{Name, RunId, SessionId};
use serde_json::{Map, Value as Json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who is called: the skill's or the provider's name here, for messages.
    pub component: Name,
    /// The operator's configuration.
    pub config: Config,
    /// Whom the call is for, if it is for an agent.
    pub caller: Option<Caller>,
    /// Where the call says how far it is, if anybody is told. Only the last report counts.
    pub progress: Option<watch::Sender<Option<Progress>>>,
    /// What the call asked the user before, in order; `None` where nobody can be asked.
    pub answers: Option<Vec<Answered>>,
    /// The component's durable values, if it has any here.
    pub storage: Option<Arc<dyn Storage>>,
    /// The secrets that it may use, if there are any.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// How the component reaches hosts, if it reaches any.
    pub outgoing: Option<Arc<dyn Outgoing>>,
    /// Cancelled when the call is to stop at once.
    pub stop: CancellationToken,
    /// Whether the wall clock stands still, as it does while a component describes itself.
    pub frozen_clock: bool,
}

/// Whom a call is for.
#[derive(Debug, Clone)]
pub struct Caller {
    pub agent: Name,
    /// What it is part of, unless a client calls the tool itself.
    pub run: Option<(SessionId, RunId)>,
}

/// A question that a call asked the user.
#[derive(Debug, Clone)]
pub struct Answered {
    pub question: String,
    /// `None`: nobody answered in time.
    pub answer: Option<String>,
}

/// How far a call is.
#[derive(Debug, Clone)]
pub struct Progress {
    pub message: String,
    /// From 0 to 1.
    pub done: Option<f64>,
}

/// Configuration values as components read them. Not shown by `Debug`: operators put all kinds
/// of things there.
#[derive(Clone, Default)]
pub struct Config(Arc<BTreeMap<String, String>>);

impl CallContext {
    pub fn new(component: Name) -> Self {
        let (config, stop) = (Config::default(), CancellationToken::new());
        Self {
            component,
            config,
            caller: None,
            progress: None,
            answers: None,
            storage: None,
            secrets: None,
            outgoing: None,
            stop,
            frozen_clock: false,
        }
    }
}

impl Config {
    pub fn get(&self, key: &str) -> Option<&String> {
        self.0.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}

impl From<&Map<String, Json>> for Config {
    /// A value that is not a string becomes its JSON text.
    fn from(object: &Map<String, Json>) -> Self {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self(Arc::new(object.iter().map(|(key, value)| (key.clone(), text(value))).collect()))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The durable values of a component, as they were committed.
pub trait Storage: fmt::Debug + Send + Sync {
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>>;

    /// All keys, in the order of their bytes.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
}

/// The way to the network, as far as the call's rules allow it.
pub trait Outgoing: fmt::Debug + Send + Sync {
    /// Dropping the future gives the request up.
    fn send(
        &self,
        request: Request<Body>,
        waits: Timeouts,
    ) -> BoxFuture<'static, Result<Response<Body>, egress::Error>>;
}

/// The secrets that a call may use. Each use is decided and told of anew.
pub trait Secrets: fmt::Debug + Send + Sync {
    /// What stands for the secret in requests.
    fn open(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<String, Denial>>;

    /// HMAC-SHA-256 with the secret.
    fn sign(self: Arc<Self>, name: String, data: Vec<u8>) -> BoxFuture<'static, Result<[u8; 32], Denial>>;

    fn reveal(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<Value, Denial>>;

    /// Takes what was opened out of texts, if anything was.
    fn redactor(&self) -> Option<Redactor>;
}

/// Why a secret cannot be used; for the component to read.
#[derive(Debug)]
pub enum Denial {
    Denied(String),
    Other(String),
}
