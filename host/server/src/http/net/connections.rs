//! Accepts, serves and limits connections. A connection is idle while it waits for its client; at the limit, the
//! one that has been idle longest is evicted.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use futures_util::StreamExt as _;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use moxxy_system::tasks::{Policy, Tasks};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::{
    http::net::{loopback::Peer, socket::Socket, tls::Tls},
    http::state::HttpState,
};

/// Pause after a connection could not be accepted.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Maximum number of bytes drained from a body that no handler reads.
const MAX_DRAIN_BYTES: usize = 8 * 1024 * 1024;
/// Time limit for draining a body.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum pause between two frames of a body that is drained.
const DRAIN_PAUSE: Duration = Duration::from_millis(500);
/// Maximum size of a request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Serves until the shutdown, then lets open requests finish.
pub(crate) async fn serve(state: &HttpState, routes: Router, listener: TcpListener, tls: Option<Tls>) {
    let slots = Arc::new(ConnectionSlots::new(state.config.server.connections));
    let graceful = GracefulShutdown::new();
    let shutdown = state.app.background.tasks().shutdown();
    loop {
        let accepted = tokio::select! {
            accepted = slots.accept(&listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually the process is out of file descriptors. A client that has disconnected meanwhile is harmless.
                tracing::warn!(%error, "failed to accept a connection");
                slots.evict_oldest_idle();
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                continue;
            }
        };
        let (state, routes, watcher) = (state.clone(), routes.clone(), graceful.watcher());
        let connection = Connection { state, routes, slot, watcher };
        let tasks = connection.state.app.background.tasks().clone();
        tasks.spawn("connection", Policy::Job, connection.serve(stream, tls.as_ref().map(Tls::acceptor)));
    }
    drop(listener);
    graceful.shutdown().await;
}

struct Connection {
    state: HttpState,
    routes: Router,
    slot: Arc<ConnectionSlot>,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let closed = self.slot.closed.clone();
        let serving = async move {
            let (Ok(address), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
            // Sends small responses without delay.
            drop(stream.set_nodelay(true));
            let socket = Socket::new(stream);
            let peer = Peer::new(address, local, socket.state(), tls.is_some());
            let mut stream = TimeoutStream::new(socket);
            stream.set_write_timeout(Some(Duration::from_secs(self.state.config.server.write_pause)));
            let stream = Box::pin(stream);
            match tls {
                None => self.serve_http(stream, peer).await,
                // Boxed, because this future is several times larger than the rest.
                Some(tls) => Box::pin(self.handshake(tls, stream, peer)).await,
            }
        };
        closed.run_until_cancelled(serving).await;
    }

    /// Performs the TLS handshake, then serves. A shutdown does not wait for the handshake.
    async fn handshake(
        self,
        tls: TlsAcceptor,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) {
        let shutdown = self.state.app.background.tasks().shutdown().clone();
        match shutdown.run_until_cancelled(timeout(self.head_timeout(), tls.accept(stream))).await {
            Some(Ok(Ok(stream))) => self.serve_http(stream, peer).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
            None => {}
        }
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let head_timeout = self.head_timeout();
        let Self { state, routes, slot, watcher } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (mut routes, busy) = (routes.clone(), slot.busy());
            // A client that sends `Expect: 100-continue` sends no body if the request is rejected.
            let asks = request.headers().contains_key(header::EXPECT);
            let mut request: Request = request.map(|body| match asks {
                true => Body::new(body),
                false => Body::new(DrainOnDrop { body: Some(body), tasks: state.app.background.tasks().clone() }),
            });
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(Arc::clone(&slot));
            async move {
                let response = routes.call(request).await?;
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD_BYTES);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection failed");
        }
    }

    /// Returns the time limit for the TLS handshake, and for receiving a request head.
    fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.state.config.server.header_time)
    }
}

/// Request body that is drained, within limits, when it is dropped before its end, such as after a rejection. A client
/// whose connection is closed while it sends does not read the response.
struct DrainOnDrop {
    /// `None` after the end.
    body: Option<Incoming>,
    tasks: Tasks,
}

impl HttpBody for DrainOnDrop {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let end = Instant::now() + DRAIN_TIMEOUT;
        self.tasks.spawn("the rest of a body", Policy::Job, async move {
            let (mut pieces, mut remaining_bytes) = (Body::new(body).into_data_stream(), MAX_DRAIN_BYTES);
            while let Ok(Some(Ok(piece))) = timeout_at(end.min(Instant::now() + DRAIN_PAUSE), pieces.next()).await
                && piece.len() < remaining_bytes
            {
                remaining_bytes -= piece.len();
            }
        });
    }
}

/// Slots for a limited number of connections.
struct ConnectionSlots {
    limit: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    taken: usize,
    next: u64,
    /// Idle connections, the longest idle first.
    waiting: BTreeMap<u64, CancellationToken>,
}

/// Slot of one connection.
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    /// Key in `State::waiting` while the connection is idle.
    idle_key: Mutex<Option<u64>>,
    closed: CancellationToken,
}

/// Guard of a connection that is busy with a request.
struct Busy(Arc<ConnectionSlot>);

/// Guard of a connection that is idle in the middle of a request.
pub(crate) struct Waiting(Arc<ConnectionSlot>);

impl ConnectionSlots {
    fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), freed: Notify::new() }
    }

    /// Accepts the next connection. At the limit, evicts the connection that has been idle longest, or waits if all
    /// are busy.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) -> io::Result<(TcpStream, Arc<ConnectionSlot>)> {
        let (stream, _) = listener.accept().await?;
        while self.state().taken >= self.limit && !self.evict_oldest_idle() {
            self.freed.notified().await;
        }
        self.state().taken += 1;
        let slot = Arc::new(ConnectionSlot {
            slots: Arc::clone(self),
            idle_key: Mutex::default(),
            closed: CancellationToken::new(),
        });
        slot.wait();
        Ok((stream, slot))
    }

    /// Closes the connection that has been idle longest. Returns whether there was one.
    fn evict_oldest_idle(&self) -> bool {
        let longest = self.state().waiting.pop_first();
        longest.map(|(_, closed)| closed.cancel()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every use leaves the state consistent, so poisoning is ignored.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    fn wait(&self) {
        self.stop_waiting();
        let mut state = self.slots.state();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, self.closed.clone());
        *self.idle_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
        drop(state);
        // `accept` may evict this connection now.
        self.slots.freed.notify_one();
    }

    fn stop_waiting(&self) {
        let number = self.idle_key.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = number {
            self.slots.state().waiting.remove(&number);
        }
    }

    fn busy(self: &Arc<Self>) -> Busy {
        self.stop_waiting();
        Busy(Arc::clone(self))
    }

    /// Marks the connection as idle until the guard is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        self.wait();
        Waiting(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.stop_waiting();
        self.slots.state().taken -= 1;
        self.slots.freed.notify_one();
    }
}

/// Response body that keeps the connection busy until it has been sent.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
