//! Streaming request and response bodies with size limits and timeouts. Nothing is buffered.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    error::{Error, TimeoutPhase},
    pool::Lease,
};

pub type Body = UnsyncBoxBody<Bytes, Error>;

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Records whether a body contains anything. Known only after the body has been sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyKind(Arc<BodyState>);

#[derive(Debug, Default)]
struct BodyState {
    has_data: AtomicBool,
    ended: AtomicBool,
}

impl BodyKind {
    /// Wraps a body and returns the handle that records its content.
    pub(crate) fn recorded(body: Body) -> (Body, Self) {
        let kind = Self::default();
        kind.0.ended.store(body.is_end_stream(), Relaxed);
        (RecordingBody { body, kind: kind.clone() }.boxed_unsync(), kind)
    }

    /// Whether the body is known to be empty.
    pub(crate) fn is_known_empty(&self) -> bool {
        self.0.ended.load(Relaxed) && !self.0.has_data.load(Relaxed)
    }
}

struct RecordingBody {
    body: Body,
    kind: BodyKind,
}

impl http_body::Body for RecordingBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            Some(_) => self.kind.0.has_data.store(true, Relaxed),
            None => self.kind.0.ended.store(true, Relaxed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request. Signals progress and enforces the size limit in bytes.
pub(crate) struct RequestBody {
    body: Body,
    limit: u64,
    remaining_bytes: u64,
    progress: watch::Sender<()>,
}

impl RequestBody {
    pub(crate) fn new(body: Body, limit: u64) -> (Self, watch::Receiver<()>) {
        let (progress, receiver) = watch::channel(());
        (Self { body, limit, remaining_bytes: limit, progress }, receiver)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.progress.send_replace(());
        let limit = self.limit;
        Poll::Ready(frame.map(|frame| count_bytes(frame?, &mut self.remaining_bytes, || Error::RequestBody(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Size limit and timeouts of a response body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseLimits {
    pub max_bytes: u64,
    pub idle_timeout: Duration,
    pub deadline: Instant,
    pub total_timeout: Duration,
}

/// The body of a response. At its end the connection returns to the pool. If it is dropped earlier, the
/// connection is closed.
pub(crate) struct ResponseBody {
    body: Incoming,
    lease: Option<Lease>,
    remaining_bytes: u64,
    limits: ResponseLimits,
    timer: Pin<Box<Sleep>>,
}

impl ResponseBody {
    pub(crate) fn new(body: Incoming, lease: Lease, limits: ResponseLimits) -> Self {
        let timer = Box::pin(sleep_until(limits.deadline.min(Instant::now() + limits.idle_timeout)));
        let mut response = Self { body, lease: Some(lease), remaining_bytes: limits.max_bytes, limits, timer };
        if response.body.is_end_stream() {
            response.return_connection();
        }
        response
    }

    fn return_connection(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.return_to_pool();
        }
    }

    fn timeout_error(&self) -> Error {
        match Instant::now() >= self.limits.deadline {
            true => Error::Timeout(TimeoutPhase::Total, self.limits.total_timeout),
            false => Error::Timeout(TimeoutPhase::Chunk, self.limits.idle_timeout),
        }
    }

    fn accept_frame(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let next = self.limits.deadline.min(Instant::now() + self.limits.idle_timeout);
        self.timer.as_mut().reset(next);
        let limit = self.limits.max_bytes;
        count_bytes(frame, &mut self.remaining_bytes, || Error::ResponseBody(limit))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The deadline also applies to a server that sends without a pause.
        if Instant::now() >= self.limits.deadline {
            return Poll::Ready(Some(Err(self.timeout_error())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.accept_frame(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::Broken(error.to_string())))),
            Poll::Ready(None) => {
                self.return_connection();
                Poll::Ready(None)
            }
            Poll::Pending => match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(self.timeout_error()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn count_bytes(
    frame: Frame<Bytes>,
    remaining_bytes: &mut u64,
    limit_error: impl Fn() -> Error,
) -> Result<Frame<Bytes>, Error> {
    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
    *remaining_bytes = remaining_bytes.checked_sub(length).ok_or_else(limit_error)?;
    Ok(frame)
}
