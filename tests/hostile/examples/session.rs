//! A skill in good order: it says whom it is called for, how far it is, and how random the host is.

use moxxy_sdk::{session, skill::Json, tool};
use serde_json::{Value, json};

moxxy_sdk::skill!(tools: [who, work, random, count_calls, buffers, last_words]);

/// Says whom the call is for.
#[tool(read_only)]
fn who() -> Json<Value> {
    let caller = session::caller();
    Json(json!(caller.map(|caller| (caller.agent, caller.session, caller.run))))
}

/// Reports its progress.
#[tool]
fn work(
    /// How often.
    reports: u32,
    /// What it does after each, if that is something else than nothing.
    wait_ms: Option<u64>,
) -> &'static str {
    for report in 1..=reports {
        session::progress(&format!("step {report}"), Some(f64::from(report) / f64::from(reports)));
        if let Some(wait) = wait_ms {
            std::thread::sleep(std::time::Duration::from_millis(wait));
        }
    }
    "worked"
}

/// Draws random bytes.
#[tool(read_only)]
fn random() -> Json<Vec<u8>> {
    Json(session::random::<32>().to_vec())
}

/// Calls the host.
#[tool(read_only)]
fn count_calls(
    /// How often.
    calls: u64,
) -> &'static str {
    (0..calls).for_each(|_| drop(session::caller()));
    "called"
}

/// Holds one buffer after another, each larger than the one before.
#[tool(read_only)]
fn buffers(
    /// The size of the last, in KiB.
    largest: usize,
) -> &'static str {
    for size in (1024..=largest).step_by(100) {
        std::hint::black_box(vec![1_u8; size * 1024]);
    }
    "held"
}

/// Prints a lot, then breaks.
#[tool]
#[expect(clippy::panic, reason = "the message is the point")]
fn last_words(
    /// How many lines it prints.
    lines: usize,
) -> String {
    (0..lines).for_each(|line| println!("line {line}"));
    panic!("the reason for it")
}
