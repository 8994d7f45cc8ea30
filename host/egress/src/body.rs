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
    error::{Error, Wait},
    pool::Lease,
};

pub type Body = UnsyncBoxBody<Bytes, Error>;

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Records whether a body contains anything. Known only after the body has been sent.
#[derive(Debug, Clone, Default)]
pub struct BodyKind(Arc<Gone>);

#[derive(Debug, Default)]
struct Gone {
    some: AtomicBool,
    all: AtomicBool,
}

impl BodyKind {
    /// Wraps a body and returns the handle that records its content.
    pub fn of(body: Body) -> (Body, Self) {
        let extent = Self::default();
        extent.0.all.store(body.is_end_stream(), Relaxed);
        (Measured { body, extent: extent.clone() }.boxed_unsync(), extent)
    }

    /// Whether the body is known to be empty.
    pub fn is_nothing(&self) -> bool {
        self.0.all.load(Relaxed) && !self.0.some.load(Relaxed)
    }
}

struct Measured {
    body: Body,
    extent: BodyKind,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            Some(_) => self.extent.0.some.store(true, Relaxed),
            None => self.extent.0.all.store(true, Relaxed),
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
pub struct Outgoing {
    body: Body,
    limit: u64,
    left: u64,
    goes_on: watch::Sender<()>,
}

impl Outgoing {
    pub fn new(body: Body, limit: u64) -> (Self, watch::Receiver<()>) {
        let (goes_on, seen) = watch::channel(());
        (Self { body, limit, left: limit, goes_on }, seen)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.goes_on.send_replace(());
        let limit = self.limit;
        Poll::Ready(frame.map(|frame| count(frame?, &mut self.left, || Error::RequestBody(limit))))
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
pub struct Bounds {
    pub bytes: u64,
    pub pause: Duration,
    pub end: Instant,
    pub total: Duration,
}

/// The body of a response. At its end the connection returns to the pool. If it is dropped earlier, the
/// connection is closed.
pub struct Received {
    body: Incoming,
    lease: Option<Lease>,
    left: u64,
    bounds: Bounds,
    timer: Pin<Box<Sleep>>,
}

impl Received {
    pub fn new(body: Incoming, lease: Lease, bounds: Bounds) -> Self {
        let timer = Box::pin(sleep_until(bounds.end.min(Instant::now() + bounds.pause)));
        let mut received = Self { body, lease: Some(lease), left: bounds.bytes, bounds, timer };
        if received.body.is_end_stream() {
            received.end();
        }
        received
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn late(&self) -> Error {
        match Instant::now() >= self.bounds.end {
            true => Error::Late(Wait::End, self.bounds.total),
            false => Error::Late(Wait::Piece, self.bounds.pause),
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let next = self.bounds.end.min(Instant::now() + self.bounds.pause);
        self.timer.as_mut().reset(next);
        let limit = self.bounds.bytes;
        count(frame, &mut self.left, || Error::ResponseBody(limit))
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The deadline also applies to a server that sends without a pause.
        if Instant::now() >= self.bounds.end {
            return Poll::Ready(Some(Err(self.late())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.take(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::Broken(error.to_string())))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(self.late()))),
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

fn count(frame: Frame<Bytes>, left: &mut u64, over: impl Fn() -> Error) -> Result<Frame<Bytes>, Error> {
    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
    *left = left.checked_sub(length).ok_or_else(over)?;
    Ok(frame)
}
