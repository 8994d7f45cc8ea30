//! Table of the outcome of each attack; `make test` prints it.

use std::{fs::OpenOptions, io::Write as _};

use crate::harness::target;

/// Adds a line to the table.
pub(crate) fn outcome(attack: &str, outcome: &str) {
    let file = target("outcomes.txt");
    let short = |text: &str, width| text.chars().filter(|c| !c.is_control()).take(width).collect::<String>();
    let line = format!("{:<54} | {}\n", short(attack, 54), short(outcome, 400));
    // A single write, so that the lines of concurrent tests do not mix.
    OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}
