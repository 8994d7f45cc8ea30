//! Download of components through egress. A transfer that breaks is resumed where it broke (RFC 9110, range requests).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use moxxy_egress::{Body, CallClient, Pattern, Policy, Rule, is_public};
use moxxy_types::error::{Error, Result};

use crate::services::components::Components;

/// Number of requests for one component.
const MAX_REQUESTS: usize = 8;

/// Part of a component, and how to ask for the rest of the same bytes.
struct Partial {
    bytes: Vec<u8>,
    limit: usize,
    /// The service's name for this version of the bytes.
    version: Option<HeaderValue>,
}

/// Downloads a component of at most `limit` bytes: from a public host by HTTPS, or from one of the private addresses
/// that the configuration opens to every component.
pub(super) async fn download(components: &Components, url: &str, limit: usize) -> Result<Vec<u8>> {
    let client = components.egress.for_call(policy(components), None);
    let mut partial = Partial { bytes: Vec::new(), limit, version: None };
    let mut why = String::new();
    for _ in 0..MAX_REQUESTS {
        let before = partial.bytes.len();
        match partial.request(&client, components, url).await? {
            Ok(()) => return Ok(partial.bytes),
            // Without progress another try would end in the same way.
            Err(broken) if partial.bytes.len() <= before => {
                why = broken;
                break;
            }
            Err(broken) => why = broken,
        }
    }
    Err(failed(format!("the transfer broke after {} bytes: {why}", partial.bytes.len())))
}

fn policy(components: &Components) -> Policy {
    let get = ["GET".to_owned()];
    let public = Rule::new(Pattern::Any, &get);
    let private = components.config.egress.private.iter().flat_map(|peer| {
        let rule = Rule::new(Pattern::Exact(peer.host.clone()), &get).port(peer.port);
        let rule = if is_public(&peer.host.to_string()) { rule } else { rule.private() };
        [rule.clone(), rule.allow_http()]
    });
    Policy { owner: "installation".to_owned(), rules: private.chain([public]).collect(), ..Policy::default() }
}

impl Partial {
    /// Requests what is missing. The inner error says why the transfer broke.
    async fn request(&mut self, client: &CallClient, components: &Components, url: &str) -> Result<Result<(), String>> {
        let mut request = Request::get(url).header(header::ACCEPT_ENCODING, "identity");
        if let (Some(version), false) = (&self.version, self.bytes.is_empty()) {
            let range = format!("bytes={}-", self.bytes.len());
            request = request.header(header::RANGE, range).header(header::IF_RANGE, version.clone());
        }
        let nothing = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = request.body(nothing).map_err(|error| failed(error.to_string()))?;
        let response = match client.send(request, components.egress.timeouts()).await {
            Ok(response) => response,
            Err(error) if self.bytes.is_empty() => return Err(failed(error.to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.begin(&response)?;
        self.read(response.into_body()).await
    }

    /// Prepares for the body of a response: the whole component, or what follows the bytes that are there.
    fn begin(&mut self, response: &Response<Body>) -> Result<()> {
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(headers) == Some(self.bytes.len()) => {}
            StatusCode::OK => {
                self.bytes.clear();
                self.version = [header::ETAG, header::LAST_MODIFIED].iter().find_map(|name| headers.get(name).cloned());
            }
            status => return Err(failed(format!("the service answered {status}"))),
        }
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        self.check(self.bytes.len().saturating_add(announced.unwrap_or(0)))
    }

    async fn read(&mut self, mut body: Body) -> Result<Result<(), String>> {
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(error.to_string())),
            };
            if let Some(data) = frame.data_ref() {
                self.check(self.bytes.len().saturating_add(data.len()))?;
                self.bytes.extend_from_slice(data);
            }
        }
        Ok(Ok(()))
    }

    fn check(&self, bytes: usize) -> Result<()> {
        match bytes > self.limit {
            true => Err(Error::too_large(format!("The component has more than {} bytes", self.limit))),
            false => Ok(()),
        }
    }
}

/// Returns the position of the first byte of a partial response.
fn begins_at(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

fn failed(reason: String) -> Error {
    Error::invalid_field("component.url", format!("the component cannot be downloaded: {reason}"))
}
