//! Injects the secrets of a call into its requests as they leave, and redacts them in the responses.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use moxxy_egress::{self as egress, Body, Hop, Pattern, Refusal, RequestInterceptor};
use moxxy_secrets::{Injectable, Injector, Place, Redactor, Release, Rule, Stream, inject};
use moxxy_types::{
    error::{Error, Result},
    grants::{Grant, Mode},
};
use url::Url;

use crate::services::{
    permissions::PLAIN_HTTP_PREFIX,
    vault::{call_secrets::CallSecrets, secret_use::SecretUseRecorder},
};

/// Media types whose bodies are streams of lines.
const LINE_MEDIA_TYPES: [&str; 8] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/stream+json",
    "application/json-seq",
];

impl CallSecrets {
    /// Returns the injector for the secrets that may be injected into a request now, and their grants.
    async fn injector(&self, left_origin: bool) -> Result<(Injector, Vec<Grant>)> {
        let (mut secrets, mut all) = (Vec::new(), Vec::new());
        let held = self.all().await?;
        for (name, placeholder) in self.placeholders() {
            let grants = self.effective_grants(&held, &name);
            let injected: Vec<_> =
                grants.into_iter().filter(|grant| grant.mode == Mode::Inject && !left_origin).collect();
            let value = match injected.first() {
                Some(grant) => self.value(grant).await?,
                None => self.recorder.last(&name).ok_or_else(|| Error::internal("an opened secret has no value"))?,
            };
            let rules = injected.iter().filter_map(rule).collect();
            secrets.push(Injectable { name, placeholder, value, rules });
            all.extend(injected);
        }
        Ok((Injector::new(secrets), all))
    }

    async fn inject(&self, hop: &Hop<'_>, request: Request<Body>) -> Result<Request<Body>, Stopped> {
        let (injector, grants) = self.injector(hop.left_origin).await?;
        let (mut parts, body) = request.into_parts();
        let (body, whole) = match injector.wants_body(hop.url) {
            true => (None, Some(collect_body(body).await?)),
            false => (Some(body), None),
        };
        let injected = injector.inject(hop.url, &parts.headers, whole.as_ref()).map_err(Stopped::Refused)?;
        for (name, place) in &injected.uses {
            let fits = |grant: &&Grant| {
                let same = grant.place.parse::<Place>().is_ok_and(|granted| granted == *place);
                same && grant.name.as_str() == name && admits(grant, hop.url)
            };
            let mut spent = false;
            for grant in grants.iter().filter(fits) {
                spent = spent || self.spend(grant, hop.url.host_str().map(str::to_owned)).await?;
            }
            if !spent {
                return Err(Stopped::Ended(name.clone()));
            }
        }
        parts.headers = injected.headers;
        let address = injected.url.path().to_owned() + &injected.url.query().map_or(String::new(), |q| format!("?{q}"));
        parts.uri = address.parse().map_err(|_| Stopped::Failed(Error::internal("a URL that is no URI")))?;
        let body = match (body, injected.body) {
            (_, Some(bytes)) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            (Some(body), None) => reject_placeholders(body, injector, self.recorder.clone()),
            (None, None) => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        Ok(readable(Request::from_parts(parts, body)))
    }

    /// Records why a request is not sent, and returns the error with the API request that would grant it.
    async fn report_rejection(&self, hop: &Hop<'_>, rejection: Stopped) -> Result<egress::Error> {
        let (name, reason) = match rejection {
            Stopped::Body(error) => return Ok(error),
            Stopped::Failed(error) => return Err(error),
            Stopped::Refused(refusal) => {
                let reason = match self.way(hop, &refusal).await? {
                    Some(way) => format!("{refusal}; this would let it: {way}"),
                    None => refusal.to_string(),
                };
                (refusal.secret().unwrap_or_default().to_owned(), reason)
            }
            Stopped::Ended(name) => {
                let reason = format!("the grant of the secret `{name}` has ended");
                (name, reason)
            }
        };
        self.recorder.record_denial(&name, &reason).await?;
        Ok(Refusal::Secret(reason).into())
    }

    async fn way(&self, hop: &Hop<'_>, refusal: &inject::Refusal) -> Result<Option<String>> {
        // No secret is sent after a redirect to another origin.
        let (Some(name), Some(place), false) = (refusal.secret(), refusal.place(), hop.left_origin) else {
            return Ok(None);
        };
        let Some(grant) = self.grants(name).await?.into_iter().next() else { return Ok(None) };
        let host = match (hop.url.scheme(), hop.url.host_str(), hop.url.port_or_known_default()) {
            ("http", Some(host), Some(port)) => format!("{PLAIN_HTTP_PREFIX}{host}:{port}"),
            (_, host, _) => host.unwrap_or_default().to_owned(),
        };
        let terms = vec![("hosts", vec![host].into()), ("place", place.to_string().into())];
        Ok(Some(self.recorder.grant(&grant.secret, name, terms)))
    }
}

/// Reason why a request is not sent.
enum Stopped {
    Refused(inject::Refusal),
    /// The grant of this secret has expired or has no uses left.
    Ended(String),
    Body(egress::Error),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Requests a complete and uncompressed response, so that secrets can be found in it.
fn readable(mut request: Request<Body>) -> Request<Body> {
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    request
}

fn rule(grant: &Grant) -> Option<Rule> {
    let (place, grant) = (grant.place.parse().ok()?, grant.clone());
    Some(Rule { place, admits: Arc::new(move |url| admits(&grant, url)) })
}

/// Whether a grant allows a URL: its host must be in the grant, by HTTPS unless the grant says plain HTTP.
fn admits(grant: &Grant, url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
    grant.hosts.iter().any(|granted| match granted.strip_prefix(PLAIN_HTTP_PREFIX) {
        Some(place) => url.scheme() == "http" && format!("{host}:{port}") == place,
        None => url.scheme() == "https" && Pattern::parse(granted).is_some_and(|pattern| pattern.matches(&host)),
    })
}

async fn collect_body(body: Body) -> Result<Bytes, Stopped> {
    match Limited::new(body, inject::MAX_BODY_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) => match error.downcast::<egress::Error>() {
            Ok(error) => Err(Stopped::Body(*error)),
            Err(_) => Err(Stopped::Body(egress::Error::RequestBody(inject::MAX_BODY_BYTES as u64))),
        },
    }
}

/// Returns a body that must not contain placeholders. The response may have started when one is found.
fn reject_placeholders(body: Body, injector: Injector, recorder: SecretUseRecorder) -> Body {
    let state = (body, injector.watch(), injector, recorder);
    let frames = stream::unfold(state, |(mut body, mut watch, injector, recorder)| async move {
        let mut found = None;
        let frame = body.frame().await?.and_then(|frame| {
            let seen = match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => watch.push(data),
                (_, Some(trailers)) => injector.check_trailers(trailers),
                _ => Ok(()),
            };
            seen.map(|()| frame).map_err(|refusal| Refusal::Secret(found.insert(refusal).to_string()).into())
        });
        if let Some(refusal) = found {
            let told = recorder.record_denial(refusal.secret().unwrap_or_default(), &refusal.to_string()).await;
            told.unwrap_or_else(|error| tracing::error!(?error, "failed to record a denied secret"));
        }
        Some((frame, (body, watch, injector, recorder)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Returns the release mode of a response. Streams of events and of JSON lines are released line by line.
fn release(headers: &HeaderMap) -> Release {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if LINE_MEDIA_TYPES.contains(&&*essence) { Release::Lines } else { Release::Late }
}

/// A body in which the secrets of the call are redacted.
struct RedactedBody {
    body: Body,
    /// `None` once all data is released.
    stream: Option<Stream>,
    trailers: Option<HeaderMap>,
    redactor: Redactor,
}

fn cleaned(body: Body, redactor: Redactor, release: Release) -> Body {
    let state = RedactedBody { body, stream: Some(redactor.stream(release)), trailers: None, redactor };
    StreamBody::new(stream::unfold(state, RedactedBody::next)).boxed_unsync()
}

impl RedactedBody {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, egress::Error>, Self)> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Some((Ok(Frame::trailers(trailers)), self));
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Some((Err(error), self)),
                None => return self.rest(),
            };
            match frame.into_data() {
                Ok(data) => {
                    let clean = self.stream.as_mut()?.push(data);
                    if !clean.is_empty() {
                        return Some((Ok(Frame::data(clean)), self));
                    }
                }
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    self.redactor.headers(&mut trailers);
                    self.trailers = Some(trailers);
                    if self.stream.is_some() {
                        return self.rest();
                    }
                }
            }
        }
    }

