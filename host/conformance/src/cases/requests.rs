//! Cases for the requests that the component sends.

use super::{CaseResult, Fault};
use crate::{
    harness::Harness,
    request,
    script::Script,
    service::{RecordedRequest, Reply},
    wire::{Style, Values},
};

/// Runs a completion and returns its chunks and its single request to the service.
async fn send_one_request(
    harness: &Harness<'_>,
    request: moxxy_runtime::models::Request,
) -> Result<(Vec<String>, RecordedRequest), String> {
    let (transcript, mut requests) =
        harness.complete(request, harness.script_reply(&Script::plain(), Style::Plain)).await;
    transcript.check_complete()?;
    let (Some(first), true) = (requests.pop(), requests.is_empty()) else {
        return Err(request_count_message(requests.len()));
    };
    if harness.profile.is_completion_request(&first.method, &first.path) {
        return Ok((transcript.chunks, first));
    }
    let profile = &harness.profile;
    Err(format!("expected {} …{}, came {} {:.200}", profile.method, profile.path, first.method, first.path))
}

fn request_count_message(requests: usize) -> String {
    format!("expected one request, came {requests}")
}

pub(super) async fn shape(harness: &Harness<'_>) -> CaseResult {
    let (_, recorded) = send_one_request(harness, request::full_featured()).await?;
    let body =
        serde_json::from_slice(&recorded.body).map_err(|error| format!("the request's body is no JSON: {error}"))?;
    Ok(request::check_contains(&harness.profile.request.value(&Values::new()), &body, "")?)
}

pub(super) async fn history(harness: &Harness<'_>) -> CaseResult {
    let (_, recorded) = send_one_request(harness, request::foreign_history()).await?;
    let body: Result<serde_json::Value, _> = serde_json::from_slice(&recorded.body);
    Ok(body.map(drop).map_err(|error| format!("the request's body is no JSON: {error}"))?)
}

pub(super) async fn identical_requests(harness: &Harness<'_>) -> CaseResult {
    let (first_chunks, first) = send_one_request(harness, request::full_featured()).await?;
    let (second_chunks, second) = send_one_request(harness, request::full_featured()).await?;
    if first_chunks != second_chunks {
        return Err("the same request and the same answer made other chunks".to_owned().into());
    }
    let (_, other_key) = send_one_request(harness, request::with_idempotency_key("key-2")).await?;
    let key = harness.profile.idempotency.as_deref();
    let headers_without_key = |recorded: &RecordedRequest| {
        let mut headers = recorded.headers.clone();
        key.map(|name| headers.remove(name));
        headers
    };
    let differs = |what: &str| Err(format!("{what} differs from one request to the same again").into());
    match () {
        () if first.body != second.body => differs("the body"),
        () if (&first.method, &first.url) != (&second.method, &second.url) => differs("the address"),
        () if first.headers != second.headers => differs("a header"),
        () if first.body != other_key.body => differs("under another idempotency key, the body"),
        () if headers_without_key(&first) != headers_without_key(&other_key) => {
            differs("under another idempotency key, another header")
        }
        () => Ok(()),
    }
}

pub(super) async fn one_request(harness: &Harness<'_>) -> CaseResult {
    for status in [200, 429, 500, 503] {
        let reply = match status {
            200 => harness.script_reply(&Script::plain(), Style::Plain),
            status => Reply::new(status, "").header("Retry-After", "0"),
        };
        let (_, requests) = harness.complete(request::plain(), reply).await;
        if requests.len() != 1 {
            return Err(format!("after {status}: {}", request_count_message(requests.len())).into());
        }
    }
    Ok(())
}

pub(super) async fn idempotency(harness: &Harness<'_>) -> CaseResult {
    let Some(name) = harness.profile.idempotency.as_deref() else {
        return Err(Fault::Skipped("the wire has no such header"));
    };
    let (_, recorded) = send_one_request(harness, request::full_featured()).await?;
    let actual = recorded.headers.get(name).and_then(|value| value.to_str().ok());
    if actual == Some(request::key()) {
        return Ok(());
    }
    Err(format!("expected the header {name} to be {:?}, came {actual:?}", request::key()).into())
}
