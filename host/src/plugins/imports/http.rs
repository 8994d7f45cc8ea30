//! `wasi:http/outgoing-handler`: no host is granted yet, so every request is refused.

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::plugins::state::CallState;

/// The most that a body takes before it is sent on, in bytes. A call may hold hundreds of bodies,
/// each with two such pieces.
const BODY_CHUNK: usize = 16 * 1024;

/// Refuses every request before anything is resolved or dialled.
#[derive(Debug)]
pub struct Refuse;

type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Transfer)>> + Send>;

impl WasiHttpHooks for Refuse {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transfer: Transfer,
    ) -> Sending {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.called();
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}
