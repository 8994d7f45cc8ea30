//! A provider whose completion, once it has said everything, never lets go.

use moxxy_sdk::provider::{Chunk, Error, Manifest, Model, Provider, Request, StopReason};

struct SpinInDrop;

/// What is left to say.
struct Last(std::vec::IntoIter<Chunk>);

impl Provider for SpinInDrop {
    type Completion = Last;

    fn manifest() -> Manifest {
        hostile::manifest("spin-in-drop")
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(vec![Model::new("last")])
    }

    fn complete(_request: Request) -> Result<Last, Error> {
        Ok(Last(vec![Chunk::Text("done".into()), Chunk::Stop(StopReason::EndTurn)].into_iter()))
    }
}

impl Iterator for Last {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        hostile::spin()
    }
}

moxxy_sdk::export_provider!(SpinInDrop);
