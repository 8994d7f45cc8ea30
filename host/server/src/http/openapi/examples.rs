//! Examples of all request and response bodies.

use moxxy_types::{
    agents::Agent,
    audit::{Entry, Head},
    checks::Report,
    grants::{Grant, NewGrant},
    jobs::Job,
    messages::Message,
    policy::{Policy, Standing},
    questions::{Question, Response},
    retention::Retention,
    runs::{DailyUsage, Run},
    secrets::Secret,
    sessions::Session,
    tokens::Token,
};
use serde_json::{Value, json};

use crate::{
    http::{
        agent_models::{AgentModel, AgentModels},
        agents::{Reset, StopMode},
        api::schema::{RequestBody, ResponseBody},
        chat,
        health::Health,
        responses,
        skills::Invocation,
    },
    services::{
        agents::{NewAgent, Patch},
        checks::Order,
        grants::Granted,
        installations::{self, configure::Patch as InstallationPatch, install::NewInstallation, upgrade::Upgrade},
        models::Model,
        providers::{
            self, NewProvider,
            trial::{self, NewTest},
        },
        runs::{Detail, NewRun},
        secrets::{NewSecret, NewValue},
        skills::{self, Install},
        tokens::{Issued, NewToken},
    },
};

const NOW: &str = "2026-01-02T03:04:05.678Z";
const LATER: &str = "2026-01-02T03:04:07.123Z";
const RUN: &str = "run_019b7c5e-8f00-7000-8000-000000000001";
const SESSION: &str = "ses_019b7c5e-8f00-7000-8000-000000000002";
const TOKEN: &str = "tok_019b7c5e-8f00-7000-8000-000000000003";
const SECRET: &str = "sec_019b7c5e-8f00-7000-8000-000000000006";
const GRANT: &str = "grt_019b7c5e-8f00-7000-8000-000000000007";
const QUESTION: &str = "ask_019b7c5e-8f00-7000-8000-000000000008";
const JOB: &str = "job_019b7c5e-8f00-7000-8000-000000000009";
const INSTALLATION: &str = "ins_019b7c5e-8f00-7000-8000-00000000000a";
const RESPONSE: &str = "resp_019b7c5e-8f00-7000-8000-000000000002";
const DIGEST: &str = "sha256:982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";

macro_rules! examples {
    ($($kind:ident $type:ty: $example:expr;)*) => {
        $(
            impl $kind for $type {
                fn example() -> Value {
                    $example
                }
            }
        )*
    };
}

