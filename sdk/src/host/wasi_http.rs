//! `wasi:http`, for components.

use std::{
    io::{self, Read},
    time::Duration,
};

use wasip2::{
    clocks::monotonic_clock,
    http::{
        outgoing_handler,
        types::{
            ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
            Scheme,
        },
    },
    io::{
        poll,
        streams::{InputStream, StreamError},
    },
};

use crate::http::{Error, Request};

/// A response's head, and its body to come.
#[derive(Debug)]
pub(crate) struct Received {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// What is still to be read. The stream is part of the body, so it goes first.
#[derive(Debug)]
pub(crate) struct Body {
    stream: InputStream,
    _body: IncomingBody,
    timeout: Option<Duration>,
}

impl Body {
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }
}

pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

pub(crate) fn send(request: &Request) -> Result<Received, Error> {
    let outgoing = outgoing(request)?;
    // A body that is not asked for is empty from the beginning, so that redirects can be followed.
    let body = match request.body.is_empty() {
        true => None,
        false => Some(outgoing.body().map_err(|()| Error::Invalid("the request has no body to write to".into()))?),
    };
    let response = outgoing_handler::handle(outgoing, options(request.timeout)).map_err(reason)?;
    if let Some(body) = body {
        // If it is not taken, the response says why.
        drop(write(body, &request.body));
    }
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(response)) => response.map_err(reason)?,
        _ => return Err(Error::Broken("there is no response".into())),
    };
    received(&response)
}

fn received(response: &IncomingResponse) -> Result<Received, Error> {
    let gone = |()| Error::Broken("the response has no body".into());
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let body = response.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    Ok(Received { status: response.status(), headers, body: Body { stream, _body: body, timeout: None } })
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let wrong = |what: &str| Error::Invalid(format!("{what} of the request to {:?} is not allowed", request.url));
    let (scheme, rest) = request.url.split_once("://").ok_or_else(|| wrong("the URL"))?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    if !request.body.is_empty() || !matches!(&*request.method, "GET" | "HEAD") {
        headers.push(("Content-Length".to_owned(), request.body.len().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|_| wrong("a header"))?;
    let outgoing = OutgoingRequest::new(headers);
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    outgoing.set_method(&method(&request.method)).map_err(|()| wrong("the method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| wrong("the URL"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| wrong("the host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| wrong("the path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Option<Duration>) -> Option<RequestOptions> {
    let nanoseconds = u64::try_from(timeout?.as_nanos()).ok();
    let options = RequestOptions::new();
    // A host that knows no timeouts has its own.
    let _known: [Result<(), ()>; 3] = [
        options.set_connect_timeout(nanoseconds),
        options.set_first_byte_timeout(nanoseconds),
        options.set_between_bytes_timeout(nanoseconds),
    ];
    Some(options)
}

/// Writes as much at once as is taken.
fn write(body: OutgoingBody, mut bytes: &[u8]) -> Result<(), StreamError> {
    if let Ok(stream) = body.write() {
        while !bytes.is_empty() {
            stream.subscribe().block();
            let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            stream.write(piece)?;
            bytes = rest;
        }
        stream.blocking_flush()?;
    }
    OutgoingBody::finish(body, None).map_err(|_| StreamError::Closed)
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(timeout) = self.timeout {
            let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            let (bytes, timer) = (self.stream.subscribe(), monotonic_clock::subscribe_duration(nanoseconds));
            if !poll::poll(&[&bytes, &timer]).contains(&0) {
                return Err(Error::Timeout("the response paused for too long".into()).into());
            }
        }
        match self.stream.blocking_read(buffer.len() as u64) {
            Ok(bytes) => {
                let count = bytes.len().min(buffer.len());
                buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
                Ok(count)
            }
            Err(StreamError::Closed) => Ok(0),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                Err(code.map_or_else(|| broken(error.to_debug_string()), reason).into())
            }
        }
    }
}

/// Hosts may have no code for what happens within a body, and no more than the code's text: its first
/// line, before what is for debugging.
fn broken(text: String) -> Error {
    let text = text.lines().next().unwrap_or_default().to_ascii_lowercase();
    if text.contains("timeout") {
        Error::Timeout("the response took too long".into())
    } else if text.contains("body size") {
        Error::TooLarge("the response is larger than the operator allows".into())
    } else {
        Error::Broken(text)
    }
}

fn reason(code: ErrorCode) -> Error {
    use ErrorCode as E;
    match code {
        E::HttpRequestDenied => Error::Denied("no rule of the operator's allows this request".into()),
        E::DestinationIpProhibited => Error::Denied("no rule of the operator's allows that address".into()),
        E::HttpRequestUriInvalid => Error::Invalid("the URL is not allowed".into()),
        E::DnsError(_) | E::DnsTimeout => Error::Unreachable("the host has no address".into()),
        E::ConnectionRefused | E::DestinationUnavailable | E::DestinationNotFound => {
            Error::Unreachable("the host cannot be connected to".into())
        }
        E::ConnectionLimitReached => Error::Unreachable("too many connections are open".into()),
        E::TlsCertificateError => Error::Unreachable("the host's certificate is not trusted".into()),
        E::TlsProtocolError | E::TlsAlertReceived(_) => Error::Unreachable("there is no encrypted connection".into()),
        E::ConnectionTimeout => Error::Timeout("there was no connection in time".into()),
        E::HttpResponseTimeout => Error::Timeout("there was no response in time".into()),
        E::ConnectionReadTimeout => Error::Timeout("the response paused for too long".into()),
        E::HttpRequestBodySize(_) => Error::TooLarge("the request is larger than the operator allows".into()),
        E::HttpResponseBodySize(_) => Error::TooLarge("the response is larger than the operator allows".into()),
        E::HttpResponseHeaderSectionSize(_) => Error::TooLarge("the response's headers are too large".into()),
        E::LoopDetected => Error::Broken("there were too many redirects".into()),
        E::InternalError(Some(text)) => Error::Broken(text),
        E::HttpProtocolError => Error::Broken("the connection broke, or the service speaks no HTTP there".into()),
        other => Error::Broken(format!("the connection broke: {other:?}")),
    }
}
