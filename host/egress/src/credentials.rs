//! Where secrets are put into a request, and taken out of its response.

use futures_util::future::BoxFuture;
use http::{Request, Response};
use url::Url;

use super::{body::Body, error::Error};

/// Puts secrets in, last of all, when there is a connection to whom they are for: redirects, retries
/// and logs have the request as the component made it.
pub trait RequestInterceptor: std::fmt::Debug + Send + Sync {
    /// The request as it is sent to `hop`. Its URI is the path with the query. An error, such as
    /// [`Refusal::Secret`](super::Refusal::Secret), keeps it from being sent.
    fn on_request<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Request<Body>, Error>>;

    /// The response without what was put into its request.
    fn on_response<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        response: Response<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, Error>>;
}

/// One of the places that a request comes to.
#[derive(Debug)]
pub struct Hop<'a> {
    /// As the component, or a redirect, wrote it.
    pub url: &'a Url,
    /// Whether a redirect led away from the origin that the component named: no secret goes there.
    pub crossed: bool,
}
