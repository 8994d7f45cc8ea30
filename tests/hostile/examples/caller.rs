//! A provider that sends each task with its secret to the host of its configuration, and answers with
//! what comes back.

use moxxy_sdk::{
    config, http,
    provider::{Chunk, Error, Manifest, Model, Provider, Request, StopReason},
    vault,
};

struct Caller;

impl Provider for Caller {
    type Completion = std::vec::IntoIter<Result<Chunk, Error>>;

    fn manifest() -> Manifest {
        hostile::manifest("caller").host("config:base_url", &["GET"], "To reach the service.").secret(
            "key",
            &["config:base_url"],
            "header:Authorization",
            "To be let in.",
        )
    }

    fn models() -> Result<Vec<Model>, Error> {
        Ok(vec![Model::new("echo")])
    }

    fn complete(_request: Request) -> Result<Self::Completion, Error> {
        let failed = |error: &dyn std::fmt::Debug| Error::Other(format!("{error:?}"));
        let base = config::get("base_url").unwrap_or_default();
        let secret = vault::open("key").map_err(|error| failed(&error))?;
        let request =
            http::get(format!("{base}/chat")).header("Authorization", format!("Bearer {}", secret.placeholder()));
        let answer = request.send().and_then(http::Response::text).map_err(|error| failed(&error))?;
        Ok(vec![Ok(Chunk::Text(answer)), Ok(Chunk::Stop(StopReason::EndTurn))].into_iter())
    }
}

moxxy_sdk::export_provider!(Caller);
