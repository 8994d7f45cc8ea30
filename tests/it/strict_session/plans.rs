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
}

/// Its name, how many runs it is for, and how it is made.
type Kind = (&'static str, usize, fn(&mut Random) -> Plan);

pub(super) const KINDS: [Kind; 27] = [
    ("an answer", 4, |random| completes(vec![random.says()])),
    ("a call", 5, |random| completes(vec![random.calls(1), random.says()])),
    ("several calls", 5, |random| completes(vec![random.calls(3), random.calls(2), random.says()])),
    ("wrong calls", 2, |random| completes(vec![random.wrong_calls(), random.says()])),
    ("a long result", 2, |random| completes(vec![random.long_call(), random.says()])),
    ("a thought and a call", 2, |random| completes(vec![random.thought_and_call(), random.says()])),
    ("a thought only", 2, |_| completes(vec![thought("Hm."), Whole(vec![finish("stop")]), says("Here.")])),
    ("an empty answer", 2, |random| completes(vec![empty(), random.says()])),
    ("empty answers everywhere", 2, |_| fails("empty_answer", vec![empty(), empty(), empty(), empty()])),
    ("a cut answer", 2, |_| Plan { partial: &["output_limit"], ..completes(vec![cut("I have so much to")]) }),
    ("cut calls", 2, |random| Plan {
        partial: &["output_limit", "output_limit"],
        ..fails("output_limit", vec![random.cut_call(), random.cut_call()])
    }),
    ("too many steps", 1, |random| fails("step_limit", (0..MAX_STEPS).map(|_| random.calls(1)).collect())),
    ("other ids after a failover", 3, |random| {
        completes([down(503), vec![random.other_calls("call_"), random.other_calls("call_"), random.says()]].concat())
    }),
    ("the same ids after a failover", 2, |random| {
        completes([down(429), vec![random.numbered_calls(), random.numbered_calls(), random.says()]].concat())
    }),
    ("a failover after a call", 2, |random| {
        completes([vec![random.calls(2)], down(500), vec![random.other_calls("toolu_"), random.says()]].concat())
    }),
    ("both services down", 2, |_| fails("provider_overloaded", [down(500), down(500)].concat())),
    ("a refusal after a call", 2, |random| completes(vec![random.calls(2), refusal(), random.says()])),
    ("refusals after a call", 2, |random| {
        fails("provider_rejected_request", vec![random.calls(2), refusal(), refusal()])
    }),
    ("a break after text", 2, |random| Plan {
        partial: &["failed"],
        ..completes(vec![Broken(vec![text(BEGINNING)]), random.says()])
    }),
    ("a break before text", 1, |random| completes(vec![Broken(Vec::new()), random.says()])),
    ("a break in a call", 1, |random| completes(vec![random.broken_call(), random.calls(1), random.says()])),
    ("a break and refusals", 2, |_| Plan {
        partial: &["failed"],
        ..fails("provider_rejected_request", vec![Broken(vec![text(BEGINNING)]), refusal(), refusal()])
    }),
    ("a stop in the stream", 2, |_| stopped(true, vec![Held(vec![text(BEGINNING)], Vec::new())])),
    ("a stop in the stream of the other service", 1, |random| {
        let held = Held(vec![text(BEGINNING)], Vec::new());
        stopped(true, [down(503), vec![random.other_calls("call_"), held]].concat())
    }),
    ("a stop before text", 2, |random| stopped(false, vec![random.calls(1), Held(Vec::new(), Vec::new())])),
    ("a stop before calls", 2, |random| {
        let Whole(calls) = random.calls(2) else { unreachable!("calls are whole") };
        let replies = vec![Held(vec![text(BEGINNING)], calls)];
        Plan { replies, ending: Ending::StoppedAfterStep, partial: &[] }
    }),
    ("a question", 1, |random| {
        let ask = call(0, &random.id(), "ask_user", "{\"question\": \"Which?\"}");
        let replies = vec![Whole(vec![text("I ask. "), calls(vec![ask]), finish("tool_calls")])];
        Plan { replies, ending: Ending::StoppedWhileWaiting, partial: &[] }
    }),
];

/// Limit of model calls in a run.
pub(super) const MAX_STEPS: usize = 8;

/// Plan of the runs during which the server restarts.
pub(super) fn restart(random: &mut Random) -> Plan {
    let held = Held(vec![text(BEGINNING)], Vec::new());
    Plan { ending: Ending::Restarted, ..completes(vec![random.calls(2), held, random.says()]) }
}

fn completes(replies: Vec<Reply>) -> Plan {
    Plan { replies, ending: Ending::Completed, partial: &[] }
}

fn fails(code: &'static str, replies: Vec<Reply>) -> Plan {
    Plan { replies, ending: Ending::Failed(code), partial: &[] }
}

fn stopped(after_text: bool, replies: Vec<Reply>) -> Plan {
    let partial = if after_text { &["stopped"][..] } else { &[] };
    Plan { replies, ending: Ending::Stopped { after_text }, partial }
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

fn empty() -> Reply {
    Whole(vec![text(""), finish("stop")])
}

fn thinking(thought: &str) -> Value {
    let part = json!({ "type": "thinking", "thinking": [{ "type": "text", "text": thought }] });
    piece(json!({ "content": [part] }), Value::Null)
}

fn thought(thought: &str) -> Reply {
    Whole(vec![thinking(thought), finish("stop")])
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

    fn calls(&mut self, count: usize) -> Reply {
        let made = (0..count).map(|index| {
            let id = self.id();
            self.count(index, &id)
        });
        let made = calls(made.collect());
        let said = self.below(2) == 0;
        Whole(said.then(|| text("I count. ")).into_iter().chain([made, finish("tool_calls")]).collect())
    }

    /// Returns calls with long ids, as other services make them.
    fn other_calls(&mut self, prefix: &str) -> Reply {
        let made = (0..2).map(|index| {
            let id = format!("{prefix}{}{}", self.id(), self.id());
            self.count(index, &id)
        });
        Whole(vec![calls(made.collect()), finish("tool_calls")])
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
        Whole(vec![calls(vec![unknown, no_json, wrong, same]), finish("tool_calls")])
    }

    fn long_call(&mut self) -> Reply {
        let document = json!([self.words(400)]).to_string();
        let arguments = json!({ "json": document, "path": "$[0]" }).to_string();
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
