//! Questions and approvals.

use moxxy_types::{
    agents::AgentKey,
    digest::Digest,
    error::{Error, Result},
    ids::{MessageId, Name, QuestionId, RunId, SessionId},
    jobs::{NewJob, QUESTION_EXPIRY},
    paging::PageRequest,
    policy::Standing,
    questions::{Decision, NewQuestion, Question, Response},
    runs::{Run, TOOL_NAME_SEPARATOR},
};

use serde_json::json;

use super::{Db, Tx, jobs, to_json};

/// Opens a question, ordered after those of the same kind from the same call. It expires after `seconds`.
pub async fn insert(tx: &mut Tx, run: &Run, new: NewQuestion, seconds: i64) -> Result<Question> {
    let sql = "INSERT INTO questions (id, run, agent, session, kind, message, call_id, ordinal, question, tool, digest,
               arguments, status, created_at, expires_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, COALESCE(MAX(ordinal) + 1, 0), ?8, ?9, ?10, ?11, 'open', ?12, ?13 FROM questions
               WHERE message = ?6 AND call_id = ?7 AND kind = ?5
               RETURNING *";
    let (id, now, expires) = (QuestionId::random(), tx.now(), tx.after(seconds));
    let expiry = NewJob {
        kind: QUESTION_EXPIRY,
        key: expiry_key(&id),
        agent: Some(run.agent),
        origin: Some(id.to_string()),
        payload: json!({}),
        due_at: expires.clone(),
        created_by: "server".to_owned(),
    };
    jobs::insert(tx, &expiry).await?;
    Ok(sqlx::query_as(sql)
        .bind(id.as_str())
        .bind(run.run_id.as_str())
        .bind(run.agent.0)
        .bind(run.session_id.as_str())
        .bind(new.kind)
        .bind(new.message.as_str())
        .bind(new.call_id)
        .bind(new.question)
        .bind(new.tool)
        .bind(new.digest.as_ref().map(Digest::as_str))
        .bind(new.arguments.as_ref().map(to_json).transpose()?)
        .bind(now)
        .bind(expires)
        .fetch_one(&mut **tx)
        .await?)
}

/// Returns a question of this agent.
pub async fn get(db: &mut Db, agent: AgentKey, id: &QuestionId) -> Result<Question> {
    let sql = "SELECT * FROM questions WHERE id = ? AND agent = ?";
    let row: Option<Question> = sqlx::query_as(sql).bind(id.as_str()).bind(agent.0).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("question", id))
}

/// Returns a page of an agent's open questions, oldest first.
pub async fn open_of(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Vec<Question>> {
    let sql = "SELECT * FROM questions WHERE agent = ? AND status = 'open' AND id > ? ORDER BY id LIMIT ?";
    Ok(sqlx::query_as(sql).bind(agent.0).bind(page.after()).bind(page.rows()).fetch_all(db).await?)
}

/// Returns the questions of a message's calls, in the order in which each call asked them.
pub async fn of_message(db: &mut Db, message: &MessageId) -> Result<Vec<Question>> {
    let sql = "SELECT * FROM questions WHERE message = ? ORDER BY call_id, kind, ordinal";
    Ok(sqlx::query_as(sql).bind(message.as_str()).fetch_all(db).await?)
}

/// Returns the newest decision on a tool call with these arguments whose scope covers the run.
pub async fn standing(
    db: &mut Db,
    run: &Run,
    tool: &str,
    digest: &Digest,
    arguments: &str,
) -> Result<Option<Decision>> {
    let sql = "SELECT decision FROM questions WHERE agent = ?1 AND tool = ?2 AND kind = 'approval' AND digest = ?3
               AND arguments = ?4 AND status = 'answered'
               AND (scope = 'always' OR scope = 'session' AND session = ?5 OR scope = 'run' AND run = ?6)
               ORDER BY ended_at DESC LIMIT 1";
    let decision = sqlx::query_scalar(sql)
        .bind(run.agent.0)
        .bind(tool)
        .bind(digest.as_str())
        .bind(arguments)
        .bind(run.session_id.as_str())
        .bind(run.run_id.as_str())
        .fetch_optional(db)
        .await?;
    Ok(decision)
}

/// Returns an agent's decisions that are still in effect, oldest first.
pub async fn all_standing(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Vec<Standing>> {
    let sql = "SELECT q.* FROM questions q JOIN runs r ON r.id = q.run JOIN sessions s ON s.id = q.session
               WHERE q.agent = ? AND q.id > ? AND q.kind = 'approval' AND q.status = 'answered'
               AND (q.scope = 'always' OR q.scope = 'session' AND s.closed_at IS NULL
                    OR q.scope = 'run' AND r.ended_at IS NULL)
               ORDER BY q.id LIMIT ?";
    let rows: Vec<Question> =
        sqlx::query_as(sql).bind(agent.0).bind(page.after()).bind(page.rows()).fetch_all(db).await?;
    Ok(rows.into_iter().filter_map(Standing::from_approval).collect())
}

/// Whether a decision in a run still holds for other runs.
pub async fn any_standing_of(db: &mut Db, run: &RunId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM questions q JOIN sessions s ON s.id = q.session WHERE q.run = ?
               AND q.status = 'answered' AND (q.scope = 'always' OR q.scope = 'session' AND s.closed_at IS NULL))";
    Ok(sqlx::query_scalar(sql).bind(run.as_str()).fetch_one(db).await?)
}

/// Whether a decision in a session still holds for other sessions.
pub async fn any_standing_in(db: &mut Db, session: &SessionId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM questions WHERE session = ? AND status = 'answered' AND scope = 'always')";
    Ok(sqlx::query_scalar(sql).bind(session.as_str()).fetch_one(db).await?)
}

