//! Executes one request: policy check, connect, send, follow redirects. Every hop passes the same checks as the
//! first.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT, VIA},
    request::Parts,
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use moxxy_system::{
    tasks,
    timeout::{sleep, timeout, timeout_at},
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::{
    body::{self, Body, BodyKind, RequestBody, ResponseBody, ResponseLimits},
    connect::Connector,
    decoding::decode,
    error::{Error, Refusal, TimeoutPhase},
    pool::{Connection, Key, Lease, Pool},
    redirect,
    rule::{Policy, Rule},
    target::Target,
};
use crate::{
    Options,
    credentials::{Hop, RequestInterceptor},
};

/// Maximum length of a method, in bytes.
const MAX_METHOD_BYTES: usize = 32;
const DEFAULT_USER_AGENT: &str = concat!("moxxy/", env!("CARGO_PKG_VERSION"));
/// Value of `Via` on requests to non-public addresses. Loopback trust rejects requests that carry it.
const VIA_VALUE: &str = "1.1 moxxy";

/// Timeouts of a request.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connection: Duration,
    pub head: Duration,
    pub pause: Duration,
}

pub(crate) struct Client {
    pub config: Options,
    pub connector: Connector,
    pub pool: Arc<Pool>,
    pub server: tasks::ServerRuntime,
}

/// Everything needed to send one request.
pub(crate) struct RequestSender<'a> {
    pub client: &'a Client,
    pub policy: &'a Arc<Policy>,
    pub interceptor: Option<&'a dyn RequestInterceptor>,
    pub timeouts: Timeouts,
    pub deadline: Instant,
    pub permit: Arc<OwnedSemaphorePermit>,
}

impl RequestSender<'_> {
    /// Sends a request, follows its redirects and returns the final response.
    pub(crate) async fn send_following_redirects(
        &self,
        target: Target,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        let max_redirects = self.client.config.redirects;
        let (mut parts, mut body) = request.into_parts();
        remove_hop_by_hop_headers(&mut parts.headers);
        let (origin, mut target, mut hops) = (target.clone(), target, 0);
        let mut left_origin = false;
        loop {
            let (recorded_body, body_kind) = BodyKind::recorded(body);
            let hop = Hop { url: target.url(), left_origin };
            let response = self.send_hop(&target, &hop, &parts, recorded_body).await?;
            let Some(next) = redirect::redirect_of(&response, &parts.method, !body_kind.is_known_empty()) else {
                return Ok(response);
            };
            if hops == max_redirects {
                return Err(Error::Redirects(max_redirects));
            }
            hops += 1;
            target = target.join(&next.location)?;
            left_origin |= !target.has_same_origin(&origin);
            if left_origin {
                redirect::strip_credentials(&mut parts.headers);
            }
            redirect::strip_content(&mut parts.headers);
            parts.method = next.method;
            body = body::empty();
        }
    }

    /// Performs one hop.
    async fn send_hop(
        &self,
        target: &Target,
        hop: &Hop<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        self.client.connector.refuse_own_listener(target)?;
        let rule = self.policy.decide(target, &parts.method)?;
        let key = Key::new(self.policy, rule, target);
        let connection = match self.client.pool.checkout(&key) {
            Some(connection) => connection,
            None => self.connect(target, rule).await?,
        };
        let mut request = Request::from_parts(parts.clone(), body);
        *request.uri_mut() = target.path_and_query()?;
        if let Some(interceptor) = self.interceptor {
            request = interceptor.on_request(hop, request).await?;
        }
        // A retry may replace this connection with one to another address.
        add_headers(request.headers_mut(), target, connection.private || rule.allows_private())?;
        let response = self.send_with_retry(target, rule, key, connection, request).await?;
        match self.interceptor {
            Some(interceptor) => interceptor.on_response(hop, response).await,
            None => Ok(response),
        }
    }

    async fn send_with_retry(
        &self,
        target: &Target,
        rule: &Rule,
        key: Key,
        mut connection: Connection,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        let (request, mut progress) = self.limit_body(request)?;
        let first_attempt = self.await_response(&mut connection, request, &mut progress).await;
        let response = match first_attempt {
            Ok(response) => response,
            // The server closed the idle connection before anything was sent: retry once.
            Err((_, Some(request))) if connection.used => {
                connection = self.connect(target, rule).await?;
                self.await_response(&mut connection, *request, &mut progress).await.map_err(|(error, _)| error)?
            }
            Err((error, _)) => return Err(error),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Broken("the server changed the protocol".into()));
        }
        connection.used = true;
        let config = &self.client.config;
        let total_timeout = Duration::from_secs(config.total_time);
        let limits = ResponseLimits {
            max_bytes: config.response_body,
            idle_timeout: self.timeouts.pause,
            deadline: self.deadline,
            total_timeout,
        };
        let lease = Lease { connection, key, pool: Arc::clone(&self.client.pool), _permit: Arc::clone(&self.permit) };
        let declared_bytes = response.body().size_hint().lower();
        if declared_bytes > limits.max_bytes {
            return Err(Error::ResponseBody(limits.max_bytes));
        }
        let response = response.map(|incoming| ResponseBody::new(incoming, lease, limits).boxed_unsync());
        Ok(decode(response, limits.max_bytes))
    }

    fn limit_body(&self, request: Request<Body>) -> Result<(Request<RequestBody>, watch::Receiver<()>), Error> {
        let limit = self.client.config.request_body;
        let (parts, body) = request.into_parts();
        // The body of a component is streamed and has no size hint, so the header is checked too.
        let declared_bytes = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if declared_bytes.unwrap_or(0).max(body.size_hint().lower()) > limit {
            return Err(Error::RequestBody(limit));
        }
        let (body, progress) = RequestBody::new(body, limit);
        Ok((Request::from_parts(parts, body), progress))
    }

    /// Sends a request and waits for the head of the response. The timeout restarts whenever the body makes
    /// progress. A request that was not sent is returned with the error.
    async fn await_response(
        &self,
        connection: &mut Connection,
        request: Request<RequestBody>,
        progress: &mut watch::Receiver<()>,
    ) -> Result<Response<Incoming>, (Error, Option<Box<Request<RequestBody>>>)> {
        let mut sending = Box::pin(connection.sender.try_send_request(request));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent.map_err(|mut error| {
                    let request = error.take_message().map(Box::new);
                    (Error::of_hyper(error.error(), self.client.config.response_head), request)
                }),
                Ok(()) = progress.changed() => {}
                () = sleep(self.timeouts.head) => {
                    return Err((Error::Timeout(TimeoutPhase::ResponseHead, self.timeouts.head), None));
                }
            }
        }
    }

    async fn connect(&self, target: &Target, rule: &Rule) -> Result<Connection, Error> {
        let client = self.client;
        let until = self.deadline.min(Instant::now() + self.timeouts.connection);
        let permit = client.pool.acquire_permit(&self.policy.owner, until).await?;
        let addresses = client.connector.resolve(target, rule, until).await?;
        let timed_out = || Error::Timeout(TimeoutPhase::Connection, self.timeouts.connection);
        let connecting = client.connector.connect(target, &addresses, until);
        let (stream, private) = timeout_at(until, connecting).await.map_err(|_| timed_out())??;
        let head = usize::try_from(client.config.response_head).unwrap_or(usize::MAX);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(head)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::of_hyper(&error, client.config.response_head))?;
        let driver = client.server.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "outgoing connection failed");
            }
        });
        Ok(Connection { sender, private, used: false, _driver: driver, _permit: permit })
    }
}

