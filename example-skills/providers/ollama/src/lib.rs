//! A provider for Ollama's own API: models on a machine of one's own, at an address that may be private.

mod body;
mod models;
mod options;
mod refusal;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use moxxy_sdk::{
    config,
    provider::{Chunks, Error, Manifest, Model, Provider, Request},
    skill,
};

use options::{KEY, Options};
use stream::Stream;

struct Ollama;

impl Provider for Ollama {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        Manifest::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "The models that an Ollama server has, on this machine or at `base_url`.",
        )
        .host("config:base_url", &["GET", "POST"], "To list the models, and to have them answer.")
        .secret(
            KEY,
            &["config:base_url"],
            "header:Authorization",
            "The key of a server that wants one, if `auth` is `bearer`.",
        )
        .config_schema(skill::schema::<Options>())
    }

    fn models() -> Result<Vec<Model>, Error> {
        let options: Options = config::read()?;
        models::list(&options.service()?, options.num_ctx)
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let options: Options = config::read()?;
        let service = options.service()?;
        let post = service.post("api/chat")?.json(&body::of(&request, &options)?);
        let response = service.send(post).map_err(|error| refusal::adapt(error, &request))?;
        Ok(Chunks::of(Stream::new(response)))
    }
}

moxxy_sdk::export_provider!(Ollama);
