//! Puts the secrets of a call into its requests, as they leave, and takes them out of the answers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use url::Url;

use super::of_call::OfCall;
use crate::{
    domain::{
        consent::PLAIN,
        grants::{Grant, Mode},
    },
    egress::{self, Body, Courier, Hop, Pattern, Refusal},
    error::{Error, Result},
    plugins::Secrets,
    secrets::{Injectable, Injector, Place, Redactor, Rule, Stream, inject},
};

impl OfCall {
    /// What may be put into a request now.
    async fn injector(&self, crossed: bool) -> Result<(Injector, Vec<Grant>)> {
        let (mut secrets, mut all) = (Vec::new(), Vec::new());
        for (name, placeholder) in self.placeholders() {
            let grants = self.grants(&name).await?;
            let injected: Vec<_> = grants.into_iter().filter(|grant| grant.mode == Mode::Inject && !crossed).collect();
            let value = match injected.first() {
                Some(grant) => self.value(&name, grant).await?,
                None => self.last_value(&name)?,
            };
            let rules = injected.iter().filter_map(rule).collect();
            secrets.push(Injectable { name, placeholder, value, rules });
            all.extend(injected);
        }
        Ok((Injector::new(secrets), all))
    }

    async fn filled(&self, hop: &Hop<'_>, request: Request<Body>) -> Result<Request<Body>, Stopped> {
        let (injector, grants) = self.injector(hop.crossed).await?;
        let (mut parts, body) = request.into_parts();
        let (body, whole) = match injector.wants_body(hop.url) {
            true => (None, Some(gathered(body).await?)),
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
        // What comes back is read for the secret: whole, and not compressed.
        parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        parts.headers.remove(header::RANGE);
        parts.headers.remove(header::IF_RANGE);
        let address = injected.url.path().to_owned() + &injected.url.query().map_or(String::new(), |q| format!("?{q}"));
        parts.uri = address.parse().map_err(|_| Stopped::Failed(Error::internal("a URL that is no URI")))?;
        let body = match (body, injected.body) {
            (_, Some(bytes)) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            (Some(body), None) => watched(body, &injector),
            (None, None) => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        Ok(Request::from_parts(parts, body))
    }
}

/// Why nothing is sent.
enum Stopped {
    Refused(inject::Refusal),
    /// The last use was the last.
    Ended(String),
    Body(egress::Error),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn rule(grant: &Grant) -> Option<Rule> {
    let (place, grant) = (grant.place.parse().ok()?, grant.clone());
    Some(Rule { place, admits: Arc::new(move |url| admits(&grant, url)) })
}

/// To a host that the grant names: encrypted, unless it says otherwise.
fn admits(grant: &Grant, url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
    grant.hosts.iter().any(|granted| match granted.strip_prefix(PLAIN) {
        Some(place) => url.scheme() == "http" && format!("{host}:{port}") == place,
        None => url.scheme() == "https" && Pattern::parse(granted).is_some_and(|pattern| pattern.matches(&host)),
    })
}

async fn gathered(body: Body) -> Result<Bytes, Stopped> {
    match Limited::new(body, inject::LARGEST).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) => match error.downcast::<egress::Error>() {
            Ok(error) => Err(Stopped::Body(*error)),
            Err(_) => Err(Stopped::Body(egress::Error::RequestBody(inject::LARGEST as u64))),
        },
    }
}

/// A body in which no placeholder may stand.
fn watched(body: Body, injector: &Injector) -> Body {
    let state = (body, injector.watch(), injector.clone());
    let frames = stream::unfold(state, |(mut body, mut watch, injector)| async move {
        let frame = body.frame().await?.and_then(|frame| {
            let seen = match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => watch.push(data),
                (_, Some(trailers)) => injector.check_trailers(trailers),
                _ => Ok(()),
            };
            seen.map(|()| frame).map_err(|refusal| Refusal::Secret(refusal.to_string()).into())
        });
        Some((frame, (body, watch, injector)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A body without the secrets of the call.
struct Cleaning {
    body: Body,
    /// `None` once all is out.
    stream: Option<Stream>,
    trailers: Option<HeaderMap>,
    redactor: Redactor,
}

fn cleaned(body: Body, redactor: Redactor) -> Body {
    let state = Cleaning { body, stream: Some(redactor.stream()), trailers: None, redactor };
    StreamBody::new(stream::unfold(state, Cleaning::next)).boxed_unsync()
}

impl Cleaning {
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

    /// What was held back to the end, and then the trailers.
    fn rest(mut self) -> Option<(Result<Frame<Bytes>, egress::Error>, Self)> {
        let last = self.stream.take()?.finish();
        Some((Ok(Frame::data(last)), self))
    }
}

impl Courier for OfCall {
    fn put_in<'a>(
        &'a self,
        hop: &'a Hop<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Request<Body>, egress::Error>> {
        if self.placeholders().is_empty() {
            return Box::pin(async { Ok(request) });
        }
        Box::pin(async {
            let stopped = match self.filled(hop, request).await {
                Ok(request) => return Ok(request),
                Err(stopped) => stopped,
            };
            let (name, reason) = match stopped {
                Stopped::Body(error) => return Err(error),
                Stopped::Failed(error) => {
                    tracing::error!(?error, "a secret could not be put into a request");
                    return Err(egress::Error::Broken("the vault cannot be read now".into()));
                }
                Stopped::Refused(refusal) => (refusal.secret().map(str::to_owned), refusal.to_string()),
                Stopped::Ended(name) => {
                    let reason = format!("the grant of the secret `{name}` has ended");
                    (Some(name), reason)
                }
            };
            if let Err(error) = self.tell(name.as_deref().unwrap_or_default(), reason.clone()).await {
                tracing::error!(?error, "a refused secret could not be told of");
            }
            Err(Refusal::Secret(reason).into())
        })
    }

    fn clean(&self, _: &Hop<'_>, response: Response<Body>) -> Response<Body> {
        let Some(redactor) = Secrets::redactor(self) else { return response };
        let (mut parts, body) = response.into_parts();
        redactor.headers(&mut parts.headers);
        // It may be shorter now, or longer.
        parts.headers.remove(header::CONTENT_LENGTH);
        let compressed = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|how| how != "identity");
        let body = match compressed {
            false => cleaned(body, redactor),
            true => {
                let reason = "the answer is compressed, though it must not be, so no secret can be found in it";
                let refused = stream::iter([Err(Refusal::Secret(reason.into()).into())]);
                StreamBody::new(refused).boxed_unsync()
            }
        };
        Response::from_parts(parts, body)
    }
}
