//! The models that the server has, and how much each of them takes.

use moxxy_sdk::provider::{Error, Model, Price, Service};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most models that are asked about one by one.
const SHOWN: usize = 50;

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    /// Of one that runs elsewhere, at Ollama's.
    #[serde(default)]
    remote_host: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    capabilities: Option<Vec<String>>,
    model_info: Option<Map<String, Value>>,
    /// Lines of a name and a value.
    parameters: Option<String>,
}

pub(crate) fn list(service: &Service, num_ctx: Option<u32>) -> Result<Vec<Model>, Error> {
    let tags: Tags = service.send(service.get("api/tags")?)?.json()?;
    let mut models = Vec::with_capacity(tags.models.len());
    for (place, tag) in tags.models.into_iter().enumerate() {
        // One that cannot be shown is still there.
        let shown = if place < SHOWN { show(service, &tag.name).unwrap_or_default() } else { Shown::default() };
        if shown.capabilities.as_ref().is_none_or(|all| all.iter().any(|one| one == "completion")) {
            let context_window = shown.window(num_ctx);
            let is_here = tag.remote_host.is_none_or(|host| host.is_empty());
            let price = is_here.then_some(Price { input: 0.0, cached_input: None, cache_write: None, output: 0.0 });
            models.push(Model { context_window, price, ..Model::new(tag.name) });
        }
    }
    Ok(models)
}

fn show(service: &Service, model: &str) -> Result<Shown, Error> {
    Ok(service.send(service.post("api/show")?.json(&json!({ "model": model })))?.json()?)
}

impl Shown {
    /// How much it takes: what it was made for, unless it is run with less.
    fn window(&self, configured: Option<u32>) -> Option<u32> {
        let info = self.model_info.as_ref();
        let trained = info.and_then(|info| {
            let family = info.get("general.architecture")?.as_str()?;
            u32::try_from(info.get(&format!("{family}.context_length"))?.as_u64()?).ok()
        });
        let lines = self.parameters.as_deref().unwrap_or_default().lines();
        let set = lines.filter_map(|line| line.trim().strip_prefix("num_ctx")?.trim().parse().ok()).next();
        [configured.or(set), trained].into_iter().flatten().min()
    }
}
