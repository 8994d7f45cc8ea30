//! Cases for lists of models.

use moxxy_runtime::{Failure, models::Model};
use serde_json::{Value, json};

use super::{Fault, Tried};
use crate::{
    harness::Harness,
    request,
    script::{Kind, MESSAGE},
    service::{Reply, Seen},
    wire::{ProtocolProfile, Template, Values},
};

const UNASKED: Fault = Fault::Skipped("it asks the service for no list");
const NONE: Fault = Fault::Skipped("the wire has no list of models");

pub async fn listed(bench: &Harness<'_>) -> Tried {
    let Some(expected) = listing(&bench.wire) else { return Err(NONE) };
    let wire = bench.wire.clone();
    let (listed, seen) = bench.models(move |seen| answer(&wire, seen)).await;
    let models =
        listed.map_err(|failure| format!("expected a list, came {}: {}", failure.code(), failure.message()))?;
    if seen.is_empty() {
        return Err(UNASKED);
    }
    let came: Vec<Value> = models.iter().map(shown).collect();
    Ok(request::has(&expected.value(&Values::new()), &json!(came), "")?)
}

pub async fn errors(bench: &Harness<'_>) -> Tried {
    if listing(&bench.wire).is_none() {
        return Err(NONE);
    }
    let body = bench.wire.error.filled(&[("message".to_owned(), json!(MESSAGE))].into_iter().collect());
    let cases = [(401, Kind::Authentication), (429, Kind::RateLimited), (500, Kind::Overloaded)];
    for (status, kind) in cases {
        let body = body.clone();
        let (listed, seen) = bench.models(move |_| Reply::new(status, body.clone())).await;
        if seen.is_empty() {
            return Err(UNASKED);
        }
        fails(status, listed, Some(kind))?;
    }
    let (listed, _) = bench.models(|_| Reply::new(200, "<html>Welcome</html>")).await;
    Ok(fails(200, listed, None)?)
}

fn fails(status: u16, listed: Result<Vec<Model>, Failure>, kind: Option<Kind>) -> Result<(), String> {
    let expected = kind.map_or("error", Kind::as_str);
    match listed {
        Err(Failure::ComponentError { code, .. }) if kind.is_none_or(|kind| kind.code() == code) => Ok(()),
        Err(failure) => Err(format!("{status}: expected the error {expected}, came {}", failure.code())),
        Ok(models) => Err(format!("{status}: expected the error {expected}, came {} models", models.len())),
    }
}

fn listing(wire: &ProtocolProfile) -> Option<&Template> {
    wire.listed.as_ref().filter(|_| !wire.models.is_empty())
}

fn answer(wire: &ProtocolProfile, seen: &Seen) -> Reply {
    let body = String::from_utf8_lossy(&seen.body);
    let fits = wire.models.iter().find(|answer| {
        answer.method == seen.method && seen.path.ends_with(&answer.path) && body.contains(&answer.asked)
    });
    match fits {
        Some(answer) => Reply::new(200, answer.body.filled(&Values::new())).header("Content-Type", "application/json"),
        None => Reply::new(404, ""),
    }
}

fn shown(model: &Model) -> Value {
    let price = model
        .price
        .map(|price| json!({ "input": price.input, "cached_input": price.cached_input, "output": price.output }));
    json!({
        "id": model.id, "display_name": model.display_name, "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens, "price": price,
    })
}
