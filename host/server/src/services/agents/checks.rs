//! Checks of an agent's settings.

use moxxy_store as store;
use moxxy_types::{
    agents::{Fallback, ModelOptions, Settings},
    error::{Error, InvalidFields, Result},
    money::Dollars,
};
use serde_json::Value;

use crate::services::{
    models::{self, Model},
    runs::Runs,
};

/// Maximum length of a persona, in bytes.
const MAX_PERSONA_BYTES: usize = 64 * 1024;
/// Maximum length of a model name, in bytes.
const MAX_MODEL_NAME_BYTES: usize = 256;
/// Maximum number of fallback models.
const MAX_FALLBACKS: usize = 8;
/// Maximum length of a reasoning effort, in bytes.
const MAX_EFFORT_BYTES: usize = 64;
/// Maximum number of stop texts.
const MAX_STOPS: usize = 16;
/// Maximum length of a stop text, in bytes.
const MAX_STOP_BYTES: usize = 256;
/// Maximum size of the fields for the service, in bytes.
const MAX_EXTRA_BYTES: usize = 16 * 1024;
const TEMPERATURE_RANGE: std::ops::RangeInclusive<f64> = 0.0..=2.0;

/// Checks all settings, and returns warnings. `known` models are not looked up.
pub(super) async fn check(runs: &Runs, settings: &Settings, known: &[Fallback]) -> Result<Vec<String>> {
    let (mut wrong, mut warnings) = (InvalidFields::default(), Vec::new());
    check_values(settings, &mut wrong);
    check_models(runs, settings, known, &mut wrong, &mut warnings).await?;
    wrong.into_result().map(|()| warnings)
}

/// Checks the settings that need no lookup.
fn check_values(settings: &Settings, wrong: &mut InvalidFields) {
    let persona = settings.persona.as_ref().map_or(0, String::len);
    if persona > MAX_PERSONA_BYTES {
        wrong.push("persona", format!("it has {persona} bytes; the limit is {MAX_PERSONA_BYTES}"));
    }
    if settings.temperature.is_some_and(|t| !TEMPERATURE_RANGE.contains(&t)) {
        wrong.push("temperature", "it is a number from 0 to 2");
    }
    if settings.fallbacks.len() > MAX_FALLBACKS {
        wrong.push("fallbacks", format!("it has at most {MAX_FALLBACKS} models"));
    }
    check_options(&settings.options, wrong);
    let limits = &settings.limits;
    let numbers = [
        ("max_steps", limits.max_steps.map(u64::from)),
        ("max_tool_calls", limits.max_tool_calls.map(u64::from)),
        ("max_tokens", limits.max_tokens),
        ("max_seconds", limits.max_seconds),
        ("max_tokens_per_day", limits.max_tokens_per_day),
    ];
    for (name, _) in numbers.into_iter().filter(|(_, limit)| *limit == Some(0)) {
        wrong.push(&format!("limits.{name}"), "a limit is at least 1");
    }
    let costs = [("max_cost", limits.max_cost), ("max_cost_per_day", limits.max_cost_per_day)];
    for (name, _) in costs.into_iter().filter(|(_, limit)| limit.is_some_and(Dollars::is_zero)) {
        wrong.push(&format!("limits.{name}"), "a limit on money is more than 0");
    }
}

fn check_options(options: &ModelOptions, wrong: &mut InvalidFields) {
    let has_length = |text: &String, most| (1..=most).contains(&text.len());
    if options.reasoning_effort.as_ref().is_some_and(|effort| !has_length(effort, MAX_EFFORT_BYTES)) {
        wrong.push("options.reasoning_effort", format!("it has 1 to {MAX_EFFORT_BYTES} bytes"));
    }
    if options.top_p.is_some_and(|top_p| !(0.0..=1.0).contains(&top_p)) {
        wrong.push("options.top_p", "it is a number from 0 to 1");
    }
    if options.stop.len() > MAX_STOPS || options.stop.iter().any(|text| !has_length(text, MAX_STOP_BYTES)) {
        wrong.push("options.stop", format!("it has at most {MAX_STOPS} texts of 1 to {MAX_STOP_BYTES} bytes"));
    }
    let extra = Value::Object(options.extra.clone()).to_string().len();
    if extra > MAX_EXTRA_BYTES {
        wrong.push("options.extra", format!("it has {extra} bytes; the limit is {MAX_EXTRA_BYTES}"));
    }
}

/// Checks that models are distinct, and that the providers of those that are not in `known` exist.
async fn check_models(
    runs: &Runs,
    settings: &Settings,
    known: &[Fallback],
    wrong: &mut InvalidFields,
    warnings: &mut Vec<String>,
) -> Result<()> {
    for (index, wanted) in settings.models().take(1 + MAX_FALLBACKS).enumerate() {
        let field = |name: &str| match index {
            0 => name.to_owned(),
            _ => format!("fallbacks[{}].{name}", index - 1),
        };
        if !(1..=MAX_MODEL_NAME_BYTES).contains(&wanted.model.len()) {
            wrong.push(&field("model"), format!("it has 1 to {MAX_MODEL_NAME_BYTES} bytes"));
        } else if settings.models().take(index).any(|other| other == wanted) {
            wrong.push(&field("model"), "it is there already, and would fail again");
        } else if !known.contains(&wanted) {
            match check_model(runs, &wanted, field).await {
                Ok(warning) => warnings.extend(warning),
                Err(error) => wrong.collect(Err(error))?,
            }
        }
    }
    Ok(())
}

/// Checks that a provider exists. Returns a warning if it does not list the model, which its service may still have.
async fn check_model(runs: &Runs, wanted: &Fallback, field: impl Fn(&str) -> String) -> Result<Option<String>> {
    let provider = store::installations::provider(&mut *runs.store.read().await?, &wanted.provider).await;
    let provider = provider.map_err(|error| match error {
        Error::NotFound(problem) => {
            let message = format!("{}; `moxxy provider list` lists them", problem.message);
            Error::invalid_field(&field("provider"), message)
        }
        other => other,
    })?;
    let is_listed = |models: &[Model]| models::find(models, &wanted.model).is_some();
    let listed = match models::get_or_refresh(&runs.components, &provider).await {
        // The cached list may be older than the model.
        Ok(models) if !is_listed(&models) => models::refresh(&runs.components, &provider).await,
        listed => listed,
    };
    let (name, model) = (&provider.name, &wanted.model);
    Ok(match listed {
        Ok(models) if is_listed(&models) => None,
        Ok(models) => {
            let known: Vec<_> = models.iter().take(20).map(|model| model.id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Some(format!(
                "provider '{name}' does not list the model '{model}', which its service may refuse; it lists: {known}"
            ))
        }
        Err(error @ (Error::ComponentError(_) | Error::ComponentFault(_) | Error::Unavailable(_))) => Some(format!(
            "provider '{name}' could not list its models, so '{model}' was not checked: {error}; a service that lists \
             none needs the option `models` of the provider"
        )),
        Err(other) => return Err(other),
    })
}
