//! Capabilities of a call. The caller builds a context for each call, so this crate knows neither the rules nor
//! the database behind it.

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
    /// Name of the skill or provider, for messages.
    pub component: Name,
    /// The operator's configuration.
    pub config: Config,
    /// The agent that the call is for, if any.
    pub caller: Option<Caller>,
    /// Receives progress reports, if anyone listens. Only the latest report is kept.
    pub progress: Option<watch::Sender<Option<Progress>>>,
    /// The call's earlier questions to the user, in order. `None` if nobody can be asked.
    pub answers: Option<Vec<AnsweredQuestion>>,
    /// The component's key-value storage, if it has any.
    pub storage: Option<Arc<dyn Storage>>,
    /// The secrets that the call may use, if any.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// HTTP access, if the component has any.
    pub outgoing: Option<Arc<dyn Outgoing>>,
    /// Cancelled to stop the call immediately.
    pub stop: CancellationToken,
    /// Whether it waits for its turn as long as it takes, as calls of runs do. Others are refused after a while.
    pub waits_for_turn: bool,
    /// Whether the wall clock is frozen, as it is while a component describes itself.
    pub frozen_clock: bool,
}

/// The agent and run that a call is for.
#[derive(Debug, Clone)]
pub struct Caller {
    pub agent: Name,
    /// The session and run, unless a client calls the tool directly.
    pub run: Option<(SessionId, RunId)>,
}

/// A question that a call asked the user.
#[derive(Debug, Clone)]
pub struct AnsweredQuestion {
    pub question: String,
    /// `None` if nobody answered in time.
    pub answer: Option<String>,
}

/// Progress of a call.
#[derive(Debug, Clone)]
pub struct Progress {
    pub message: String,
    /// From 0 to 1.
    pub done: Option<f64>,
}

/// Configuration values as components read them. `Debug` omits the values, because they may be sensitive.
#[derive(Clone, Default)]
pub struct Config(Arc<BTreeMap<String, String>>);

impl CallContext {
    /// Returns who shares the capacity for calls with others: the agent, or the component of a call without one.
    pub(crate) fn holder(&self) -> String {
        self.caller.as_ref().map_or_else(|| self.component.to_string(), |caller| caller.agent.to_string())
    }

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
            waits_for_turn: false,
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
    /// Converts values that are not strings to JSON text.
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

/// Committed key-value storage of a component.
pub trait Storage: fmt::Debug + Send + Sync {
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>>;

    /// Returns all keys, in byte order.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
}

/// HTTP access within the call's rules.
pub trait Outgoing: fmt::Debug + Send + Sync {
    /// Sends a request. Dropping the future cancels it.
    fn send(
        &self,
        request: Request<Body>,
        timeouts: Timeouts,
    ) -> BoxFuture<'static, Result<Response<Body>, egress::Error>>;
}

/// The secrets that a call may use. Each use is authorized and recorded separately.
pub trait Secrets: fmt::Debug + Send + Sync {
    /// Returns the placeholder for the secret in requests.
    fn open(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<String, Denial>>;

    /// Returns the HMAC-SHA-256 of `data`, with the secret as the key.
    fn sign(self: Arc<Self>, name: String, data: Vec<u8>) -> BoxFuture<'static, Result<[u8; 32], Denial>>;

    fn reveal(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<Value, Denial>>;

    /// Returns a redactor for the opened secrets, if any.
    fn redactor(&self) -> Option<Redactor>;
}

/// Reason why a secret cannot be used, for the component.
#[derive(Debug)]
pub enum Denial {
    Denied(String),
    Other(String),
}