/// Revokes such decisions on the tools of a skill: those of an agent, or of all agents that have no such skill of their
/// own.
pub async fn revoke_standing_of_skill(tx: &mut Tx, agent: Option<AgentKey>, skill: &Name) -> Result<()> {
    let of_agent = "UPDATE questions SET scope = 'once'
                    WHERE agent = ?1 AND scope <> 'once' AND substr(tool, 1, length(?2)) = ?2";
    let of_all = "UPDATE questions SET scope = 'once'
                  WHERE ?1 IS NULL AND scope <> 'once' AND substr(tool, 1, length(?2)) = ?2 AND NOT EXISTS
                      (SELECT 1 FROM installations i WHERE i.agent = questions.agent AND i.kind = 'skill' AND i.name = ?3)";
    let query = sqlx::query(if agent.is_some() { of_agent } else { of_all }).bind(agent.map(|agent| agent.0));
    let query = query.bind(format!("{skill}{TOOL_NAME_SEPARATOR}")).bind(skill.as_str());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Revokes all decisions that apply to more than one call.
pub async fn revoke_standing(tx: &mut Tx, agent: AgentKey) -> Result<()> {
    let sql = "UPDATE questions SET scope = 'once' WHERE agent = ? AND scope <> 'once'";
    sqlx::query(sql).bind(agent.0).execute(&mut **tx).await?;
    Ok(())
}

pub async fn answer(tx: &mut Tx, id: &QuestionId, response: &Response, by: &str) -> Result<Question> {
    let sql = "UPDATE questions SET status = 'answered', answer = ?, decision = ?, scope = ?, answered_by = ?,
               ended_at = ? WHERE id = ? AND status = 'open' RETURNING *";
    let now = tx.now();
    let scope = response.decision.map(|_| response.scope.unwrap_or_default());
    let row: Option<Question> = sqlx::query_as(sql)
        .bind(&response.answer)
        .bind(response.decision)
        .bind(scope)
        .bind(by)
        .bind(now)
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    jobs::remove(tx, &[expiry_key(id)]).await?;
    row.ok_or_else(|| Error::not_found("question", id))
}

/// Returns the run of a question.
pub async fn run_of(db: &mut Db, id: &QuestionId) -> Result<Option<RunId>> {
    let sql = "SELECT run FROM questions WHERE id = ?";
    Ok(sqlx::query_scalar(sql).bind(id.as_str()).fetch_optional(db).await?)
}

/// Returns the number of open questions among these.
pub async fn open_among(db: &mut Db, ids: &[QuestionId]) -> Result<usize> {
    let sql = "SELECT COUNT(*) FROM questions WHERE status = 'open' AND id IN (SELECT value FROM json_each(?))";
    let open: i64 = sqlx::query_scalar(sql).bind(to_json(&ids)?).fetch_one(db).await?;
    usize::try_from(open).map_err(Error::internal)
}

/// Expires a question. Returns `false` if it is no longer open.
pub async fn expire(tx: &mut Tx, id: &QuestionId) -> Result<bool> {
    let sql = "UPDATE questions SET status = 'expired', ended_at = ? WHERE id = ? AND status = 'open'";
    let now = tx.now();
    Ok(sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Expires all open questions of a run, and returns their ids.
pub async fn expire_all(tx: &mut Tx, run: &RunId) -> Result<Vec<QuestionId>> {
    let sql = "UPDATE questions SET status = 'expired', ended_at = ? WHERE run = ? AND status = 'open' RETURNING id";
    let now = tx.now();
    let ids = sqlx::query_scalar(sql).bind(now).bind(run.as_str()).fetch_all(&mut **tx).await?;
    remove_expiry(tx, &ids).await?;
    Ok(ids)
}

/// Deletes the open approvals of a call, and returns their ids.
pub async fn withdraw_for_call(tx: &mut Tx, message: &MessageId, call: &str) -> Result<Vec<QuestionId>> {
    let sql = "DELETE FROM questions WHERE message = ? AND call_id = ? AND kind = 'approval' AND status = 'open'
               RETURNING id";
    let ids = sqlx::query_scalar(sql).bind(message.as_str()).bind(call).fetch_all(&mut **tx).await?;
    remove_expiry(tx, &ids).await?;
    Ok(ids)
}

/// Deletes the open approvals of a run, and returns their ids.
pub async fn withdraw_all(tx: &mut Tx, run: &RunId) -> Result<Vec<QuestionId>> {
    let sql = "DELETE FROM questions WHERE run = ? AND kind = 'approval' AND status = 'open' RETURNING id";
    let ids = sqlx::query_scalar(sql).bind(run.as_str()).fetch_all(&mut **tx).await?;
    remove_expiry(tx, &ids).await?;
    Ok(ids)
}

/// Returns the key of the job that expires a question.
fn expiry_key(id: &QuestionId) -> String {
    format!("{QUESTION_EXPIRY}:{id}")
}

async fn remove_expiry(tx: &mut Tx, ids: &[QuestionId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    jobs::remove(tx, &ids.iter().map(expiry_key).collect::<Vec<_>>()).await
}
