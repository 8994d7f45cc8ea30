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
    service::{Piece, RecordedRequest, Reply, Service},
    wire::{ProtocolProfile, Style},
};
use crate::monitor::RuleMonitor;
use crate::transcript::Transcript;

/// Timeout of an operation that completes immediately if nothing is wrong.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a whole check.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(180);
/// Number of timeouts after which the remaining cases fail immediately.
const MAX_HANGS: u32 = 3;
/// Error codes of the host for calls that it cannot execute at the moment.
const UNAVAILABLE_CODES: [&str; 3] = ["busy", "component_unavailable", "stopped"];

pub(crate) struct Harness<'p> {
    plugins: &'p Plugins,
    digest: Digest,
    context: CallContext,
    pub monitor: Arc<RuleMonitor>,
    pub profile: ProtocolProfile,
    deadline: Instant,
    hangs: AtomicU32,
    host_failure: OnceLock<Failure>,
}

impl<'p> Harness<'p> {
    pub(crate) fn new(
        plugins: &'p Plugins,
        component: &Description,
        config: &Map<String, Value>,
        profile: ProtocolProfile,
    ) -> Result<Self> {
        let monitor = Arc::new(RuleMonitor::new(&component.manifest, config)?);
        let secrets = (!component.manifest.secrets.is_empty()).then(|| Arc::clone(&monitor) as Arc<dyn Secrets>);
        let context =
            CallContext { config: Config::from(config), secrets, ..CallContext::new(component.manifest.name.clone()) };
        let (digest, deadline) = (component.digest.clone(), Instant::now() + TOTAL_TIMEOUT);
        Ok(Self {
            plugins,
            digest,
            context,
            monitor,
            profile,
            deadline,
            hangs: AtomicU32::new(0),
            host_failure: OnceLock::new(),
        })
    }

    /// Returns the error that prevents the check from continuing, if any.
    pub(crate) fn host_failure(&self) -> Option<Failure> {
        self.host_failure.get().cloned()
    }

    /// Whether the component hung too often, or the time is up.
    pub(crate) fn has_hung(&self) -> bool {
        self.hangs.load(Relaxed) >= MAX_HANGS || Instant::now() >= self.deadline
    }

    /// Returns a reply that streams these pieces.
    pub(crate) fn stream_reply(&self, pieces: Vec<Piece>) -> Reply {
        Reply::streamed(pieces).header("Content-Type", self.profile.media_type.clone())
    }

    /// Returns a reply with the events of a script.
    pub(crate) fn script_reply(&self, script: &Script, style: Style) -> Reply {
        self.stream_reply(vec![Piece::Bytes(script.body(&self.profile, style).into())])
    }

    /// Runs a completion and answers every request with this reply.
    pub(crate) async fn run_completion(&self, reply: Reply) -> Transcript {
        self.complete(request::plain(), reply).await.0
    }

    pub(crate) async fn complete(&self, request: Request, reply: Reply) -> (Transcript, Vec<RecordedRequest>) {
        let service = Service::new(&self.monitor, move |_| reply.clone());
        let mut transcript = Transcript::default();
        match self.start_completion(&service, request).await {
            Ok(completion) => self.collect(completion, &service, &mut transcript).await,
            Err(failure) => transcript.failure = Some(failure),
        }
        self.monitor.scan_for_keys(transcript.message());
        (transcript, service.requests())
    }

    /// Starts a completion.
    pub(crate) async fn start_completion(&self, service: &Service, request: Request) -> Result<Completion, Failure> {
        let started =
            self.with_timeout(self.plugins.complete(&self.digest, self.context(service), request)).await.flatten();
        started.inspect_err(|failure| self.record_failure(failure))
    }

    /// Waits for the next chunk. Returns `None` after a failure or the end of the stream.
    pub(crate) async fn next(
        &self,
        completion: &mut Completion,
        transcript: &mut Transcript,
        service: &Service,
    ) -> Option<()> {
        let chunk = match self.with_timeout(completion.next()).await {
            Ok(chunk) => chunk?,
            Err(failure) => Err(failure),
        };
        match chunk {
            Ok(chunk) => {
                transcript.add(chunk);
                self.monitor.scan_for_keys(transcript.chunks.last().map(String::as_str).unwrap_or_default());
                if !transcript.text.is_empty() {
                    service.signal_text_received();
                }
                if transcript.is_endless() {
                    transcript.failure = Some(Failure::Trapped { message: "it says more than the service".to_owned() });
                }
            }
            Err(failure) => {
                self.record_failure(&failure);
                transcript.failure = Some(failure);
            }
        }
        transcript.failure.is_none().then_some(())
    }

    async fn collect(&self, mut completion: Completion, service: &Service, transcript: &mut Transcript) {
        while self.next(&mut completion, transcript, service).await.is_some() {}
    }

    /// Lists the models. Errors have the host's codes.
    pub(crate) async fn models(
        &self,
        answer: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static,
    ) -> (Result<Vec<Model>, Failure>, Vec<RecordedRequest>) {
        let service = Service::new(&self.monitor, answer);
        let listed = self.with_timeout(self.plugins.list_models(&self.digest, self.context(&service))).await.flatten();
        match &listed {
            Ok(models) => self.monitor.scan_for_keys(&format!("{models:?}")),
            Err(failure) => self.monitor.scan_for_keys(failure.message()),
        }
        (listed.inspect_err(|failure| self.record_failure(failure)), service.requests())
    }

    /// Waits for an operation that should complete immediately.
    pub(crate) async fn with_timeout<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let wait = if self.has_hung() { Duration::ZERO } else { OPERATION_TIMEOUT.min(remaining) };
        timeout(wait, work).await.map_err(|_| {
            self.hangs.fetch_add(1, Relaxed);
            Failure::refused("hung", "it did not come to an end")
        })
    }

    fn context(&self, service: &Service) -> CallContext {
        CallContext { outgoing: Some(Arc::new(service.clone()) as Arc<dyn Outgoing>), ..self.context.clone() }
    }

    fn record_failure(&self, failure: &Failure) {
        if UNAVAILABLE_CODES.contains(&failure.code()) {
            self.host_failure.get_or_init(|| failure.clone());
        }
        if matches!(failure, Failure::Limit { .. }) {
            self.hangs.fetch_add(1, Relaxed);
        }
    }
}
