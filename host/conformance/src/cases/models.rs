//! Cases for lists of models.

use moxxy_runtime::{Failure, models::Model};
use serde_json::{Value, json};

use super::{CaseResult, Fault};
use crate::{
    harness::Harness,
    request,
    script::{ERROR_MESSAGE, Kind},
    service::{RecordedRequest, Reply},
    wire::{ProtocolProfile, Template, Values},
};

const NOT_REQUESTED: Fault = Fault::Skipped("it asks the service for no list");
const NO_MODEL_LIST: Fault = Fault::Skipped("the wire has no list of models");

pub(super) async fn listed(harness: &Harness<'_>) -> CaseResult {
    let Some(expected) = list_template(&harness.profile) else { return Err(NO_MODEL_LIST) };
    let profile = harness.profile.clone();
    let (listed, requests) = harness.models(move |request| reply_to(&profile, request)).await;
    let models =
        listed.map_err(|failure| format!("expected a list, came {}: {}", failure.code(), failure.message()))?;
    if requests.is_empty() {
        return Err(NOT_REQUESTED);
    }
    let actual: Vec<Value> = models.iter().map(model_json).collect();
    Ok(request::check_contains(&expected.value(&Values::new()), &json!(actual), "")?)
}

pub(super) async fn errors(harness: &Harness<'_>) -> CaseResult {
    if list_template(&harness.profile).is_none() {
        return Err(NO_MODEL_LIST);
    }
    let body = harness.profile.error.render(&[("message".to_owned(), json!(ERROR_MESSAGE))].into_iter().collect());
    let cases = [(401, Kind::Authentication), (429, Kind::RateLimited), (500, Kind::Overloaded)];
    for (status, kind) in cases {
        let body = body.clone();
        let (listed, requests) = harness.models(move |_| Reply::new(status, body.clone())).await;
        if requests.is_empty() {
            return Err(NOT_REQUESTED);
        }
        expect_failure(status, listed, Some(kind))?;
    }
    let (listed, _) = harness.models(|_| Reply::new(200, "<html>Welcome</html>")).await;
    Ok(expect_failure(200, listed, None)?)
}

fn expect_failure(status: u16, listed: Result<Vec<Model>, Failure>, kind: Option<Kind>) -> Result<(), String> {
    let expected = kind.map_or("error", |kind| kind.into_str());
    match listed {
        Err(Failure::ComponentError { code, .. }) if kind.is_none_or(|kind| kind.code() == code) => Ok(()),
        Err(failure) => Err(format!("{status}: expected the error {expected}, came {}", failure.code())),
        Ok(models) => Err(format!("{status}: expected the error {expected}, came {} models", models.len())),
    }
}

fn list_template(profile: &ProtocolProfile) -> Option<&Template> {
    profile.listed.as_ref().filter(|_| !profile.models.is_empty())
}

fn reply_to(profile: &ProtocolProfile, request: &RecordedRequest) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let fits = profile.models.iter().find(|answer| {
        answer.method == request.method && request.path.ends_with(&answer.path) && body.contains(&answer.asked)
    });
    match fits {
        Some(answer) => Reply::new(200, answer.body.render(&Values::new())).header("Content-Type", "application/json"),
        None => Reply::new(404, ""),
    }
}

fn model_json(model: &Model) -> Value {
    let price = model
        .price
        .map(|price| json!({ "input": price.input, "cached_input": price.cached_input, "output": price.output }));
    json!({
        "id": model.id, "display_name": model.display_name, "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens, "price": price,
    })
}
