//! The models that the service lists, with what it tells of them.

use moxxy_sdk::provider::{Error, KnownModel, Model, Price, Service};
use serde_json::Value;

/// The most models that are listed.
const MODELS: usize = 5000;
/// The longest name of one, in bytes.
const NAME: usize = 256;
const WINDOWS: [&str; 7] = [
    "/context_length",
    "/context_window",
    "/max_model_len",
    "/max_context_length",
    "/meta/n_ctx",
    "/meta/n_ctx_train",
    "/limits/max_context_window_tokens",
];
const OUTPUTS: [&str; 3] = ["/top_provider/max_completion_tokens", "/max_completion_tokens", "/max_output_tokens"];

pub(crate) fn list(service: &Service, configured: Vec<KnownModel>) -> Result<Vec<Model>, Error> {
    if !configured.is_empty() {
        return Ok(configured.into_iter().map(Model::from).collect());
    }
    let mut listed: Value = service.send(service.get("models")?)?.json()?;
    // Some services send the list by itself.
    let models = if listed.is_array() { listed } else { listed.get_mut("data").map(Value::take).unwrap_or_default() };
    match models {
        Value::Array(models) => Ok(models.iter().filter_map(model).take(MODELS).collect()),
        _ => Err(Error::Transport("the service did not send a list of models".to_owned())),
    }
}

fn model(listed: &Value) -> Option<Model> {
    let number = |places: &[&str]| places.iter().find_map(|place| u32::try_from(listed.pointer(place)?.as_u64()?).ok());
    let id = listed.get("id")?.as_str().filter(|id| (1..=NAME).contains(&id.len()))?;
    let is_for_chat = listed.pointer("/capabilities/completion_chat").and_then(Value::as_bool);
    let name = ["/display_name", "/name"].iter().find_map(|place| listed.pointer(place)?.as_str());
    (is_for_chat != Some(false)).then(|| Model {
        display_name: name.filter(|&name| name != id).map(|name| name.chars().take(NAME).collect()),
        context_window: number(&WINDOWS).filter(|&tokens| tokens > 0),
        max_output_tokens: number(&OUTPUTS).filter(|&tokens| tokens > 0),
        price: price(listed),
        calls_tools: listed
            .get("supported_parameters")
            .and_then(Value::as_array)
            .map(|known| known.iter().any(|parameter| parameter == "tools")),
        reads_images: listed
            .pointer("/architecture/input_modalities")
            .and_then(Value::as_array)
            .map(|known| known.iter().any(|modality| modality == "image")),
        ..Model::new(id)
    })
}

/// OpenRouter's price: dollars for one token, as texts.
fn price(listed: &Value) -> Option<Price> {
    let of = |name| {
        let dollars: f64 = listed.pointer("/pricing")?.get(name)?.as_str()?.parse().ok()?;
        (dollars.is_finite() && dollars >= 0.0).then(|| per_million(dollars))
    };
    Some(Price {
        input: of("prompt")?,
        cached_input: of("input_cache_read"),
        cache_write: of("input_cache_write"),
        output: of("completion")?,
    })
}

/// Without what the multiplication adds far behind the point.
fn per_million(dollars: f64) -> f64 {
    (dollars * 1e12).round() / 1e6
}
