//! A skill in good order whose effects are written down elsewhere, each with the run that it is for.

use moxxy_sdk::{http, session, skill::Error, tool};

moxxy_sdk::skill! {
    tools: [append, put],
    manifest: |manifest| manifest.host("127.0.0.1", &["POST", "PUT"], "To write it down."),
}

/// Writes one more line.
#[tool]
fn append(
    /// Where.
    url: String,
) -> Result<&'static str, Error> {
    http::post(place(&url)).send()?;
    Ok("appended")
}

/// Sees to it that a line is there.
#[tool(idempotent)]
fn put(
    /// Where.
    url: String,
) -> Result<&'static str, Error> {
    http::put(place(&url)).send()?;
    Ok("put")
}

fn place(url: &str) -> String {
    let run = session::caller().and_then(|caller| caller.run).unwrap_or_default();
    format!("{url}/{run}")
}
