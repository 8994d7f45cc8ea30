//! Searches of issues: from arguments to GitHub's terms, and from its answer to ours.

use moxxy_sdk::{http::Response, skill::Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::names;

/// How much of an issue's text is told, in characters.
const BODY: usize = 500;
/// GitHub wants one of these in every search.
const KINDS: [&str; 5] = ["is:issue", "is:pr", "is:pull-request", "type:issue", "type:pr"];

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Open,
    Closed,
}

#[derive(Debug, Serialize)]
pub(crate) struct Found {
    /// How many there are, of which some are returned.
    total: u64,
    /// Whether GitHub gave up before it had searched everything.
    incomplete: bool,
    issues: Vec<Issue>,
}

#[derive(Debug, Serialize)]
struct Issue {
    repo: String,
    number: u64,
    title: String,
    pull_request: bool,
    state: String,
    author: Option<String>,
    created_at: String,
    updated_at: String,
    comments: u64,
    labels: Vec<String>,
    url: String,
    /// The beginning.
    body: String,
}

/// GitHub's answer.
#[derive(Deserialize)]
struct Page {
    total_count: u64,
    #[serde(default)]
    incomplete_results: bool,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    repository_url: String,
    number: u64,
    title: String,
    pull_request: Option<IgnoredAny>,
    state: String,
    user: Option<User>,
    created_at: String,
    updated_at: String,
    comments: u64,
    labels: Vec<Label>,
    html_url: String,
    body: Option<String>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Label {
    #[serde(default)]
    name: String,
}

/// What is searched for, in GitHub's syntax.
pub(crate) fn terms(query: &str, repo: Option<&str>, state: Option<State>) -> Result<String, Error> {
    let query = query.trim();
    if query.is_empty() && repo.is_none() {
        return Err(Error::invalid("`query` is empty, and no `repo` is told"));
    }
    let words: Vec<_> = query.split([' ', '(', ')']).collect();
    let has_kind = words.iter().any(|word| KINDS.contains(&&*word.to_ascii_lowercase()));
    let terms = [
        // The others are to hold for each alternative.
        Some(if words.contains(&"OR") { format!("({query})") } else { query.to_owned() }),
        (!has_kind).then(|| "is:issue".to_owned()),
        repo.map(names::repo).transpose()?.map(|repo| format!("repo:{repo}")),
        state.map(|state| format!("state:{}", state.name())),
    ];
    Ok(terms.into_iter().flatten().filter(|term| !term.is_empty()).collect::<Vec<_>>().join(" "))
}

pub(crate) fn found(response: Response) -> Result<Found, Error> {
    let page: Page = response.json()?;
    let issues = page.items.into_iter().map(Issue::from).collect();
    Ok(Found { total: page.total_count, incomplete: page.incomplete_results, issues })
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl From<Item> for Issue {
    fn from(item: Item) -> Self {
        let repo = item.repository_url.split_once("/repos/").map_or("", |(_, repo)| repo);
        Self {
            repo: repo.to_owned(),
            number: item.number,
            title: item.title,
            pull_request: item.pull_request.is_some(),
            state: item.state,
            author: item.user.map(|user| user.login),
            created_at: item.created_at,
            updated_at: item.updated_at,
            comments: item.comments,
            labels: item.labels.into_iter().map(|label| label.name).collect(),
            url: item.html_url,
            body: beginning(&item.body.unwrap_or_default()),
        }
    }
}

fn beginning(text: &str) -> String {
    let end = text.char_indices().nth(BODY).map(|(end, _)| end);
    match end.and_then(|end| text.get(..end)) {
        Some(beginning) => format!("{beginning}…"),
        None => text.to_owned(),
    }
}
