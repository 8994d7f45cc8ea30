//! Hooks that inject secrets into a request and redact them from its response.

use futures_util::future::BoxFuture;
use http::{Request, Response};
use url::Url;

use super::{body::Body, error::Error};

/// Modifies a request after its connection is established. Redirects, retries and logs see only the request as
/// the component made it.
pub trait RequestInterceptor: std::fmt::Debug + Send + Sync {
    /// Returns the request to send to `hop`. Its URI is the path with the query. An error, such as
    /// [`Refusal::Secret`](super::Refusal::Secret), prevents the request.
    fn on_request<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Request<Body>, Error>>;

    /// Returns the response with the injected secrets removed.
    fn on_response<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        response: Response<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, Error>>;
}

/// One hop of a request.
#[derive(Debug)]
pub struct Hop<'a> {
    /// The URL as the component, or a redirect, wrote it.
    pub url: &'a Url,
    /// Whether a redirect has left the origin that the component named. No secret is sent there.
    pub left_origin: bool,
}
