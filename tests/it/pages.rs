//! Pagination of lists: every item once, in a stable order, by the `Link` of the previous page.

use serde_json::{Value, json};

use crate::harness::Server;

/// Reads a list page by page. Returns a field of each item, and the number of pages.
async fn walk(server: &Server, path: &str, field: &str) -> (Vec<String>, usize) {
    let (mut next, mut items, mut pages) = (Some(path.to_owned()), Vec::new(), 0);
    while let Some(path) = next {
        let answer = server.get(&path).await;
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0.to_owned());
        let page = answer.expect(200);
        items.extend(page.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()));
        pages += 1;
    }
    (items, pages)
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    for name in ["a1", "a2", "a3", "a4", "a5"] {
        server.offline(name, "echo").await;
    }
    let (names, pages) = walk(&server, "/v1/agents?limit=2", "name").await;
    assert_eq!((names.join(" "), pages), ("a1 a2 a3 a4 a5".to_owned(), 3));
    let (_, pages) = walk(&server, "/v1/agents?limit=5", "name").await;
    assert_eq!(pages, 1);
    let mut started = Vec::new();
    for task in ["one", "two", "three"] {
        started.push(server.run("a1", task).await["run_id"].as_str().unwrap().to_owned());
    }
    let (runs, pages) = walk(&server, "/v1/agents/a1/runs?limit=1", "run_id").await;
    started.reverse();
    assert_eq!((runs, pages), (started, 3));
    let (messages, pages) = walk(&server, "/v1/agents/a1/history?limit=4&session=default", "content").await;
    assert_eq!((messages.join(" "), pages), ("one one two two three three".to_owned(), 2));
    server.post("/v1/agents/a1/reset", json!({})).await.expect(200);
    assert_eq!(walk(&server, "/v1/agents/a1/sessions?limit=1", "session_id").await.1, 2);
    for skill in ["text", "clock"] {
        server.install("a1", skill).await;
    }
    assert_eq!(
        walk(&server, "/v1/agents/a1/skills?limit=1", "skill_id").await,
        (vec!["clock".into(), "text".into()], 2)
    );
    assert_eq!(walk(&server, "/v1/providers?limit=1", "id").await.1, 1);
    let again = server.get("/v1/agents?%6cimit=2&%63ursor=YTE").await.headers["link"].to_str().unwrap().to_owned();
    assert_eq!(again, "</v1/agents?limit=2&cursor=YTM>; rel=\"next\"");
    // A cursor is valid for its own list only.
    let link = server.get("/v1/agents?limit=2").await.headers["link"].to_str().unwrap().to_owned();
    let cursor = link.split_once("cursor=").unwrap().1.split_once('>').unwrap().0.to_owned();
    server.get(&format!("/v1/agents/a1/runs?cursor={cursor}")).await.error(400, "invalid_input");
}

#[tokio::test]
async fn what_comes_and_goes_meanwhile_moves_nothing() {
    let server = Server::start().await;
    for name in ["a1", "a2", "a4"] {
        server.offline(name, "echo").await;
    }
    let first = server.get("/v1/agents?limit=2").await;
    let link = first.headers["link"].to_str().unwrap().to_owned();
    let next = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    server.delete("/v1/agents/a2").await.expect(204);
    server.offline("a0", "echo").await;
    server.offline("a3", "echo").await;
    let names: Vec<Value> =
        server.get(&next).await.expect(200).as_array().unwrap().iter().map(|a| a["name"].clone()).collect();
    assert_eq!(names, ["a3", "a4"]);
}
