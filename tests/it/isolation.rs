//! Concurrent calls: none sees data of another.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Server;

const CONNECTIONS: usize = 32;
const CALLS: usize = 2000;
const AGENTS: [&str; 2] = ["ada", "bob"];

/// Data that a connection stored: the titles of its notes, and the texts that it tallied.
#[derive(Default)]
struct Left {
    notes: BTreeSet<String>,
    tallied: BTreeSet<String>,
}

/// Makes the calls of one connection sequentially, each with a unique text.
async fn calls(url: String, number: usize) -> Left {
    let connection = Server::elsewhere(url, TempDir::new().unwrap());
    let (agent, mut left, mut last) = (AGENTS[number % 2], Left::default(), None);
    for call in (number..CALLS).step_by(CONNECTIONS) {
        let text = format!("{agent} {number} {call}");
        let note = format!("a note of {text}");
        match (call / CONNECTIONS % 4, last.take()) {
            (0, _) => {
                let arguments = json!({ "title": text, "text": note });
                let written = connection.invoke(agent, "notes", "write", arguments).await.expect(200);
                assert_eq!(written, format!("Noted under {text:?}."));
                left.notes.insert(text.clone());
                last = Some((text, note));
            }
            (_, Some((title, note))) => {
                let read = connection.invoke(agent, "notes", "read", json!({ "title": title })).await.expect(200);
                assert_eq!(read, note);
            }
            (_, None) => {
                let tallied = connection.invoke(agent, "count", "tally", json!({ "text": text })).await.expect(200);
                assert_eq!(tallied, json!({ "calls": 1, "text": text }));
                left.tallied.insert(text);
            }
        }
    }
    left
}

fn set(list: Value) -> BTreeSet<String> {
    serde_json::from_value(list).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_calls_from_thirty_two_connections_see_nothing_of_each_other() {
    let server = Server::start().await;
    for agent in AGENTS {
        server.offline(agent, "planner").await;
        server.install(agent, "notes").await;
        server.upload(agent, "count").await.expect(201);
    }
    let connections = (0..CONNECTIONS).map(|number| tokio::spawn(calls(server.url.clone(), number)));
    let mut left: [Left; 2] = Default::default();
    for (number, ended) in join_all(connections).await.into_iter().enumerate() {
        let of = ended.unwrap();
        left[number % 2].notes.extend(of.notes);
        left[number % 2].tallied.extend(of.tallied);
    }
    for (agent, left) in AGENTS.into_iter().zip(left) {
        assert_eq!(set(server.invoke(agent, "notes", "list", json!({})).await.expect(200)), left.notes);
        assert_eq!(set(server.invoke(agent, "count", "kept", json!({})).await.expect(200)), left.tallied);
    }
}
