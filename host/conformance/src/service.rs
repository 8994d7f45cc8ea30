//! In-memory service that replaces the network behind the component's `wasi:http`. It answers from the script,
//! records requests, and connects to nothing.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use moxxy_egress::{Body, Error, Target, Timeouts};
use moxxy_runtime::Outgoing;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::monitor::RuleMonitor;

/// Maximum size of a request, in bytes.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Maximum number of recorded requests per call.
const MAX_RECORDED_REQUESTS: usize = 64;

/// Reply to a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Says {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<Piece>,
    },
    /// The request fails with this error.
    Fails(Error),
    /// The request is never answered.
    Never,
}

/// A piece of a response body.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// Yields before the next piece.
    Pause,
    /// Waits until the host has received some text.
    AwaitText,
    /// Stalls: no more pieces and no end.
    Stall,
    /// The connection breaks.
    Break,
}

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    pub method: String,
    pub url: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The service of one call. Clones share their state.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

struct Inner {
    monitor: Arc<RuleMonitor>,
    answer: Box<dyn Fn(&RecordedRequest) -> Reply + Send + Sync>,
    requests: Mutex<Vec<RecordedRequest>>,
    request_received: CancellationToken,
    /// Cancelled once the host has received some text.
    text_received: CancellationToken,
    /// Cancelled once a response was dropped.
    closed: CancellationToken,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Says { status, headers: Vec::new(), body: vec![Piece::Bytes(body.into())] }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Says { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    pub(crate) fn streamed(streamed: Vec<Piece>) -> Self {
        Self::Says { status: 200, headers: Vec::new(), body: streamed }
    }
}

impl Service {
    pub(crate) fn new(
        monitor: &Arc<RuleMonitor>,
        answer: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (request_received, text_received, closed) = Default::default();
        let (monitor, answer) = (Arc::clone(monitor), Box::new(answer));
        Self(Arc::new(Inner { monitor, answer, requests: Mutex::default(), request_received, text_received, closed }))
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.0.requests().clone()
    }

    /// Signals that the host has received some text.
    pub(crate) fn signal_text_received(&self) {
        self.0.text_received.cancel();
    }

    /// Waits for the first request.
    pub(crate) async fn request_received(&self) {
        self.0.request_received.cancelled().await;
    }

    /// Waits until a response is dropped.
    pub(crate) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }
}

impl Inner {
    fn requests(&self) -> MutexGuard<'_, Vec<RecordedRequest>> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Error> {
        let (parts, body) = request.into_parts();
        let target = Target::parse(&parts.uri.to_string())?;
        // Check the target and the headers even if reading the body fails.
        self.monitor.check_request(&target, &parts.method, &parts.headers, &Bytes::new());
        let whole = Limited::new(body, MAX_REQUEST_BYTES).collect().await;
        let body = whole.map_err(|_| Error::RequestBody(MAX_REQUEST_BYTES as u64))?.to_bytes();
        let (method, url) = (parts.method.as_str().to_owned(), target.url().clone());
        self.monitor.check_request(&target, &parts.method, &parts.headers, &body);
        let path = url.path().to_owned();
        let recorded = RecordedRequest { method, url: url.to_string(), path, headers: parts.headers, body };
        let reply = (self.answer)(&recorded);
        {
            let mut all = self.requests();
            if all.len() < MAX_RECORDED_REQUESTS {
                all.push(recorded);
            }
        }
        let closed = self.closed.clone().drop_guard();
        self.request_received.cancel();
        match reply {
            Reply::Fails(error) => Err(error),
            Reply::Never => {
                let _closed = closed;
                std::future::pending().await
            }
            Reply::Says { status, headers, body } => {
                let response = headers
                    .iter()
                    .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, value));
                let body = stream_pieces(body, self.text_received.clone(), closed);
                response.body(body).map_err(|error| Error::Broken(error.to_string()))
            }
        }
    }
}

/// Streams the pieces, each when it is polled.
fn stream_pieces(streamed: Vec<Piece>, text_received: CancellationToken, closed: DropGuard) -> Body {
    let state = (VecDeque::from(streamed), text_received, closed);
    let next = async |mut state: (VecDeque<Piece>, CancellationToken, DropGuard)| {
        loop {
            match state.0.pop_front()? {
                Piece::Bytes(bytes) if bytes.is_empty() => {}
                Piece::Bytes(bytes) => return Some((Ok(Frame::data(bytes)), state)),
                Piece::Pause => tokio::task::yield_now().await,
                Piece::AwaitText => state.1.cancelled().await,
                Piece::Stall => std::future::pending::<()>().await,
                Piece::Break => {
                    state.0.clear();
                    return Some((Err(Error::Broken("the connection was cut".into())), state));
                }
            }
        }
    };
    StreamBody::new(stream::unfold(state, next)).boxed_unsync()
}

impl Outgoing for Service {
    fn send(&self, request: Request<Body>, _: Timeouts) -> BoxFuture<'static, Result<Response<Body>, Error>> {
        Box::pin(Arc::clone(&self.0).answer(request))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
