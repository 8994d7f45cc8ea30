//! A skill that asks for no host and fetches a URL all the same.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool, arguments};
use serde::Deserialize;
use serde_json::{Value, json};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

struct Http;

#[derive(Deserialize)]
struct Get {
    url: String,
}

impl Skill for Http {
    fn manifest() -> Manifest {
        hostile::manifest("http")
    }

    fn tools() -> Vec<Tool> {
        let parameters = json!({
            "type": "object",
            "properties": { "url": { "type": "string" } },
            "required": ["url"],
        });
        vec![Tool::new("get", "Fetch a URL.", parameters)]
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        match tool {
            "get" => arguments(input).and_then(|Get { url }| get(&url)),
            _ => Err(Error::unknown_tool(tool)),
        }
    }
}

moxxy_sdk::export_skill!(Http);

fn get(url: &str) -> Result<Output, Error> {
    let response = send(request(url)?).map_err(|code| Error::failed(format!("{code:?}")))?;
    let status = response.status();
    let body = read(&response).map_err(|error| Error::failed(format!("{error:?}")))?;
    Output::json(&json!({ "status": status, "body": String::from_utf8_lossy(&body) }))
}

fn request(url: &str) -> Result<OutgoingRequest, Error> {
    let wrong = || Error::invalid("the URL is not one");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(|()| wrong())?;
    request.set_authority(Some(authority)).map_err(|()| wrong())?;
    request.set_path_with_query(Some(path)).map_err(|()| wrong())?;
    Ok(request)
}

fn send(request: OutgoingRequest) -> Result<IncomingResponse, ErrorCode> {
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(response)) => response,
        _ => Err(ErrorCode::InternalError(None)),
    }
}

fn read(response: &IncomingResponse) -> Result<Vec<u8>, StreamError> {
    let closed = |()| StreamError::Closed;
    let body = response.consume().map_err(closed)?;
    let stream = body.stream().map_err(closed)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(error),
        }
    }
}
