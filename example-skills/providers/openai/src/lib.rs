//! A provider for OpenAI's chat completions, and for the many services that speak the same: vLLM,
//! llama.cpp, LiteLLM, OpenRouter, Groq, Mistral, DeepSeek, Azure. Where they differ the configuration
//! says how; `options` describes it.

mod body;
mod calls;
mod dialect;
mod models;
mod opaque;
mod options;
mod profile;
mod refusal;
mod stream;
mod strict;
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

use options::{AZURE_KEY, KEY, Options};
use stream::Stream;

struct OpenAi;

impl Provider for OpenAi {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "The models of OpenAI, and of every service with its chat completions, at `base_url`.",
        )
        .host("config:base_url", &["GET", "POST"], "To list the models, and to have them answer.")
        .secret(
            KEY,
            &place,
            "header:Authorization",
            "The service's API key. Without it the service is asked without one.",
        )
        .secret(
            AZURE_KEY,
            &place,
            "header:api-key",
            "The API key of Azure, if `auth` is `api-key`; it is used in place of `key`.",
        )
        .config_schema(skill::schema::<Options>())
    }

    fn models() -> Result<Vec<Model>, Error> {
        let options: Options = config::read()?;
        models::list(&options.service()?, options.models)
    }

    fn complete(request: Request) -> Result<Chunks<Stream>, Error> {
        let options: Options = config::read()?;
        let service = options.service()?;
        let (body, warnings) = body::of(&request, &options)?;
        let mut post = service.post(&options.path(&request.model)?)?.header("Accept", "text/event-stream").json(&body);
        if let Some(key) = &request.idempotency_key {
            post = post.header("Idempotency-Key", key);
        }
        let known = refusal::Known::of(&request);
        let response = service.send(post).map_err(|error| known.adapt(error))?;
        Ok(Chunks::of(Stream::new(response, options.base_url, known, warnings)))
    }
}

moxxy_sdk::export_provider!(OpenAi);