impl Client {
    /// Sends a request within the total timeout.
    pub(crate) async fn send(
        &self,
        policy: &Arc<Policy>,
        interceptor: Option<&dyn RequestInterceptor>,
        request: Request<Body>,
        timeouts: Timeouts,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Error> {
        if request.method().as_str().len() > MAX_METHOD_BYTES {
            return Err(Refusal::Malformed("its method has more than 32 characters").into());
        }
        let target = Target::parse(&request.uri().to_string())?;
        let total_timeout = Duration::from_secs(self.config.total_time);
        let sender = RequestSender {
            client: self,
            policy,
            interceptor,
            timeouts,
            deadline: Instant::now() + total_timeout,
            permit: Arc::new(permit),
        };
        timeout(total_timeout, sender.send_following_redirects(target, request))
            .await
            .unwrap_or(Err(Error::Timeout(TimeoutPhase::Total, total_timeout)))
    }
}

/// Removes hop-by-hop headers.
fn remove_hop_by_hop_headers(headers: &mut HeaderMap) {
    let connection_headers: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let ours = [CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let others = ["keep-alive", "proxy-authorization", "proxy-connection", "http2-settings"];
    let others = others.into_iter().map(HeaderName::from_static);
    for name in connection_headers.into_iter().chain(ours).chain(others).filter(|name| name != CONTENT_LENGTH) {
        headers.remove(name);
    }
}

/// Adds the headers `Host`, `User-Agent` and, for non-public addresses, `Via`.
fn add_headers(headers: &mut HeaderMap, target: &Target, private: bool) -> Result<(), Error> {
    let host = HeaderValue::try_from(target.host_header()).map_err(|error| Error::Broken(error.to_string()))?;
    headers.insert(HOST, host);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(DEFAULT_USER_AGENT));
    if private {
        headers.append(VIA, HeaderValue::from_static(VIA_VALUE));
    }
    Ok(())
}