    /// Returns the data that was held back until the end. The trailers follow.
    fn rest(mut self) -> Option<(Result<Frame<Bytes>, egress::Error>, Self)> {
        let last = self.stream.take()?.finish();
        Some((Ok(Frame::data(last)), self))
    }
}

impl RequestInterceptor for CallSecrets {
    fn on_request<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Request<Body>, egress::Error>> {
        if self.placeholders().is_empty() {
            return Box::pin(async move {
                Ok(if self.recorder.redactor().is_some() { readable(request) } else { request })
            });
        }
        Box::pin(async {
            let rejection = match self.inject(hop, request).await {
                Ok(request) => return Ok(request),
                Err(rejection) => rejection,
            };
            Err(self.report_rejection(hop, rejection).await.unwrap_or_else(|error| {
                tracing::error!(?error, "failed to inject a secret into a request");
                egress::Error::Secret(error.to_string())
            }))
        })
    }

    fn on_response<'a>(
        &'a self,
        _: &'a Hop<'a>,
        response: Response<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, egress::Error>> {
        Box::pin(async move {
            let Some(redactor) = self.recorder.redactor() else { return Ok(response) };
            let (mut parts, body) = response.into_parts();
            let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).into_iter();
            if !encodings.all(|how| how.as_bytes().eq_ignore_ascii_case(b"identity")) {
                let reason = "the answer is compressed, though it must not be, so no secret can be found in it";
                if let Err(error) = self.recorder.record_denial("", reason).await {
                    tracing::error!(?error, "failed to record a refused response");
                }
                return Err(Refusal::Secret(reason.into()).into());
            }
            let release = release(&parts.headers);
            redactor.headers(&mut parts.headers);
            // Redaction may change the length.
            parts.headers.remove(header::CONTENT_LENGTH);
            Ok(Response::from_parts(parts, cleaned(body, redactor, release)))
        })
    }
}
