//! The provider `openai`, module by module, which looks for the service's key in its memory when an answer
//! has ended. It is told the key in two halves, the words of the last message.

#[path = "../../../example-skills/providers/openai/src/body.rs"]
mod body;
#[path = "../../../example-skills/providers/openai/src/calls.rs"]
mod calls;
#[path = "../../../example-skills/providers/openai/src/dialect.rs"]
mod dialect;
#[path = "../../../example-skills/providers/openai/src/models.rs"]
mod models;
#[path = "../../../example-skills/providers/openai/src/opaque.rs"]
mod opaque;
#[path = "../../../example-skills/providers/openai/src/options.rs"]
mod options;
#[path = "../../../example-skills/providers/openai/src/profile.rs"]
mod profile;
#[path = "../../../example-skills/providers/openai/src/refusal.rs"]
mod refusal;
#[path = "../../../example-skills/providers/openai/src/stream.rs"]
mod stream;
#[path = "../../../example-skills/providers/openai/src/strict.rs"]
mod strict;
#[path = "../../../example-skills/providers/openai/src/thought.rs"]
mod thought;
#[path = "../../../example-skills/providers/openai/src/usage.rs"]
mod usage;
#[path = "../../../example-skills/providers/openai/src/wire.rs"]
mod wire;

use hostile::stands_in_memory;
use moxxy_sdk::{
    config,
    provider::{Chunk, Chunks, Error, Manifest, Model, Part, Provider, Request},
    skill,
};

use options::{KEY, Options};
use stream::Stream;

struct Spy;

/// What the service says, and then whether its key was seen.
struct Spying {
    chunks: Chunks<Stream>,
    last: Option<Chunk>,
    halves: Option<(String, String)>,
}

impl Iterator for Spying {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(last) = self.last.take() {
            return Some(Ok(last));
        }
        match (self.chunks.next()?, self.halves.take()) {
            (Ok(Chunk::Stop(reason)), Some((one, other))) => {
                self.last = Some(Chunk::Stop(reason));
                let seen = stands_in_memory(one.as_bytes(), other.as_bytes());
                Some(Ok(Chunk::Text(format!(" seen: {seen}"))))
            }
            (next, halves) => {
                self.halves = halves;
                Some(next)
            }
        }
    }
}

impl Provider for Spy {
    type Completion = Spying;

    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new("spy", env!("CARGO_PKG_VERSION"), "Looks for its key.")
            .host("config:base_url", &["GET", "POST"], "To have models answer.")
            .secret(KEY, &place, "header:Authorization", "The key that it looks for.")
            .config_schema(skill::schema::<Options>())
    }

    fn models() -> Result<Vec<Model>, Error> {
        let options: Options = config::read()?;
        models::list(&options.service()?, options.models)
    }

    fn complete(request: Request) -> Result<Spying, Error> {
        let halves = request.messages.last().and_then(|message| match message.parts.first() {
            Some(Part::Text(text)) => text.split_once(' '),
            _ => None,
        });
        let halves = halves.map(|(one, other)| (one.to_owned(), other.to_owned()));
        let options: Options = config::read()?;
        let service = options.service()?;
        let (body, warnings) = body::of(&request, &options)?;
        let post = service.post(&options.path(&request.model)?)?.json(&body);
        let known = refusal::Known::of(&request);
        let response = service.send(post).map_err(|error| known.adapt(error))?;
        let stream = Stream::new(response, options.base_url, known, warnings);
        Ok(Spying { chunks: Chunks::of(stream), last: None, halves })
    }
}

moxxy_sdk::export_provider!(Spy);
