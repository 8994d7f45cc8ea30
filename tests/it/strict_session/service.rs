//! Two services: a strict one with a small context window, and a spare one that makes ids of its own. Both do what the
//! test says next.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    peer::Peer,
    strict_session::rules::{self, Validator},
};

/// Context window of the strict service, in tokens.
const WINDOW: usize = 3000;
/// Bytes per token of the strict service.
const BYTES_PER_TOKEN: usize = 3;

/// What a service does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Sends these pieces and ends the answer.
    Whole(Vec<Value>),
    /// Sends these pieces and breaks the connection.
    Broken(Vec<Value>),
    /// Sends the first pieces, and the others once the test allows it.
    Held(Vec<Value>, Vec<Value>),
    Status(u16, &'static str),
}

#[derive(Default)]
struct Record {
    replies: VecDeque<Reply>,
    /// Messages of each request to the strict service, as JSON.
    prompts: Vec<Vec<Value>>,
    requests: usize,
    too_long: usize,
    /// Rules that requests broke, with the request.
    refusals: Vec<String>,
}

pub(super) struct Services {
    record: Mutex<Record>,
    validator: Option<Validator>,
    /// A request has arrived.
    pub arrived: Notify,
    /// A held answer may go on.
    pub go_on: Arc<Notify>,
}

/// Shares of the prompts that were equal to the beginning of the one before.
#[derive(Debug)]
pub(super) struct CachedShares {
    /// Number of times that the beginning of the prompt moved.
    pub cuts: usize,
    /// Requests between cuts that changed more than the last message of the one before.
    pub changed: Vec<String>,
    /// Median between cuts.
    pub median: f64,
    /// Of all bytes between cuts.
    pub between_cuts: f64,
    /// Of all bytes.
    pub overall: f64,
}

impl Services {
    pub(super) async fn start() -> (Arc<Self>, Peer) {
        let services = Arc::new(Self {
            record: Mutex::default(),
            validator: Validator::start(),
            arrived: Notify::new(),
            go_on: Arc::new(Notify::new()),
        });
        let routes = Router::new()
            .route("/{service}/chat/completions", post(complete))
            .route("/{service}/models", get(|| async { Json(json!({ "data": [{ "id": "m" }] })) }))
            .with_state(Arc::clone(&services));
        (services, Peer::new(routes).await)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// Sets the replies to the next requests.
    pub(super) fn reply(&self, replies: Vec<Reply>) {
        self.record().replies = replies.into();
    }

    /// Returns the number of replies that no request has taken.
    pub(super) fn replies_left(&self) -> usize {
        self.record().replies.len()
    }

    /// Returns the number of requests, of those that were too long, and the rules that requests broke.
    pub(super) fn totals(&self) -> (usize, usize, Vec<String>) {
        let record = self.record();
        (record.requests, record.too_long, record.refusals.clone())
    }

    pub(super) fn cached_shares(&self) -> CachedShares {
        let record = self.record();
        let (mut shares, mut changed, mut cuts, mut kept, mut all) = (Vec::new(), Vec::new(), 0, (0, 0), (0, 0));
        for pair in record.prompts.windows(2) {
            let [one, two] = [0, 1].map(|index| json!(pair[index]).to_string().into_bytes());
            let same = one.iter().zip(&two).take_while(|(one, two)| one == two).count();
            all = (all.0 + same, all.1 + two.len());
            // The first messages after the system's; the very first may be the note on what is left out.
            if pair[0].iter().zip(&pair[1]).skip(1).take(2).any(|(one, two)| one != two) {
                cuts += 1;
                continue;
            }
            if !pair[1].starts_with(&pair[0][..pair[0].len() - 1]) {
                changed.push(format!("{}\n{}", json!(pair[0]), json!(pair[1])));
            }
            kept = (kept.0 + same, kept.1 + two.len());
            shares.push(same as f64 / two.len() as f64);
        }
        shares.sort_by(f64::total_cmp);
        let share = |(same, bytes): (usize, usize)| same as f64 / bytes as f64;
        CachedShares { cuts, changed, median: shares[shares.len() / 2], between_cuts: share(kept), overall: share(all) }
    }
}

async fn complete(
    State(services): State<Arc<Services>>,
    Path(service): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let is_strict = service == "strict";
    let mut broken = rules::broken(&body, is_strict);
    if let (Some(validator), true, None) = (&services.validator, is_strict, &broken) {
        broken = validator.broken(&body).await;
    }
    let mut record = services.record();
    record.requests += 1;
    if let Some(rule) = broken {
        record.refusals.push(format!("{service}: {rule}: {}", body["messages"]));
        return failure(422, &rule);
    }
    if is_strict {
        let (prompt, answer) = (tokens(&body), body["max_tokens"].as_u64().unwrap() as usize);
        if prompt + answer > WINDOW {
            record.too_long += 1;
            let message = format!(
                "This model's maximum context length is {WINDOW} tokens. However, you requested {} tokens ({prompt} in \
                 the messages, {answer} in the completion).",
                prompt + answer
            );
            return failure(400, &message);
        }
        record.prompts.push(body["messages"].as_array().unwrap().clone());
    }
    let reply = record.replies.pop_front().unwrap_or(Reply::Status(500, "no reply is left"));
    drop(record);
    services.arrived.notify_one();
    send(reply, &services.go_on)
}

/// Returns the number of tokens of all texts of a request.
fn tokens(body: &Value) -> usize {
    fn bytes(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(fields) => fields.values().map(bytes).sum(),
            _ => 0,
        }
    }
    (bytes(&body["messages"]) + bytes(&body["tools"])).div_ceil(BYTES_PER_TOKEN)
}

fn failure(status: u16, message: &str) -> Response {
    let body = Json(json!({ "message": message, "type": "invalid_request_error" }));
    (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], body).into_response()
}

fn send(reply: Reply, go_on: &Arc<Notify>) -> Response {
    let lines = |pieces: Vec<Value>| pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect::<String>();
    let part = |text: String| Ok::<_, std::io::Error>(Bytes::from(text));
    let body = match reply {
        Reply::Status(status, message) => return failure(status, message),
        Reply::Whole(pieces) => Body::from(lines(pieces) + "data: [DONE]\n\n"),
        Reply::Broken(pieces) => {
            let broken = stream::once(async {
                // What was written before is sent meanwhile.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("the connection broke"))
            });
            Body::from_stream(stream::iter([part(lines(pieces))]).chain(broken))
        }
        Reply::Held(first, rest) => {
            let (rest, go_on) = (part(lines(rest) + "data: [DONE]\n\n"), Arc::clone(go_on));
            let rest = stream::once(async move {
                go_on.notified().await;
                rest
            });
            Body::from_stream(stream::iter([part(lines(first))]).chain(rest))
        }
    };
    ([("content-type", "text/event-stream")], body).into_response()
}
