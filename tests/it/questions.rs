//! Questions to people: of the model, of skills, and for approval. A waiting run holds no resources.

use moxxy_types::digest::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, send};

pub(crate) fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

/// Creates an agent whose model makes these calls, and then returns the request that it received.
pub(crate) async fn asking(server: &Server, agent: &str, calls: Value) {
    server.scripted(agent, json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.upload(agent, "asker").await.expect(201);
}

/// Starts a run and waits until it asks.
pub(crate) async fn waiting(server: &Server, agent: &str) -> Value {
    let run = server.run(agent, "go").await;
    assert_eq!(run["status"], "waiting", "{run}");
    run
}

pub(crate) async fn questions(server: &Server, agent: &str) -> Vec<Value> {
    server.get(&format!("/v1/agents/{agent}/questions")).await.expect(200).as_array().unwrap().clone()
}

fn path(agent: &str, question: &Value) -> String {
    format!("/v1/agents/{agent}/ask-responses/{}", question["question_id"].as_str().unwrap())
}

pub(crate) async fn respond(server: &Server, agent: &str, question: &Value, body: Value) -> Answer {
    server.post(&path(agent, question), body).await
}

/// Returns the results of the model's calls, once the run has completed.
pub(crate) async fn told(server: &Server, run: &Value) -> Vec<String> {
    let events = server.events(&format!("after=0&run_id={}", run["run_id"].as_str().unwrap())).await;
    results({ events }.until("run.completed").await.last().unwrap().data["payload"]["output"].as_str().unwrap())
}

fn results(output: &str) -> Vec<String> {
    let shown: Value = serde_json::from_str(output).unwrap();
    let results = shown["messages"][2]["tool_results"].as_array().unwrap();
    results.iter().map(|result| result["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_model_asks_and_its_run_goes_on_with_the_answer_after_a_restart() {
    let server = Server::start().await;
    asking(&server, "ada", json!([call("ask_user", json!({ "question": "Which colour?" }))])).await;
    let run = waiting(&server, "ada").await;
    assert_eq!(server.get("/v1/agents/ada").await.expect(200)["status"], "waiting");
    let asked = &questions(&server, "ada").await[0];
    assert_eq!((&asked["kind"], &asked["question"]), (&json!("question"), &json!("Which colour?")));
    let server = Server::at(server.stop().await, |_| {}).await;
    assert_eq!(server.get("/v1/agents/ada").await.expect(200)["status"], "waiting");
    respond(&server, "ada", asked, json!({ "decision": "allow" })).await.error(400, "invalid_input");
    respond(&server, "ada", asked, json!({ "answer": "" })).await.error(400, "invalid_input");
    let answered = respond(&server, "ada", asked, json!({ "answer": "Blue" })).await.expect(200);
    assert_eq!((&answered["status"], &answered["answered_by"]), (&json!("answered"), &json!("local")));
    respond(&server, "ada", asked, json!({ "answer": "Red" })).await.error(409, "question_ended");
    assert_eq!(told(&server, &run).await, ["Blue"]);
    assert_eq!(questions(&server, "ada").await, [Value::Null; 0]);
    let events =
        server.events("after=0&agent_id=ada&event_type=run.*&event_type=ask.*").await.until("run.completed").await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected = ["run.queued", "run.started", "ask.requested", "run.waiting", "ask.answered", "run.completed"];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_skill_asks_and_is_called_again_with_the_answer() {
    let server = Server::start().await;
    asking(
        &server,
        "ada",
        json!([call("hostile__delete", json!({ "name": "x" })), call("hostile__survey", json!({}))]),
    )
    .await;
    let run = waiting(&server, "ada").await;
    // A later call may depend on the waiting one, and is not made yet.
    let open = questions(&server, "ada").await;
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0]["question"], &open[0]["tool"]), (&json!("Delete x?"), &json!("hostile__delete")));
    respond(&server, "ada", &open[0], json!({ "answer": "yes" })).await.expect(200);
    let answers = [("What is your name?", "Ada"), ("How old are you, Ada?", "36")];
    for (question, answer) in answers {
        server.events("after=0&agent_id=ada").await.until_asked(question).await;
        let open = questions(&server, "ada").await;
        assert_eq!(open[0]["question"], question);
        respond(&server, "ada", &open[0], json!({ "answer": answer })).await.expect(200);
    }
    // The call's writes before its question were discarded.
    assert_eq!(told(&server, &run).await, ["deleted x in call 1", r#"["Ada","36"]"#]);
    let detail = server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    let steps = detail["steps"].as_array().unwrap();
    assert_eq!(steps.iter().filter(|step| step["status"] == "pending").count(), 3);
}

#[tokio::test]
async fn a_skill_that_asks_wrongly_is_told_so() {
    let peer = crate::peer::Peer::new(axum::Router::new().fallback(|| async { "done" })).await;
    let private = serde_json::from_value(json!([format!("127.0.0.1:{}", peer.port)])).unwrap();
    let server = Server::with(|config| config.egress.private = private).await;
    let late = call("hostile__late", json!({ "url": peer.url("/") }));
    let calls = json!([late, call("hostile__silent", json!({})), call("hostile__moody", json!({}))]);
    server.scripted("ada", json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.accepted("ada", "asker").await;
    let run = waiting(&server, "ada").await;
    let open = questions(&server, "ada").await;
    respond(&server, "ada", &open[0], json!({ "answer": "yes" })).await.expect(200);
    let told = told(&server, &run).await;
    assert_eq!(told[0], "TooLate");
    assert_eq!(told[1], "The skill broke while it carried out the call.");
    assert!(told[2].contains("asked something else"), "{told:?}");
    // Without a run there is nobody to ask.
    let alone = server.invoke("ada", "hostile", "delete", json!({ "name": "x" })).await;
    assert!(alone.error(500, "tool_failed").contains("nobody can be asked"));
}

#[tokio::test]
async fn what_needs_approval_is_called_once_a_person_allows_it() {
    let server = Server::start().await;
    let guarded = |name: &str| call("hostile__guarded", json!({ "name": name }));
    asking(&server, "ada", json!([guarded("a"), guarded("b"), call("hostile__survey", json!({}))])).await;
    let policy = json!({ "tools": { "hostile__survey": "deny" } });
    send(server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&policy)).await.expect(200);
    let run = waiting(&server, "ada").await;
    let open = questions(&server, "ada").await;
    let arguments: Vec<_> = open.iter().map(|asked| &asked["arguments"]["name"]).collect();
    assert_eq!(arguments, ["a", "b"]);
    assert!(open.iter().all(|asked| asked["kind"] == "approval" && asked["tool"] == "hostile__guarded"));
    respond(&server, "ada", &open[0], json!({ "answer": "yes" })).await.error(400, "invalid_input");
    respond(&server, "ada", &open[1], json!({ "decision": "deny" })).await.expect(200);
    respond(&server, "ada", &open[0], json!({ "decision": "allow", "scope": "always" })).await.expect(200);
    let denied = |why: &str| format!("The call was not made: {why}.");
    let expected =
        ["did a".to_owned(), denied("a person denied it"), denied("the tool policy of the agent denies this tool")];
    assert_eq!(told(&server, &run).await, expected);
    let events = server.events("after=0&agent_id=ada").await.until("run.completed").await;
    assert_eq!(events.iter().filter(|event| event.kind == "skill.denied").count(), 2);
    // A permanent decision is not asked again, except for other arguments.
    let again = server.run("ada", "go").await;
    assert_eq!(again["status"], "failed", "the script has no step left: {again}");
    let standing = server.get("/v1/agents/ada/tool-policy/decisions").await.expect(200);
    let standing = standing.as_array().unwrap();
    assert_eq!(standing.len(), 1);
    assert_eq!((&standing[0]["tool"], &standing[0]["scope"]), (&json!("hostile__guarded"), &json!("always")));
    let audit = server.get("/v1/audit?event_type=ask.answered").await.expect(200);
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert_eq!(audit[0]["payload"]["decision"], "allow");
    // The digest proves the arguments, which are not stored for longer than the agent.
    assert_eq!(audit[0]["payload"]["digest"], open[0]["digest"]);
    let digest = Digest::compute(open[0]["arguments"].to_string().as_bytes());
    assert_eq!(audit[0]["payload"]["arguments_digest"], digest.as_str());
    assert!(!audit.to_string().contains("\"arguments\""));
    let audit = server.get("/v1/audit?event_type=agent.updated").await.expect(200);
    assert_eq!(audit[0]["payload"]["tool_policy"]["tools"], policy["tools"]);
}

#[tokio::test]
async fn a_decision_lasts_as_long_as_it_says_and_for_the_component_that_it_was_about() {
    let server = Server::start().await;
    let calls = json!([call("hostile__guarded", json!({ "name": "a" }))]);
    server
        .scripted_with(
            "ada",
            json!({ "steps": [{ "tool_calls": calls }, { "text": "done" }], "repeat": true }),
            json!({}),
        )
        .await;
    server.upload("ada", "asker").await.expect(201);
    let decide = async |scope: &str| {
        let open = questions(&server, "ada").await;
        respond(&server, "ada", &open[0], json!({ "decision": "allow", "scope": scope })).await.expect(200);
        let run = open[0]["run_id"].as_str().unwrap().to_owned();
        server.events(&format!("after=0&run_id={run}")).await.until("run.completed").await;
    };
    waiting(&server, "ada").await;
    decide("run").await;
    waiting(&server, "ada").await;
    decide("session").await;
    assert_eq!(server.run("ada", "go").await["status"], "completed");
    server.post("/v1/agents/ada/reset", json!({})).await.expect(200);
    waiting(&server, "ada").await;
    decide("always").await;
    server.post("/v1/agents/ada/reset", json!({})).await.expect(200);
    assert_eq!(server.run("ada", "go").await["status"], "completed");
    // A new policy deletes the decision.
    let policy = server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&json!({}));
    send(policy).await.expect(200);
    assert_eq!(server.get("/v1/agents/ada/tool-policy/decisions").await.expect(200), json!([]));
    waiting(&server, "ada").await;
    let stopped = server.post("/v1/agents/ada/stop", json!({})).await.expect(200);
    assert_eq!(stopped[0]["status"], "cancelled");
    assert_eq!(questions(&server, "ada").await, [Value::Null; 0]);
}

#[tokio::test]
async fn an_approval_takes_another_token_than_the_one_that_started_the_run() {
    let server = Server::with(|config| config.server.loopback = false).await;
    let admin = server.token(None, &["*"]).await;
    let scopes = ["agents:read", "agents:write", "runs:write", "events:read"];
    let (starter, other) = (server.token(Some(&admin), &scopes).await, server.token(Some(&admin), &scopes).await);
    let runner = server.token(Some(&admin), &["runs:write"]).await;
    let by = |token: &str, method: Method, path: &str| server.request(method, path).bearer_auth(token);
    let provider = json!({ "id": "script", "component": { "bundled": "script" }, "config": {
        "steps": [{ "tool_calls": [call("text__word_count", json!({ "text": "a" }))] }, { "text": "done" }],
    }});
    send(by(&admin, Method::POST, "/v1/providers").json(&provider)).await;
    let agent = json!({ "name": "ada", "provider": "script", "model": "script" });
    send(by(&admin, Method::POST, "/v1/agents").json(&agent)).await.expect(201);
    let install = json!({ "source": { "bundled": "text" } });
    send(by(&admin, Method::POST, "/v1/agents/ada/skills/install").json(&install)).await.expect(201);
    let put = |policy: Value| send(by(&admin, Method::PUT, "/v1/agents/ada/tool-policy").json(&policy));
    put(json!({ "tools": { "text__*": "ask" } })).await.expect(200);
    let start = by(&starter, Method::POST, "/v1/agents/ada/runs").header("Prefer", "wait=60");
    let run = send(start.json(&json!({ "task": "go" }))).await.expect(201);
    assert_eq!(run["status"], "waiting");
    let open = send(by(&starter, Method::GET, "/v1/agents/ada/questions")).await.expect(200);
    let decide =
        |token: &str| send(by(token, Method::POST, &path("ada", &open[0])).json(&json!({ "decision": "allow" })));
    decide(&runner).await.error(403, "insufficient_scope");
    assert!(decide(&starter).await.error(403, "own_run").contains("self_approval"));
    decide(&other).await.expect(200);
    // A direct call of a tool that needs approval takes the scope of an approval.
    let invoke = |token: &str| {
        let body = json!({ "tool": "word_count", "arguments": { "text": "a b" } });
        send(by(token, Method::POST, "/v1/agents/ada/skills/text/invoke").json(&body))
    };
    invoke(&runner).await.error(403, "insufficient_scope");
    invoke(&starter).await.expect(200);
    put(json!({ "tools": { "text__*": "deny" } })).await.expect(200);
    invoke(&starter).await.error(409, "tool_denied");
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_given_up() {
    let (server, ahead) = Server::timed(|config| config.runs.question_time = 3600).await;
    let calls = [call("ask_user", json!({ "question": "Which?" })), call("hostile__delete", json!({ "name": "x" }))];
    asking(&server, "ada", json!(calls)).await;
    let run = waiting(&server, "ada").await;
    ahead.fetch_add(4000, std::sync::atomic::Ordering::Relaxed);
    // The server checks for expired questions when a run asks another one.
    asking(&server, "bob", json!([call("ask_user", json!({ "question": "Which?" }))])).await;
    waiting(&server, "bob").await;
    server.events("after=0&agent_id=ada").await.until("ask.expired").await;
    // The waiting time does not count towards the run, and the next question waits anew.
    server.events("after=0&agent_id=ada").await.until_asked("Delete x?").await;
    let open = questions(&server, "ada").await;
    respond(&server, "ada", &open[0], json!({ "answer": "no" })).await.expect(200);
    assert_eq!(told(&server, &run).await, ["Nobody answered in time.", "kept x: no"]);
}

#[tokio::test]
async fn a_call_that_waits_for_an_answer_changes_nothing() {
    let peer = crate::peer::Peer::new(axum::Router::new().fallback(|| async { "done" })).await;
    let private = serde_json::from_value(json!([format!("127.0.0.1:{}", peer.port)])).unwrap();
    let server = Server::with(|config| config.egress.private = private).await;
    let calls = json!([call("hostile__rash", json!({ "url": peer.url("/") }))]);
    server.scripted("ada", json!([{ "tool_calls": calls }, { "record": true }])).await;
    server.accepted("ada", "asker").await;
    let run = waiting(&server, "ada").await;
    assert_eq!(peer.asked(), 0);
    let open = questions(&server, "ada").await;
    respond(&server, "ada", &open[0], json!({ "answer": "yes" })).await.expect(200);
    assert_eq!((told(&server, &run).await, peer.asked()), (vec!["yes, sent: true".to_owned()], 1));
}

#[tokio::test]
async fn a_run_that_is_to_stop_does_not_wait() {
    let server = Server::start().await;
    let calls =
        [call("hostile__count_calls", json!({ "calls": 500_000 })), call("ask_user", json!({ "question": "?" }))];
    server.scripted("ada", json!([{ "tool_calls": calls }, { "text": "done" }])).await;
    server.upload("ada", "session").await.expect(201);
    let mut events = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "go" })).await;
    events.until("skill.invoked").await;
    let path = format!("/v1/agents/ada/runs/{}/stop", run["run_id"].as_str().unwrap());
    server.post(&path, json!({ "mode": "step" })).await.expect(200);
    events.until("run.cancelled").await;
    assert_eq!(questions(&server, "ada").await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_question_of_the_model_is_a_tool_call_like_any_other() {
    let server = Server::start().await;
    let ask = |question: Value| call("ask_user", question);
    let wrong = [json!({}), json!({ "question": " " }), json!({ "question": "?", "colour": "red" }), json!("?")];
    asking(&server, "ada", wrong.into_iter().map(ask).collect()).await;
    let run = server.run("ada", "go").await;
    for refusal in told(&server, &run).await {
        assert!(refusal.contains("wrong") || refusal.contains("not a JSON object"), "{refusal}");
    }
    let put = |policy: Value| send(server.request(Method::PUT, "/v1/agents/bob/tool-policy").json(&policy));
    asking(&server, "bob", json!([ask(json!({ "question": "Which?" }))])).await;
    // Whoever answers the question decides on the call, too.
    put(json!({ "tools": { "*": "ask" } })).await.expect(200);
    let run = waiting(&server, "bob").await;
    let open = questions(&server, "bob").await;
    assert_eq!(open[0]["kind"], "question");
    respond(&server, "bob", &open[0], json!({ "answer": "this" })).await.expect(200);
    assert_eq!(told(&server, &run).await, ["this"]);
}
