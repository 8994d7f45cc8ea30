//! A provider whose schema takes as long as possible to hold a configuration against.

use moxxy_sdk::provider::{Chunk, Error, Manifest, Model, Provider, Request};

struct Slow;

impl Provider for Slow {
    type Completion = std::iter::Empty<Result<Chunk, Error>>;

    fn manifest() -> Manifest {
        hostile::manifest("slow-config").config_schema(hostile::slow_schema())
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(Vec::new())
    }

    fn complete(_: Request) -> Result<Self::Completion, Error> {
        Ok(std::iter::empty())
    }
}

moxxy_sdk::export_provider!(Slow);