examples! {
    ResponseBody Agent: json!({
        "name": "ada", "provider": "offline", "model": "planner",
        "fallbacks": [{ "provider": "offline", "model": "echo" }], "persona": "You are brief.", "temperature": null, "options": {}, "limits": {
            "max_steps": 10, "max_tokens": null, "max_seconds": null, "max_tool_calls": null, "max_cost": 0.5,
            "max_tokens_per_day": null, "max_cost_per_day": 5.0,
        },
        "template": null, "status": "idle", "created_at": NOW, "updated_at": NOW,
    });
    RequestBody NewAgent: json!({ "name": "ada", "provider": "offline", "model": "planner", "persona": "You are brief." });
    RequestBody Patch: json!({ "persona": null, "limits": { "max_steps": 20 } });
    RequestBody StopMode: json!({ "mode": "now" });
    ResponseBody Reset: json!({ "agent_id": "ada", "session_id": SESSION });

    ResponseBody Run: run();
    ResponseBody Vec<Run>: json!([run()]);
    ResponseBody Detail: detail();
    ResponseBody DailyUsage: day();
    RequestBody NewRun: json!({
        "task": "Count the words in \"a b c\"", "session": "default",
        "output_schema": { "type": "object", "properties": { "words": { "type": "integer" } }, "required": ["words"] },
    });
    ResponseBody Message: json!({
        "id": "msg_019b7c5e-8f00-7000-8000-000000000004", "session_id": SESSION, "run_id": RUN,
        "role": "user", "content": "Count the words in \"a b c\"", "created_at": NOW,
    });
    ResponseBody Job: json!({
        "id": JOB, "kind": "question.expire", "agent_id": "ada", "origin": QUESTION, "status": "due",
        "due_at": LATER, "attempts": 0, "last_error": null, "created_by": "server", "created_at": NOW,
    });
    ResponseBody Vec<Retention>: json!([{
        "id": "events", "keep_days": 90, "keep_count": 1_000_000, "keep_bytes": 1_000_000_000,
        "bytes": 48_112, "removable": 12, "next_at": LATER,
    }]);
    ResponseBody Question: json!({
        "id": QUESTION, "question_id": QUESTION, "kind": "approval", "run_id": RUN, "session_id": SESSION,
        "question": "May `notes__add` be called with these arguments?", "tool": "notes__add",
        "arguments": { "text": "Buy milk" }, "digest": DIGEST, "status": "open", "answer": null, "decision": null,
        "scope": null, "answered_by": null, "created_at": NOW, "expires_at": LATER, "ended_at": null,
    });
    RequestBody Response: json!({ "decision": "allow", "scope": "session" });
    ResponseBody Standing: json!({
        "question_id": QUESTION, "tool": "notes__add", "digest": DIGEST, "arguments": { "text": "Buy milk" },
        "decision": "allow", "scope": "session", "decided_by": TOKEN, "decided_at": NOW,
    });
    ResponseBody Policy: tool_policy();
    RequestBody Policy: tool_policy();
    ResponseBody Session: json!({ "id": SESSION, "session_id": SESSION, "name": "default", "created_at": NOW, "closed_at": null });

    ResponseBody installations::view::View: installation(json!({
        "id": INSTALLATION, "kind": "skill", "name": "text", "agent_id": null, "agents": ["ada", "bob"],
    }));
    RequestBody NewInstallation: json!({ "component": { "bundled": "text" }, "agents": ["ada", "bob"] });
    ResponseBody skills::View: installation(json!({ "id": "text", "skill_id": "text", "shared": false }));
    RequestBody Install: json!({ "component": { "bundled": "text" } });
    RequestBody Upgrade: json!({ "accept": ["host:api.example.com GET"] });
    RequestBody Invocation: json!({ "tool": "word_count", "arguments": { "text": "a b c" } });
    ResponseBody Value: json!({ "words": 3 });

    ResponseBody providers::View: installation(json!({ "id": "offline", "name": "offline", "tools": [] }));
    RequestBody NewProvider: json!({ "id": "offline", "component": { "bundled": "offline" }, "config": {} });
    RequestBody InstallationPatch: json!({ "config": { "greeting": "Hello" } });
    RequestBody NewTest: json!({ "model": "gpt-5" });
    ResponseBody trial::Report: json!({
        "model": "gpt-5", "adaptations": ["max-completion-tokens"],
        "tests": [{ "name": "completion", "passed": true, "message": "stopped with `end_turn`", "milliseconds": 812 }],
    });
    RequestBody Order: json!({ "wire": "openai" });
    ResponseBody Report: json!({
        "suite": "2.1.0", "wire": "openai", "digest": DIGEST, "checked_at": NOW, "passed": 1, "failed": 0, "skipped": 0,
        "cases": [{
            "id": "text.plain", "expects": "A text comes whole, in order, and its stop last", "outcome": "passed",
            "found": null,
        }],
        "text": "passed   text.plain  A text comes whole, in order, and its stop last\n",
    });
    ResponseBody Vec<Model>: json!([
        {
            "id": "planner", "display_name": "Planner", "context_window": 128_000, "max_output_tokens": null,
            "price": { "input": 1.25, "cached_input": 0.125, "cache_write": null, "output": 10.0 },
            "calls_tools": true, "reads_images": null,
        },
    ]);

    RequestBody chat::Request: json!({
        "model": "ada", "messages": [{ "role": "user", "content": "Count the words in \"a b c\"" }], "stream": false,
    });
    RequestBody responses::Request: json!({ "model": "ada", "input": "Count the words in \"a b c\"" });
    ResponseBody responses::ModelResponse: json!({
        "id": RESPONSE, "object": "response", "created_at": 1_767_355_200, "status": "completed", "error": null,
        "incomplete_details": null, "instructions": null, "model": "ada",
        "output": [{
            "id": "msg_019b7c5e-8f00-7000-8000-000000000002", "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": "3", "annotations": [], "logprobs": [] }],
        }],
        "previous_response_id": null,
        "usage": {
            "input_tokens": 120, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens": 12, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 132,
        },
        "store": true, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "text": { "format": { "type": "text" } }, "metadata": {}, "temperature": null, "top_p": null,
    });
    ResponseBody responses::DeletedResponse: json!({ "id": RESPONSE, "object": "response", "deleted": true });
    ResponseBody chat::Completion: json!({
        "id": RUN, "object": "chat.completion", "created": 1_767_323_045, "model": "ada",
        "choices": [{
            "index": 0, "message": { "role": "assistant", "content": "3", "refusal": null }, "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 120, "completion_tokens": 12, "total_tokens": 132,
            "prompt_tokens_details": { "cached_tokens": 0 },
        },
    });
    ResponseBody AgentModel: model();
    ResponseBody AgentModels: json!({ "object": "list", "data": [model()] });

    ResponseBody Issued: json!({
        "id": TOKEN, "token": "mox_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "scopes": ["agents:read", "runs:write"],
        "description": "For the build", "created_at": NOW, "expires_at": LATER,
    });
    ResponseBody Token: json!({
        "id": TOKEN, "scopes": ["agents:read", "runs:write"], "description": "For the build", "created_at": NOW,
        "created_by": "bootstrap", "expires_at": LATER, "last_used_at": NOW, "revoked_at": null,
    });
    RequestBody NewToken: json!({ "scopes": ["agents:read", "runs:write"], "description": "For the build", "expires_in_seconds": 86400 });
    ResponseBody Secret: json!({
        "id": SECRET, "name": "github", "description": "Reads issues", "version": 1, "created_by": TOKEN,
        "created_at": NOW, "updated_at": NOW,
    });
    RequestBody NewSecret: json!({ "name": "github", "value": "ghp_AAAAAAAAAAAAAAAA", "description": "Reads issues" });
    RequestBody NewValue: json!({ "value": "ghp_BBBBBBBBBBBBBBBB" });
    ResponseBody Grant: grant();
    ResponseBody Granted: json!({ "grants": [grant()] });
    RequestBody NewGrant: json!({ "agent_id": "ada", "secret_id": SECRET });
    ResponseBody Entry: json!({
        "position": 7, "timestamp": NOW, "actor": TOKEN, "agent_id": "ada", "run_id": null,
        "event_type": "skill.removed", "payload": { "skill_id": "text" },
    });
    ResponseBody Head: json!({ "position": 7, "hash": "2f".repeat(32) });
    ResponseBody Health: json!({ "status": "ok", "version": "0.1.0", "database": "ok", "components": 2 });
}

