//! `wasi:http/outgoing-handler`: HTTP access through the call's context.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::BodyExt as _;
use moxxy_egress::{self as egress, Refusal, TimeoutPhase, Timeouts};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::{context::Outgoing, state::CallState};

/// Maximum size of a body chunk, in bytes. A call may hold hundreds of bodies, each with two such chunks.
const MAX_BODY_CHUNK_BYTES: usize = 16 * 1024;

/// Forwards requests to the call's [`Outgoing`].
#[derive(Debug)]
pub(crate) struct Hooks {
    outgoing: Option<Arc<dyn Outgoing>>,
    /// Whether a request was sent that may have changed something.
    pub sent_change: bool,
    /// Whether the call asked the user and has no answer. It will be repeated.
    pub awaits_answer: bool,
    last_refusal: LastRefusal,
}

/// The reason why the last request was refused. Components only receive a code.
#[derive(Debug, Clone, Default)]
struct LastRefusal(Arc<Mutex<Option<String>>>);

type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Transfer)>> + Send>;

impl Hooks {
    pub(crate) fn new(outgoing: Option<Arc<dyn Outgoing>>) -> Self {
        Self { outgoing, sent_change: false, awaits_answer: false, last_refusal: LastRefusal::default() }
    }

    /// Returns the reason why the last request was refused, if one was.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.last_refusal.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LastRefusal {
    fn record_refusal(&self, refusal: &Refusal) {
        self.record(refusal.to_string());
    }

    fn record(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transfer: Transfer,
    ) -> Sending {
        let Some(outgoing) = self.outgoing.clone() else {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let changes = !matches!(*request.method(), http::Method::GET | http::Method::HEAD);
        if changes && self.awaits_answer {
            self.last_refusal
                .record("the call waits for an answer and is made again, so it changes nothing now".to_owned());
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        self.sent_change |= changes;
        let last_refusal = self.last_refusal.clone();
        let request = request.map(|body| body.map_err(|error| egress::Error::Body(error.to_string())).boxed_unsync());
        let sending = outgoing.send(request, requested_timeouts(options));
        Box::new(async move {
            let response = sending.await.map_err(|error| {
                if let egress::Error::Refused(refusal) = &error {
                    last_refusal.record_refusal(refusal);
                }
                wasi_error(error)
            })?;
            let transfer: Transfer = Box::new(async { Ok(()) });
            Ok((response.map(|body| body.map_err(wasi_error).boxed_unsync()), transfer))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_BODY_CHUNK_BYTES
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.count_host_call();
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Returns the timeouts that the component requests.
fn requested_timeouts(options: Option<RequestOptions>) -> Timeouts {
    let options = options.unwrap_or_default();
    Timeouts {
        connection: options.connect_timeout.unwrap_or(Duration::MAX),
        head: options.first_byte_timeout.unwrap_or(Duration::MAX),
        pause: options.between_bytes_timeout.unwrap_or(Duration::MAX),
    }
}

/// Maps an error to a WASI error code.
fn wasi_error(error: egress::Error) -> Error {
    use egress::Error as E;
    match error {
        E::Refused(Refusal::Malformed(_)) => Error::HttpRequestUriInvalid,
        E::Refused(Refusal::Address { .. } | Refusal::OwnListener(_)) => Error::DestinationIpProhibited,
        E::Refused(_) => Error::HttpRequestDenied,
        E::UnresolvedName(_) => Error::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None },
        E::Unreachable { .. } => Error::ConnectionRefused,
        E::Tls { certificate: true, .. } => Error::TlsCertificateError,
        E::Tls { .. } => Error::TlsProtocolError,
        E::Timeout(TimeoutPhase::Connection, _) => Error::ConnectionTimeout,
        E::Timeout(TimeoutPhase::ResponseHead | TimeoutPhase::Total, _) => Error::HttpResponseTimeout,
        E::Timeout(TimeoutPhase::Chunk, _) => Error::ConnectionReadTimeout,
        E::Busy => Error::ConnectionLimitReached,
        E::RequestBody(limit) => Error::HttpRequestBodySize(Some(limit)),
        E::ResponseBody(limit) => Error::HttpResponseBodySize(Some(limit)),
        E::ResponseHead(limit) => Error::HttpResponseHeaderSectionSize(u32::try_from(limit).ok()),
        E::Redirects(_) => Error::LoopDetected,
        E::Body(message) => Error::InternalError(Some(message)),
        E::Secret(_) => Error::InternalError(Some(error.to_string())),
        E::Broken(_) => Error::HttpProtocolError,
    }
}
