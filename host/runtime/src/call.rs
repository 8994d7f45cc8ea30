//! Executes calls: each in a fresh instance and store, under its limits, dropped afterwards.

use std::{sync::Arc, time::Duration};

use moxxy_secrets::Redactor;
use moxxy_system::timeout::{timeout, timeout_at};
use moxxy_types::{components::Staged, events::Usage};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use wasmtime::{Engine, Store};

use super::{
    CallContext, Failure, Limit,
    bindings::{
        models::exports::moxxy::plugin::models as guest_models, plugin::exports::moxxy::plugin::plugin as guest_plugin,
        tools::exports::moxxy::plugin::tools as guest_tools,
    },
    exports::Exports,
    imports::logging::Log,
    limits::Limits,
    meter::Meter,
    output::{self, Output},
    state::CallState,
};
use crate::stream_redaction::StreamRedaction;

/// One call: its store and its limits.
pub(crate) struct Call<'l> {
    store: Store<CallState>,
    meter: Arc<Meter>,
    limits: &'l Limits,
    stop: CancellationToken,
}

type Chunks = mpsc::Sender<Result<guest_models::Chunk, Failure>>;

impl<'l> Call<'l> {
    pub(crate) fn new(engine: &Engine, context: CallContext, limits: &'l Limits) -> Self {
        let meter = Meter::new(limits.cpu);
        let stop = context.stop.clone();
        let store = CallState::store(engine, context, limits, &meter);
        Self { store, meter, limits, stop }
    }

    /// Returns a redactor for the secrets that the call opened, if any.
    pub(crate) fn redactor(&self) -> Option<Redactor> {
        self.store.data().context.secrets.as_ref()?.redactor()
    }

    /// Ends the call and returns its usage, staged writes and log.
    pub(crate) fn end(mut self) -> (Usage, Staged, Log) {
        let state = self.store.data_mut();
        (state.usage(), std::mem::take(&mut state.staged), std::mem::take(&mut state.log))
    }

    pub(crate) async fn tool(&mut self, exports: &Exports, tool: &str, arguments: &str) -> Result<Output, Failure> {
        self.store.data_mut().received_bytes = arguments.len();
        let result = self.run(async |store| exports.call_tool(store, tool, arguments).await).await?;
        self.store.data_mut().sent_bytes += result.as_ref().map_or(0, |output| output.content.len());
        let question = self.store.data_mut().pending_question.take();
        output::validate(&self.store.data().context.component, result, question)
            .map_err(|failure| self.with_refusal_reason(failure))
    }

    pub(crate) async fn list_models(&mut self, exports: &Exports) -> Result<Vec<guest_models::Model>, Failure> {
        let result = self.run(async |store| exports.list_models(store).await).await?;
        result.map_err(|error| self.with_refusal_reason(output::provider_error(error)))
    }

    /// Calls `get-manifest`.
    pub(crate) async fn describe(&mut self, exports: &Exports) -> Result<guest_plugin::Manifest, Failure> {
        self.run(async |store| exports.manifest(store).await).await
    }

    pub(crate) async fn list_tools(&mut self, exports: &Exports) -> Result<Vec<guest_tools::Tool>, Failure> {
        self.run(async |store| exports.list_tools(store).await).await
    }

    /// Runs a completion and sends its chunks, until its end or until the receiver is dropped.
    pub(crate) async fn complete(
        &mut self,
        exports: &Exports,
        request: &guest_models::Request,
        chunks: &Chunks,
    ) -> Result<(), Failure> {
        let limits = self.limits;
        let completed =
            self.run(async |store| stream_completion(store, exports, request, chunks, limits).await).await?;
        completed.map_err(|failure| self.with_refusal_reason(failure))
    }

    /// Runs guest code under the call's limits. After an error the store must not be used again.
    async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Store<CallState>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let work = self.meter.measure(work(&mut self.store));
        // Most calls end in their first poll and never check `stop`; longer ones yield at each tick.
        let ended = tokio::select! {
            biased;
            ended = timeout(self.limits.wall, work) => ended,
            () = self.stop.cancelled() => return Err(Failure::refused("stopped", "The call was stopped")),
        };
        match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.store.data().failure(&error, self.limits)),
            Err(_) => Err(self.timeout_failure(Limit::Wall, self.limits.wall)),
        }
    }

    /// Adds the reason of a refused request to the guest's error. The guest itself only sees a code.
    fn with_refusal_reason(&self, failure: Failure) -> Failure {
        match (failure, self.store.data().hooks.refusal()) {
            (Failure::ComponentError { code, message, retry_after, learned }, Some(refusal)) => {
                let message = format!("{message} (a request was refused: {refusal})");
                Failure::ComponentError { code, message, retry_after, learned }
            }
            (failure, _) => failure,
        }
    }

    fn timeout_failure(&self, limit: Limit, time: Duration) -> Failure {
        timeout_failure(&self.store, limit, time)
    }
}

async fn stream_completion(
    store: &mut Store<CallState>,
    exports: &Exports,
    request: &guest_models::Request,
    chunks: &Chunks,
    limits: &Limits,
) -> wasmtime::Result<Result<(), Failure>> {
    let first = Instant::now() + limits.first_token;
    let started = match timeout_at(first, exports.complete(&mut *store, request)).await {
        Ok(started) => started?,
        Err(_) => return Ok(Err(timeout_failure(store, Limit::FirstToken, limits.first_token))),
    };
    let completion = match started {
        Ok(completion) => completion,
        Err(error) => return Ok(Err(output::provider_error(error))),
    };
    let mut redaction = StreamRedaction::new(store.data().context.secrets.clone());
    let (mut deadline, mut limit, mut time) = (first, Limit::FirstToken, limits.first_token);
    loop {
        let next = match timeout_at(deadline, completion.next(&mut *store)).await {
            Ok(next) => next?,
            Err(_) => return Ok(Err(timeout_failure(store, limit, time))),
        };
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Err(missing_stop_failure(store))),
            Err(error) => return Ok(Err(output::provider_error(error))),
        };
        let last = matches!(chunk, guest_models::Chunk::Stop(_));
        for chunk in redaction.push(chunk) {
            if chunks.send(Ok(chunk)).await.is_err() {
                return Ok(Ok(()));
            }
        }
        if last {
            return Ok(Ok(()));
        }
        (limit, time) = (Limit::BetweenTokens, limits.between_tokens);
        deadline = Instant::now() + time;
    }
}

fn timeout_failure(store: &Store<CallState>, limit: Limit, time: Duration) -> Failure {
    let name = &store.data().context.component;
    let what = match limit {
        Limit::FirstToken => "did not begin to answer within",
        Limit::BetweenTokens => "paused for more than",
        _ => "took more than its",
    };
    Failure::Limit { limit, message: format!("`{name}` {what} {} ms", time.as_millis()) }
}

fn missing_stop_failure(store: &Store<CallState>) -> Failure {
    let name = &store.data().context.component;
    Failure::Trapped { message: format!("`{name}` ended its stream without saying why it stopped") }
}
