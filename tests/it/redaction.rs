//! Information about a granted secret that a component can derive from responses with guesses.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::get,
};
use futures_util::stream;
use serde_json::json;

use crate::{harness, outcomes::outcome, peer};

const SECRET: &str = "sk-Tq8vYw3nT5xZ1sD7aB2cE4fG6hJ9kL0mNu4dRiX";
/// Capital letters first: host names are searched in lower case.
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// By content type: the text before each guess, and the text after it, in its own chunk.
const KINDS: [(&str, &str, &str); 4] = [
    ("text/plain", "| | | |", ""),
    ("application/octet-stream", "........................................................................", ""),
    ("text/event-stream", "data: ", "\n\n"),
    ("application/x-ndjson; charset=utf-8", "{\"guess\": \"", "\"}\n"),
];

/// Sends every guess at the next byte, each in its own chunk.
async fn guesses(
    State((kind, before, after)): State<(&'static str, &'static str, &'static str)>,
    Path(hex): Path<String>,
) -> impl IntoResponse {
    let known = String::from_utf8(hex::decode(hex).unwrap()).unwrap();
    let pieces = ALPHABET.chars().flat_map(move |guess| {
        [format!("{before}{known}{guess}"), after.to_owned()].into_iter().filter(|piece| !piece.is_empty())
    });
    let pieces: Vec<_> = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece))).collect();
    ([(CONTENT_TYPE, kind)], Body::from_stream(stream::iter(pieces)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_guesses_learns_nothing_from_the_pieces() {
    for kind in KINDS {
        let service = peer::Peer::new(Router::new().route("/{hex}", get(guesses).with_state(kind))).await;
        let server = peer::server(&[format!("localhost:{}", service.port)], |_| {}).await;
        server.accepted("ada", "oracle").await;
        let secret = server.post("/v1/vault/secrets", json!({ "name": "key", "value": SECRET })).await.expect(201);
        let grant = json!({ "agent_id": "ada", "secret_id": secret["id"] });
        server.post("/v1/vault/grants", grant).await.expect(201);
        let arguments = json!({
            "url": format!("http://localhost:{}", service.port), "begins": "sk-", "before": kind.1.len(),
            "after": kind.2.len(), "alphabet": ALPHABET,
        });
        let learnt: harness::Answer = server.invoke("ada", "oracle", "guess", arguments).await;
        let learnt: String = learnt.expect(200).as_str().unwrap().chars().rev().collect();
        outcome(&format!("a secret, guessed by pieces of {}", kind.0), &format!("{} of 42 bytes", learnt.len() - 3));
        assert_eq!(learnt, "sk-", "{kind:?}");
        assert!(service.asked() > 0);
    }
}
