//! Connections: accepted, served and counted. Those that wait for their client cost little, and make
//! room for others when there are too many.

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
use rustix::process::{Resource, getrlimit};
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

/// How long to wait where the system has no room for another connection.
const SCARCE: Duration = Duration::from_millis(50);
/// How much is taken in of a body that nobody reads, in bytes, and for how long.
const LEFT: usize = 8 * 1024 * 1024;
const LEFT_TIME: Duration = Duration::from_secs(2);
const LEFT_PAUSE: Duration = Duration::from_millis(500);
/// The largest head of a request, in bytes.
const HEAD: usize = 64 * 1024;

/// Serves until the shutdown, then lets open requests end.
pub async fn serve(state: &HttpState, routes: Router, listener: TcpListener, tls: Option<Tls>) {
    let seats = Arc::new(ConnectionSlots::new(room(state.config.server.connections)));
    let graceful = GracefulShutdown::new();
    let shutdown = state.app.background.tasks().shutdown();
    loop {
        let accepted = tokio::select! {
            accepted = seats.accept(&listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, seat) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // For want of open files, mostly; a client that was gone again is no trouble.
                tracing::warn!(%error, "a connection could not be accepted");
                seats.evict_oldest_idle();
                tokio::time::sleep(SCARCE).await;
                continue;
            }
        };
        let (state, routes, watcher) = (state.clone(), routes.clone(), graceful.watcher());
        let connection = Connection { state, routes, seat, watcher };
        let tasks = connection.state.app.background.tasks().clone();
        tasks.spawn("connection", Policy::Job, connection.serve(stream, tls.as_ref().map(Tls::acceptor)));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// How many connections there may be: at most half of the files that the process may open.
fn room(configured: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files.try_into().unwrap_or(usize::MAX));
    if files / 2 < configured {
        tracing::warn!(configured, "the limit on open files (ulimit -n) has room for {} connections only", files / 2);
    }
    configured.min(files / 2).max(1)
}

struct Connection {
    state: HttpState,
    routes: Router,
    seat: Arc<ConnectionSlot>,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let closed = self.seat.closed.clone();
        let serving = async move {
            let (Ok(address), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
            // Small answers leave at once.
            drop(stream.set_nodelay(true));
            let socket = Socket::new(stream);
            let peer = Peer::new(address, local, socket.state(), tls.is_some());
            let mut stream = TimeoutStream::new(socket);
            stream.set_write_timeout(Some(Duration::from_secs(self.state.config.server.write_pause)));
            let stream = Box::pin(stream);
            match tls {
                None => self.speak(stream, peer).await,
                // Apart, for it takes several times as much room as the rest.
                Some(tls) => Box::pin(self.greet(tls, stream, peer)).await,
            }
        };
        closed.run_until_cancelled(serving).await;
    }

    /// The TLS handshake. A shutdown does not wait for it.
    async fn greet(self, tls: TlsAcceptor, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let shutdown = self.state.app.background.tasks().shutdown().clone();
        match shutdown.run_until_cancelled(timeout(self.patience(), tls.accept(stream))).await {
            Some(Ok(Ok(stream))) => self.speak(stream, peer).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
            None => {}
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let patience = self.patience();
        let Self { state, routes, seat, watcher } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (mut routes, busy) = (routes.clone(), seat.busy());
            // Who asks first whether to send a body sends none if it is refused.
            let asks = request.headers().contains_key(header::EXPECT);
            let mut request: Request = request.map(|body| match asks {
                true => Body::new(body),
                false => Body::new(DrainOnDrop { body: Some(body), tasks: state.app.background.tasks().clone() }),
            });
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(Arc::clone(&seat));
            async move {
                let response = routes.call(request).await?;
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEAD);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }

    /// How long a head may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.state.config.server.header_time)
    }
}

/// A request's body. What nobody reads, as the request was refused, is taken in all the same, within
/// bounds: a client whose connection breaks while it sends does not read the answer.
struct DrainOnDrop {
    /// `None` at its end.
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
        let end = Instant::now() + LEFT_TIME;
        self.tasks.spawn("the rest of a body", Policy::Job, async move {
            let (mut pieces, mut room) = (Body::new(body).into_data_stream(), LEFT);
            while let Ok(Some(Ok(piece))) = timeout_at(end.min(Instant::now() + LEFT_PAUSE), pieces.next()).await
                && piece.len() < room
            {
                room -= piece.len();
            }
        });
    }
}

/// The room for connections.
struct ConnectionSlots {
    limit: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    taken: usize,
    next: u64,
    /// Those that wait for their client, longest first.
    waiting: BTreeMap<u64, CancellationToken>,
}

/// A connection's place.
pub struct ConnectionSlot {
    seats: Arc<ConnectionSlots>,
    /// Where it stands among those that wait, if it does.
    ticket: Mutex<Option<u64>>,
    closed: CancellationToken,
}

/// The connection does something for its client.
struct Busy(Arc<ConnectionSlot>);

/// The connection waits for its client again, in the midst of a request.
pub struct Waiting(Arc<ConnectionSlot>);

impl ConnectionSlots {
    fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), freed: Notify::new() }
    }

    /// Accepts the next connection. If there are as many as may be, the one that has waited for its
    /// client longest makes room; if all are busy, this waits.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) -> io::Result<(TcpStream, Arc<ConnectionSlot>)> {
        let (stream, _) = listener.accept().await?;
        while self.state().taken >= self.limit && !self.evict_oldest_idle() {
            self.freed.notified().await;
        }
        self.state().taken += 1;
        let seat = Arc::new(ConnectionSlot {
            seats: Arc::clone(self),
            ticket: Mutex::default(),
            closed: CancellationToken::new(),
        });
        seat.wait();
        Ok((stream, seat))
    }

    /// Closes the connection that has waited longest, if one waits.
    fn evict_oldest_idle(&self) -> bool {
        let longest = self.state().waiting.pop_first();
        longest.map(|(_, closed)| closed.cancel()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each use leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    fn wait(&self) {
        self.stop_waiting();
        let mut state = self.seats.state();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, self.closed.clone());
        *self.ticket.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
        drop(state);
        // Whoever wants to be accepted may have its place.
        self.seats.freed.notify_one();
    }

    fn stop_waiting(&self) {
        let number = self.ticket.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = number {
            self.seats.state().waiting.remove(&number);
        }
    }

    fn busy(self: &Arc<Self>) -> Busy {
        self.stop_waiting();
        Busy(Arc::clone(self))
    }

    /// Until this is dropped, the connection waits for its client.
    pub fn waiting(self: &Arc<Self>) -> Waiting {
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
        self.seats.state().taken -= 1;
        self.seats.freed.notify_one();
    }
}

/// An answer's body; the connection is busy until it has been sent.
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
