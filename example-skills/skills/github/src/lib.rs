//! A skill that searches issues and reads files on GitHub. Its token stays with the server, which
//! puts it into the requests; without one there is what is public.

mod api;
mod contents;
mod issues;
mod names;
mod refusal;
#[cfg(test)]
mod tests;

use issues::{Found, State};
use moxxy_sdk::{
    skill::{Error, Json, Output},
    tool,
};

moxxy_sdk::skill! {
    tools: [search_issues, read_file],
    manifest: |manifest| manifest
        .host(api::HOST, &["GET"], "To search issues and to read files. Nothing is written there.")
        .secret(
            api::SECRET,
            &[api::HOST],
            "header:Authorization",
            "A GitHub token that may read issues and contents, for the private repositories it may see and for \
             more requests per hour. Without it there is only what is public.",
        ),
}

/// Search GitHub's issues, or its pull requests, and return the best matches with the beginning of
/// what they say.
#[tool(read_only, idempotent)]
fn search_issues(
    /// What to search for in GitHub's syntax, such as: crash in:title label:bug author:ada. Issues are
    /// found, or pull requests with is:pr. It may be empty if `repo` is told.
    query: String,
    /// The only repository to search, as owner/name.
    repo: Option<String>,
    /// Only those that are open, or only those that are closed.
    state: Option<State>,
    /// How many to return, 1 to 50; 10 unless told.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 50))]
    limit: u8,
) -> Result<Json<Found>, Error> {
    if !(1..=50).contains(&limit) {
        return Err(Error::invalid("`limit` is 1 to 50"));
    }
    let terms = issues::terms(&query, repo.as_deref(), state)?;
    let request = api::get("/search/issues").query("q", terms).query("per_page", limit);
    issues::found(api::send(request, "application/vnd.github+json")?).map(Json)
}

/// Read a text file of a repository on GitHub. Of a file beyond 256 KiB the beginning comes. A folder
/// gives the names in it as a JSON list, at most 1000; those of folders end in /.
#[tool(read_only, idempotent)]
fn read_file(
    /// The repository, as owner/name.
    repo: String,
    /// The path within the repository, such as src/lib.rs; empty for the topmost folder.
    path: String,
    /// A branch, a tag or a commit; the default branch unless told.
    reference: Option<String>,
) -> Result<Output, Error> {
    let mut request = api::get(&format!("/repos/{}/contents{}", names::repo(&repo)?, names::path(&path)?));
    if let Some(reference) = reference {
        request = request.query("ref", reference);
    }
    contents::output(api::send(request, "application/vnd.github.raw+json")?, &path)
}

fn ten() -> u8 {
    10
}
