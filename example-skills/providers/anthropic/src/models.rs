//! The models that the service lists, with what it tells of them.

use moxxy_sdk::provider::{Error, KnownModel, Model, Service};
use serde::Deserialize;

/// The most pages of them.
const PAGES: usize = 10;
const ON_A_PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    max_input_tokens: Option<u32>,
    #[serde(default)]
    max_tokens: Option<u32>,
}

pub(crate) fn list(service: &Service, configured: Vec<KnownModel>) -> Result<Vec<Model>, Error> {
    if !configured.is_empty() {
        return Ok(configured.into_iter().map(Model::from).collect());
    }
    let (mut models, mut after) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let request = service.get("v1/models")?.query("limit", ON_A_PAGE);
        let request = after.iter().fold(request, |request, id| request.query("after_id", id));
        let page: Page = service.send(request)?.json()?;
        let is_last = page.has_more != Some(true) || page.data.is_empty();
        models.extend(page.data.into_iter().map(Model::from));
        after = page.last_id.filter(|_| !is_last);
        if after.is_none() {
            break;
        }
    }
    Ok(models)
}

impl From<Listed> for Model {
    fn from(listed: Listed) -> Self {
        let Listed { id, display_name, max_input_tokens, max_tokens } = listed;
        Self { display_name, context_window: max_input_tokens, max_output_tokens: max_tokens, ..Self::new(id) }
    }
}
