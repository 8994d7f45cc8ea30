//! A provider for Anthropic's Messages API: prompts are marked for its cache, and thoughts are kept, so
//! that they go back unchanged to where they stood.

mod body;
mod cache;
mod format;
mod models;
mod options;
mod refusal;
mod stream;
#[cfg(test)]
mod tests;
mod thought;
mod usage;
mod wire;

use moxxy_sdk::{
    config,
    provider::{Chunks, Error, Manifest, Model, Provider, Request},
    skill,
};

use options::{KEY, Options, TOKEN};
use stream::Stream;

struct Anthropic;

impl Provider for Anthropic {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "The models of Anthropic, and of every service with its Messages API, at `base_url`.",
        )
        .host("config:base_url", &["GET", "POST"], "To list the models, and to have them answer.")
        .secret(KEY, &place, "header:x-api-key", "The service's API key. Without it the service is asked without one.")
        .secret(
            TOKEN,
            &place,
            "header:Authorization",
            "The token of a gateway, if `auth` is `bearer`; it is used in place of `key`.",
        )
        .config_schema(skill::schema::<Options>())
    }

    fn models() -> Result<Vec<Model>, Error> {
        let options: Options = config::read()?;
        models::list(&options.service()?, options.models)
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let options: Options = config::read()?;
        let service = options.service()?;
        let body = body::of(&request, &options)?;
        let mut post = service.post("v1/messages")?.header("Accept", "text/event-stream").json(&body);
        if let Some(key) = &request.idempotency_key {
            post = post.header("Idempotency-Key", key);
        }
        let response = service.send(post).map_err(|error| refusal::adapt(error, &request))?;
        Ok(Chunks::of(Stream::new(response)))
    }
}

moxxy_sdk::export_provider!(Anthropic);