fn model() -> Value {
    json!({ "id": "ada", "object": "model", "created": 1_767_323_045, "owned_by": "moxxy" })
}

/// Returns an installation with these fields instead of a skill's, or beside them.
fn installation(fields: Value) -> Value {
    let mut installation = json!({
        "installation_id": INSTALLATION, "version": "0.1.0", "description": "Works on texts.", "digest": DIGEST,
        "size": 123_456,
        "tools": [{
            "name": "word_count", "description": "Count the words of a text",
            "parameters": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
            "hints": { "read_only": true, "idempotent": true, "requires_approval": false },
        }],
        "config": {}, "config_schema": null, "concurrency": null, "asked": permissions(), "granted": permissions(),
        "missing": { "hosts": [], "secrets": [] }, "never": ["Use a secret"], "signature": "unsigned", "check": null,
        "previous": null, "bundled_update": null, "created_at": NOW, "updated_at": NOW,
    });
    if let (Some(all), Value::Object(fields)) = (installation.as_object_mut(), fields) {
        all.extend(fields);
    }
    installation
}

fn run() -> Value {
    json!({
        "id": RUN, "run_id": RUN, "agent_id": "ada", "session_id": SESSION, "status": "completed", "output_truncated": false,
        "origin": "api", "origin_id": null,
        "task": "Count the words in \"a b c\"", "output": "{\"words\": 3}", "output_json": { "words": 3 }, "error": null,
        "created_at": NOW, "started_at": NOW, "ended_at": LATER,
    })
}

fn detail() -> Value {
    let mut detail = run();
    if let Some(fields) = detail.as_object_mut() {
        let step = json!({
            "id": "stp_019b7c5e-8f00-7000-8000-000000000005", "step_id": "stp_019b7c5e-8f00-7000-8000-000000000005", "kind": "tool", "status": "completed",
            "name": "text__word_count", "input": { "call_id": "call_1", "arguments": { "text": "a b c" } },
            "output": { "words": 3 }, "input_tokens": 0, "cached_input_tokens": 0, "cache_write_tokens": 0, "is_estimated": false, "output_tokens": 0, "cost": null,
            "reserved_tokens": 0, "reserved_cost": 0.0, "started_at": NOW, "ended_at": LATER,
        });
        fields.insert("steps".into(), json!([step]));
        fields.insert("usage".into(), run_usage());
        fields.insert("waits_for".into(), Value::Null);
    }
    detail
}

fn run_usage() -> Value {
    json!({
        "steps": 2, "tool_calls": 1, "input_tokens": 120, "cached_input_tokens": 0, "output_tokens": 12,
        "cost": 0.00027, "reserved_tokens": 0, "reserved_cost": 0.0,
    })
}

fn day() -> Value {
    let mut day = run_usage();
    if let Some(fields) = day.as_object_mut() {
        fields.insert("day".into(), "2026-01-02".into());
    }
    day
}

fn tool_policy() -> Value {
    json!({ "tools": { "notes__*": "ask" }, "idempotent": ["notes__add"], "self_approval": false, "client_tools": false, "unmatched": [] })
}

fn grant() -> Value {
    json!({
        "id": GRANT, "secret_id": SECRET, "secret": "github", "name": "github",
        "installation_id": INSTALLATION, "agent_id": "ada", "skill_id": "issues",
        "provider_id": null, "digest": DIGEST, "mode": "inject", "hosts": ["api.github.com"],
        "place": "header:Authorization", "expires_at": null, "max_uses": null, "uses": 0, "granted_by": TOKEN,
        "created_at": NOW,
    })
}

fn permissions() -> Value {
    json!({ "hosts": [{ "host": "api.example.com", "methods": ["GET"], "reason": "To look things up" }], "secrets": [] })
}
