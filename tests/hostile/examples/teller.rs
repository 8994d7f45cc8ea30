//! A provider in its first version. It tells its version and where its configuration says that it is.

use moxxy_sdk::{
    config,
    provider::{Chunk, Error, Manifest, Model, Provider, Request, StopReason},
};
use serde_json::json;

struct Teller;

impl Provider for Teller {
    type Completion = std::array::IntoIter<Result<Chunk, Error>, 2>;

    fn manifest() -> Manifest {
        let place = json!({ "type": "string" });
        Manifest::new("teller", "1.0.0", "Tells its version.")
            .config_schema(json!({ "type": "object", "properties": { "place": place }, "additionalProperties": false }))
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(vec![Model::new("teller")])
    }

    fn complete(_request: Request) -> Result<Self::Completion, Error> {
        let text = format!("1 at {}", config::get("place").unwrap_or_default());
        Ok([Ok(Chunk::Text(text)), Ok(Chunk::Stop(StopReason::EndTurn))].into_iter())
    }
}

moxxy_sdk::export_provider!(Teller);
