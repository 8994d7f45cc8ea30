//! Cases for the requests that the component sends.

use super::{Fault, Tried};
use crate::{
    harness::Harness,
    request,
    script::Script,
    service::{Reply, Seen},
    wire::{Style, Values},
};

/// Runs a completion and returns its chunks and its single request to the service.
async fn asked(bench: &Harness<'_>, request: moxxy_runtime::models::Request) -> Result<(Vec<String>, Seen), String> {
    let (heard, mut seen) = bench.complete(request, bench.says(&Script::plain(), Style::Plain)).await;
    heard.is_whole()?;
    let (Some(first), true) = (seen.pop(), seen.is_empty()) else { return Err(counted(seen.len())) };
    if bench.wire.is_asked(&first.method, &first.path) {
        return Ok((heard.chunks, first));
    }
    let wire = &bench.wire;
    Err(format!("expected {} …{}, came {} {:.200}", wire.method, wire.path, first.method, first.path))
}

fn counted(requests: usize) -> String {
    format!("expected one request, came {requests}")
}

pub async fn shape(bench: &Harness<'_>) -> Tried {
    let (_, seen) = asked(bench, request::rich()).await?;
    let body = serde_json::from_slice(&seen.body).map_err(|error| format!("the request's body is no JSON: {error}"))?;
    Ok(request::has(&bench.wire.request.value(&Values::new()), &body, "")?)
}

pub async fn history(bench: &Harness<'_>) -> Tried {
    let (_, seen) = asked(bench, request::odd()).await?;
    let body: Result<serde_json::Value, _> = serde_json::from_slice(&seen.body);
    Ok(body.map(drop).map_err(|error| format!("the request's body is no JSON: {error}"))?)
}

pub async fn twice(bench: &Harness<'_>) -> Tried {
    let (said, once) = asked(bench, request::rich()).await?;
    let (again, twice) = asked(bench, request::rich()).await?;
    if said != again {
        return Err("the same request and the same answer made other chunks".to_owned().into());
    }
    let (_, otherwise) = asked(bench, request::keyed("key-2")).await?;
    let key = bench.wire.idempotency.as_deref();
    let without = |seen: &Seen| {
        let mut headers = seen.headers.clone();
        key.map(|name| headers.remove(name));
        headers
    };
    let differs = |what: &str| Err(format!("{what} differs from one request to the same again").into());
    match () {
        () if once.body != twice.body => differs("the body"),
        () if (&once.method, &once.url) != (&twice.method, &twice.url) => differs("the address"),
        () if once.headers != twice.headers => differs("a header"),
        () if once.body != otherwise.body => differs("under another idempotency key, the body"),
        () if without(&once) != without(&otherwise) => differs("under another idempotency key, another header"),
        () => Ok(()),
    }
}

pub async fn once(bench: &Harness<'_>) -> Tried {
    for status in [200, 429, 500, 503] {
        let reply = match status {
            200 => bench.says(&Script::plain(), Style::Plain),
            status => Reply::new(status, "").header("Retry-After", "0"),
        };
        let (_, seen) = bench.complete(request::plain(), reply).await;
        if seen.len() != 1 {
            return Err(format!("after {status}: {}", counted(seen.len())).into());
        }
    }
    Ok(())
}

pub async fn idempotency(bench: &Harness<'_>) -> Tried {
    let Some(name) = bench.wire.idempotency.as_deref() else {
        return Err(Fault::Skipped("the wire has no such header"));
    };
    let (_, seen) = asked(bench, request::rich()).await?;
    let came = seen.headers.get(name).and_then(|value| value.to_str().ok());
    if came == Some(request::key()) {
        return Ok(());
    }
    Err(format!("expected the header {name} to be {:?}, came {came:?}", request::key()).into())
}
