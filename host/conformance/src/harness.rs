//! Test harness: runs calls in the sandbox as in production, with the scripted service instead of the network.
//! Calls that take too long are aborted.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use moxxy_runtime::{
    CallContext, Completion, Config, Failure, Outgoing, Plugins, Secrets,
    models::{Model, Request},
};
use moxxy_types::{components::Description, digest::Digest, error::Result};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

use super::{
    request,
    script::Script,
    service::{Piece, Reply, Seen, Service},
    wire::{ProtocolProfile, Style},
};
use crate::monitor::RuleMonitor;
use crate::transcript::Transcript;

/// Timeout of an operation that completes immediately if nothing is wrong.
const WAIT: Duration = Duration::from_secs(10);
/// Time limit of a whole check.
const TOTAL: Duration = Duration::from_secs(180);
/// Number of timeouts after which the remaining cases fail immediately.
const HANGS: u32 = 3;
/// Error codes of the host for calls that it cannot execute at the moment.
const UNAVAILABLE: [&str; 3] = ["busy", "component_unavailable", "stopped"];

pub struct Harness<'p> {
    plugins: &'p Plugins,
    digest: Digest,
    context: CallContext,
    pub monitor: Arc<RuleMonitor>,
    pub wire: ProtocolProfile,
    end: Instant,
    hangs: AtomicU32,
    trouble: OnceLock<Failure>,
}

impl<'p> Harness<'p> {
    pub fn new(
        plugins: &'p Plugins,
        component: &Description,
        config: &Map<String, Value>,
        wire: ProtocolProfile,
    ) -> Result<Self> {
        let monitor = Arc::new(RuleMonitor::new(&component.manifest, config)?);
        let secrets = (!component.manifest.secrets.is_empty()).then(|| Arc::clone(&monitor) as Arc<dyn Secrets>);
        let context =
            CallContext { config: Config::from(config), secrets, ..CallContext::new(component.manifest.name.clone()) };
        let (digest, end) = (component.digest.clone(), Instant::now() + TOTAL);
        Ok(Self { plugins, digest, context, monitor, wire, end, hangs: AtomicU32::new(0), trouble: OnceLock::new() })
    }

    /// Returns the error that prevents the check from continuing, if any.
    pub fn trouble(&self) -> Option<Failure> {
        self.trouble.get().cloned()
    }

    /// Whether the component hung too often, or the time is up.
    pub fn has_hung(&self) -> bool {
        self.hangs.load(Relaxed) >= HANGS || Instant::now() >= self.end
    }

    /// Returns a reply that streams these pieces.
    pub fn stream(&self, pieces: Vec<Piece>) -> Reply {
        Reply::pieces(pieces).header("Content-Type", self.wire.media_type.clone())
    }

    /// Returns a reply with the events of a script.
    pub fn says(&self, script: &Script, style: Style) -> Reply {
        self.stream(vec![Piece::Bytes(script.body(&self.wire, style).into())])
    }

    /// Runs a completion and answers every request with this reply.
    pub async fn run_completion(&self, reply: Reply) -> Transcript {
        self.complete(request::plain(), reply).await.0
    }

    pub async fn complete(&self, request: Request, reply: Reply) -> (Transcript, Vec<Seen>) {
        let service = Service::new(&self.monitor, move |_| reply.clone());
        let mut heard = Transcript::default();
        match self.begin(&service, request).await {
            Ok(completion) => self.collect(completion, &service, &mut heard).await,
            Err(failure) => heard.failure = Some(failure),
        }
        self.monitor.scan_for_keys(heard.message());
        (heard, service.seen())
    }

    /// Starts a completion.
    pub async fn begin(&self, service: &Service, request: Request) -> Result<Completion, Failure> {
        let begun = self.waited(self.plugins.complete(&self.digest, self.context(service), request)).await.flatten();
        begun.inspect_err(|failure| self.mind(failure))
    }

    /// Waits for the next chunk. Returns `None` after a failure or the end of the stream.
    pub async fn next(&self, completion: &mut Completion, heard: &mut Transcript, service: &Service) -> Option<()> {
        let chunk = match self.waited(completion.next()).await {
            Ok(chunk) => chunk?,
            Err(late) => Err(late),
        };
        match chunk {
            Ok(chunk) => {
                heard.add(chunk);
                self.monitor.scan_for_keys(heard.chunks.last().map(String::as_str).unwrap_or_default());
                if !heard.text.is_empty() {
                    service.hear();
                }
                if heard.is_endless() {
                    heard.failure = Some(Failure::Trapped { message: "it says more than the service".to_owned() });
                }
            }
            Err(failure) => {
                self.mind(&failure);
                heard.failure = Some(failure);
            }
        }
        heard.failure.is_none().then_some(())
    }

    async fn collect(&self, mut completion: Completion, service: &Service, heard: &mut Transcript) {
        while self.next(&mut completion, heard, service).await.is_some() {}
    }

    /// Lists the models. Errors have the host's codes.
    pub async fn models(
        &self,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> (Result<Vec<Model>, Failure>, Vec<Seen>) {
        let service = Service::new(&self.monitor, answer);
        let listed = self.waited(self.plugins.list_models(&self.digest, self.context(&service))).await.flatten();
        match &listed {
            Ok(models) => self.monitor.scan_for_keys(&format!("{models:?}")),
            Err(failure) => self.monitor.scan_for_keys(failure.message()),
        }
        (listed.inspect_err(|failure| self.mind(failure)), service.seen())
    }

    /// Waits for an operation that should complete immediately.
    pub async fn waited<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let left = self.end.saturating_duration_since(Instant::now());
        let wait = if self.has_hung() { Duration::ZERO } else { WAIT.min(left) };
        timeout(wait, work).await.map_err(|_| {
            self.hangs.fetch_add(1, Relaxed);
            Failure::refused("hung", "it did not come to an end")
        })
    }

    fn context(&self, service: &Service) -> CallContext {
        CallContext { outgoing: Some(Arc::new(service.clone()) as Arc<dyn Outgoing>), ..self.context.clone() }
    }

    fn mind(&self, failure: &Failure) {
        if UNAVAILABLE.contains(&failure.code()) {
            self.trouble.get_or_init(|| failure.clone());
        }
        if matches!(failure, Failure::Limit { .. }) {
            self.hangs.fetch_add(1, Relaxed);
        }
    }
}
