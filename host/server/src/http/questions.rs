//! `/v1/agents/{name}/questions` and `…/ask-responses`.

use axum::extract::State;
use moxxy_types::{
    ids::{Name, QuestionId},
    questions::{Question, Response},
};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, Caller, RunsWrite},
        extract::{Json, Paging, Path},
        reply::{Body, Paginated},
    },
    services::questions,
};

/// Lists questions, oldest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<Question>> {
    Ok(paging.show(questions::list(&app.runs, &name, &paging.page).await?))
}

pub(super) async fn answer(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path((name, question_id)): Path<(Name, QuestionId)>,
    Json(response): Json<Response>,
) -> Result<Body<Question>> {
    Ok(Body(questions::answer(&app.runs, caller.principal, name, question_id, response).await?))
}
