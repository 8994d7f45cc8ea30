//! The table of what became of each attack; `make test` prints it.

use std::{fs::OpenOptions, io::Write as _};

use crate::harness::target;

/// Adds a line to the table.
pub fn outcome(attack: &str, outcome: &str) {
    let file = target("outcomes.txt");
    let short = |text: &str, width| text.chars().filter(|c| !c.is_control()).take(width).collect::<String>();
    let line = format!("{:<54} | {}\n", short(attack, 54), short(outcome, 120));
    // One write, so that tests beside this one do not come between.
    OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}
