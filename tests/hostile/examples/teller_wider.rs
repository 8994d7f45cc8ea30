//! The same provider in its second version, which asks for a host and wants a short place.

use moxxy_sdk::{
    config,
    provider::{Chunk, Error, Manifest, Model, Provider, Request, StopReason},
};
use serde_json::json;

struct Teller;

impl Provider for Teller {
    type Completion = std::array::IntoIter<Result<Chunk, Error>, 2>;

    fn manifest() -> Manifest {
        let place = json!({ "type": "string", "maxLength": 4 });
        Manifest::new("teller", "2.0.0", "Tells its version.")
            .host("api.example.com", &["GET"], "To tell it there.")
            .config_schema(json!({ "type": "object", "properties": { "place": place }, "additionalProperties": false }))
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(vec![Model::new("teller")])
    }

    fn complete(_request: Request) -> Result<Self::Completion, Error> {
        let text = format!("2 at {}", config::get("place").unwrap_or_default());
        Ok([Ok(Chunk::Text(text)), Ok(Chunk::Stop(StopReason::EndTurn))].into_iter())
    }
}

moxxy_sdk::export_provider!(Teller);
