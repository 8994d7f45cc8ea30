//! What happens in the runs of the session: the replies of the services, and how the run ends.

use serde_json::{Value, json};

use crate::strict_session::service::Reply::{self, Broken, Held, Status, Whole};

/// How a run ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Completed,
    /// It fails with this code.
    Failed(&'static str),
    /// It is stopped at once after the first text, or when the request has arrived.
    Stopped {
        after_text: bool,
    },
    /// It is stopped after its current step.
    StoppedAfterStep,
    /// It asks a person and is stopped instead.
    StoppedWhileWaiting,
    /// Its time is over after the first text.
    OutOfTime,
    /// The server restarts after the first text; the run completes.
    Restarted,
}

/// Text of the answers that are interrupted.
pub(super) const BEGINNING: &str = "I begin ";

/// What happens in a run.
pub(super) struct Plan {
    pub replies: Vec<Reply>,
    pub ending: Ending,
    /// Why each of its partial messages broke off.
    pub partial: &'static [&'static str],
    /// Its task; any one if it is empty.
    pub task: String,
}

/// Its name, how many runs it is for, and how it is made.
type Kind = (&'static str, usize, fn(&mut Random) -> Plan);

pub(super) const KINDS: [Kind; 43] = [
    ("an answer", 2, |random| completes(vec![random.says()])),
    ("a call", 3, |random| completes(vec![random.calls(1), random.says()])),
    ("several calls", 3, |random| completes(vec![random.calls(3), random.calls(2), random.says()])),
    ("wrong calls", 2, |random| completes(vec![random.wrong_calls(), random.says()])),
    ("a long result", 1, |random| completes(vec![random.long_call(400), random.says()])),
    ("long results", 1, |random| {
        completes([(0..4).map(|_| random.long_call(300)).collect(), vec![says("Done.")]].concat())
    }),
    ("a result beyond the window", 1, |random| completes(vec![random.long_call(4000), random.says()])),
    ("a task beyond the window", 1, |random| Plan {
        task: random.words(3000),
        ..fails("context_too_long", Vec::new())
    }),
    ("a thought and a call", 1, |random| completes(vec![random.thought_and_call(), random.says()])),
    ("a thought only", 1, |_| completes(vec![thought("Hm.", "stop"), says("Here.")])),
    ("cut thoughts", 1, |_| fails("output_limit", vec![thought("Hm, ", "length"), thought("Hm, ", "length")])),
    ("an empty answer", 1, |random| completes(vec![says(" \n"), random.says()])),
    ("empty answers everywhere", 1, |_| fails("empty_answer", vec![says(""), says(" "), says(""), says("")])),
    ("an answer without content", 1, |_| fails("content_refused", vec![Whole(vec![finish("content_filter")])])),
    ("a cut answer", 1, |_| Plan { partial: &["output_limit"], ..completes(vec![cut("I have so much to")]) }),
    ("a cut call", 1, |random| Plan {
        partial: &["output_limit"],
        ..completes(vec![random.cut_call(), random.calls(1), random.says()])
    }),
    ("cut calls", 1, |random| Plan {
        partial: &["output_limit", "output_limit"],
        ..fails("output_limit", vec![random.cut_call(), random.cut_call()])
    }),
    ("too many steps", 1, |random| fails("step_limit", (0..MAX_STEPS).map(|_| random.calls(1)).collect())),
    ("too many calls", 1, |random| {
        fails("tool_call_limit", vec![random.calls(2), random.calls(MAX_TOOL_CALLS), random.calls(2)])
    }),
    ("too much time", 1, |random| {
        let replies = vec![random.calls(1), Held(vec![text(BEGINNING)], Vec::new())];
        Plan { replies, ending: Ending::OutOfTime, partial: &["failed"], ..fails("time_limit", Vec::new()) }
    }),
    ("a crowd of calls", 1, |random| completes(vec![random.silent_calls(70), random.says()])),
    ("other ids after a failover", 3, |random| {
        completes([down(503), vec![random.other_calls("call_"), random.other_calls("call_"), random.says()]].concat())
    }),
    ("the same ids after a failover", 2, |random| {
        completes([down(429), vec![random.numbered_calls(), random.numbered_calls(), random.says()]].concat())
    }),
    ("a failover after a call", 2, |random| {
        completes([vec![random.calls(2)], down(500), vec![random.other_calls("toolu_"), random.says()]].concat())
    }),
    ("a failover that ends after calls", 1, |random| {
        fails(
            "provider_authentication",
            [down(503), vec![random.other_calls("call_"), Status(401, "Wrong key.")]].concat(),
        )
    }),
    ("both services down", 2, |_| fails("provider_overloaded", [down(500), down(500)].concat())),
    ("a refusal after a call", 2, |random| completes(vec![random.calls(2), refusal(), random.says()])),
    ("refusals after a call", 2, |random| {
        fails("provider_rejected_request", vec![random.calls(2), refusal(), refusal()])
    }),
    ("a break after text", 1, |random| Plan { partial: &["failed"], ..completes(vec![broken(), random.says()]) }),
    ("an error after text", 2, |random| Plan {
        partial: &["failed"],
        ..completes(vec![error_after_text(), random.other_calls("call_"), random.says()])
    }),
    ("errors after texts", 1, |random| Plan {
        partial: &["failed", "failed"],
        ..fails("provider_rejected_request", vec![random.calls(1), error_after_text(), error_after_text()])
    }),
    ("a break before text", 1, |random| completes(vec![Broken(Vec::new()), random.says()])),
    ("a break in a call", 1, |random| completes(vec![random.broken_call(), random.calls(1), random.says()])),
    ("a break and refusals", 1, |_| Plan {
        partial: &["failed"],
        ..fails("provider_rejected_request", vec![broken(), refusal(), refusal()])
    }),
    ("a stop in the stream", 2, |_| stopped(true, vec![Held(vec![text(BEGINNING)], Vec::new())])),
    ("a stop in the stream of the other service", 1, |random| {
        let held = Held(vec![text(BEGINNING)], Vec::new());
        stopped(true, [down(503), vec![random.other_calls("call_"), held]].concat())
    }),
    ("a stop in a call", 1, |random| {
        let Broken(call) = random.broken_call() else { unreachable!("it is broken") };
        stopped(false, vec![Held(call, Vec::new())])
    }),
    ("a stop before text", 1, |random| stopped(false, vec![random.calls(1), Held(Vec::new(), Vec::new())])),
    ("a stop before calls", 2, |random| {
        let Whole(calls) = random.calls(2) else { unreachable!("calls are whole") };
        let replies = vec![Held(vec![text(BEGINNING)], calls)];
        Plan { replies, ending: Ending::StoppedAfterStep, ..completes(Vec::new()) }
    }),
    ("a question", 1, |random| {
        let (count_id, ask_id) = (random.id(), random.id());
        let ask = call(1, &ask_id, "ask_user", "{\"question\": \"Which?\"}");
        let made = calls(vec![random.count(0, &count_id), ask]);
        let replies = vec![Whole(vec![text("I ask. "), made, finish("tool_calls")])];
        Plan { replies, ending: Ending::StoppedWhileWaiting, ..completes(Vec::new()) }
    }),
    ("an answer beyond the window", 1, |random| completes([down(503), vec![says(&random.words(3000))]].concat())),
    ("a restart", 2, |random| {
        let held = Held(vec![text(BEGINNING)], Vec::new());
        Plan { ending: Ending::Restarted, ..completes(vec![random.calls(2), held, random.says()]) }
    }),
    ("a call and an answer in one", 1, |random| completes(vec![random.calls(1), says("  Done.\n")])),
];

/// Limit of model calls in a run.
pub(super) const MAX_STEPS: usize = 8;

/// Limit of tool calls in a run.
pub(super) const MAX_TOOL_CALLS: usize = 10;

fn completes(replies: Vec<Reply>) -> Plan {
    Plan { replies, ending: Ending::Completed, partial: &[], task: String::new() }
}

fn fails(code: &'static str, replies: Vec<Reply>) -> Plan {
    Plan { ending: Ending::Failed(code), ..completes(replies) }
}

fn stopped(after_text: bool, replies: Vec<Reply>) -> Plan {
    let partial = if after_text { &["stopped"][..] } else { &[] };
    Plan { ending: Ending::Stopped { after_text }, partial, ..completes(replies) }
}

/// As often as a service is tried before another one.
fn down(status: u16) -> Vec<Reply> {
    vec![Status(status, "The service is overloaded."); 3]
}

fn refusal() -> Reply {
    Status(400, "The request cannot be processed.")
}

fn piece(delta: Value, finish: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn text(text: &str) -> Value {
    piece(json!({ "role": "assistant", "content": text }), Value::Null)
}

fn finish(reason: &str) -> Value {
    piece(json!({}), json!(reason))
}

fn calls(calls: Vec<Value>) -> Value {
    piece(json!({ "tool_calls": calls }), Value::Null)
}

fn call(index: usize, id: &str, name: &str, arguments: &str) -> Value {
    json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn says(said: &str) -> Reply {
    Whole(vec![text(said), finish("stop")])
}

fn cut(said: &str) -> Reply {
    Whole(vec![text(said), finish("length")])
}

fn broken() -> Reply {
    Broken(vec![text(BEGINNING)])
}

fn error_after_text() -> Reply {
    Whole(vec![text(BEGINNING), json!({ "error": { "message": "The model failed.", "code": 400 } })])
}

fn thinking(thought: &str) -> Value {
    let part = json!({ "type": "thinking", "thinking": [{ "type": "text", "text": thought }] });
    piece(json!({ "content": [part] }), Value::Null)
}

fn thought(thought: &str, reason: &str) -> Reply {
    Whole(vec![thinking(thought), finish(reason)])
}

/// Pseudo-random numbers, and texts and calls made of them (xorshift64*).
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    pub(super) fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 8] = ["one", "größer", "three", "\"four\"", "五", "six\n", "seven", "eight"];
        (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
    }

    fn says(&mut self) -> Reply {
        let count = 5 + self.below(40);
        says(&self.words(count))
    }

    /// Returns an id as the strict service makes it.
    fn id(&mut self) -> String {
        (0..9).map(|_| char::from(b"0123456789abcdefghijklmnopqrstuvwxyzABCD"[self.below(40)])).collect()
    }

    fn count(&mut self, index: usize, id: &str) -> Value {
        let count = 1 + self.below(20);
        let arguments = json!({ "text": self.words(count) }).to_string();
        call(index, id, "text__word_count", &arguments)
    }

    /// Returns calls, now and then with a text.
    fn calls(&mut self, count: usize) -> Reply {
        let Whole(mut pieces) = self.silent_calls(count) else { unreachable!("calls are whole") };
        if self.below(2) == 0 {
            pieces.insert(0, text("I count. "));
        }
        Whole(pieces)
    }

    fn silent_calls(&mut self, count: usize) -> Reply {
        let made = (0..count).map(|index| {
            let id = self.id();
            self.count(index, &id)
        });
        Whole(vec![calls(made.collect()), finish("tool_calls")])
    }

    /// Returns calls with what other services attach: long ids, a thought and signatures.
    fn other_calls(&mut self, prefix: &str) -> Reply {
        let made = (0..2).map(|index| {
            let id = format!("{prefix}{}{}", self.id(), self.id());
            let mut made = self.count(index, &id);
            made["extra_content"] = json!({ "signature": "abc" });
            made
        });
        let made = calls(made.collect());
        let thought = piece(json!({ "reasoning_content": "I have to count. " }), Value::Null);
        Whole(vec![thought, made, finish("tool_calls")])
    }

    /// Returns calls whose ids are numbers, the same in each answer.
    fn numbered_calls(&mut self) -> Reply {
        let made = (0..2).map(|index| self.count(index, &format!("call_{index}")));
        Whole(vec![calls(made.collect()), finish("tool_calls")])
    }

    fn wrong_calls(&mut self) -> Reply {
        let (one, two, three) = (self.id(), self.id(), self.id());
        let unknown = call(0, &one, "text__count_words", "{}");
        let no_json = call(1, &two, "text__word_count", "{\"text\": ");
        let wrong = call(2, &three, "text__word_count", "{\"text\": 5, \"other\": null}");
        // The same id again.
        let same = call(3, &one, "text__word_count", "");
        let no_name = call(4, &self.id(), "what is this?!", "[1]");
        let long_name =
            call(5, &self.id(), &"long_".repeat(40), &format!("{{\"a\": {}{}}}", "[".repeat(90), "]".repeat(90)));
        Whole(vec![calls(vec![unknown, no_json, wrong, same, no_name, long_name]), finish("tool_calls")])
    }

    /// Returns a call with a result of several times `words` words.
    fn long_call(&mut self, words: usize) -> Reply {
        let document = json!([self.words(words / 10)]).to_string();
        let path = format!("$[{}]", ["0"; 10].join(","));
        let arguments = json!({ "json": document, "path": path }).to_string();
        let made = call(0, &self.id(), "text__json_path", &arguments);
        Whole(vec![calls(vec![made]), finish("tool_calls")])
    }

    fn thought_and_call(&mut self) -> Reply {
        let id = self.id();
        let made = self.count(0, &id);
        Whole(vec![thinking("I have to count. "), calls(vec![made]), finish("tool_calls")])
    }

    fn cut_call(&mut self) -> Reply {
        let made = call(0, &self.id(), "text__word_count", "{\"text\": \"a b");
        Whole(vec![calls(vec![made]), finish("length")])
    }

    fn broken_call(&mut self) -> Reply {
        let made = call(0, &self.id(), "text__word_count", "{\"text\": \"a b");
        Broken(vec![calls(vec![made])])
    }
}
