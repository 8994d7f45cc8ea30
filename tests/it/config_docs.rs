//! `config.default.toml`, the manual of the configuration, compared with the options and checks of the server.

use std::{collections::BTreeSet, fs, process::Command};

use tempfile::TempDir;

use crate::config::{print, problems, works};

const MANUAL: &str = include_str!("../../host/server/config.default.toml");

/// Option as described in the manual.
struct Entry {
    name: String,
    about: String,
    allowed: String,
}

impl Entry {
    fn range(&self) -> Option<(i64, i64, &str)> {
        let number = |text: &str| text.replace('_', "").parse().ok();
        let (least, rest) = self.allowed.split_once(" to ")?;
        let (most, unit) = rest.split_once(' ')?;
        Some((number(least)?, number(most)?, unit))
    }

    fn variable(&self) -> String {
        format!("MOXXY_{}", self.name.replace('.', "_").to_uppercase())
    }
}

fn manual() -> Vec<Entry> {
    let (mut entries, mut section, mut about, mut allowed) = (Vec::new(), "", String::new(), "");
    for line in MANUAL.lines() {
        if let Some(text) = line.strip_prefix("# Value: ") {
            allowed = text;
        } else if let Some(text) = line.strip_prefix('#') {
            about.push_str(text);
        } else if let Some(text) = line.strip_prefix('[') {
            (section, about) = (text.trim_end_matches(']'), String::new());
        } else if let Some((key, _)) = line.split_once(" = ") {
            let (name, about) = (format!("{section}.{key}"), std::mem::take(&mut about));
            entries.push(Entry { name, about, allowed: std::mem::take(&mut allowed).to_owned() });
        }
    }
    entries
}

#[test]
fn the_manual_is_the_table() {
    // Defaults exist only there: if the manual lacks an option of the server, every start fails.
    let printed = print(&TempDir::new().unwrap(), &[]);
    let known =
        printed.as_object().unwrap().iter().flat_map(|(section, options)| {
            options.as_object().unwrap().keys().map(move |key| format!("{section}.{key}"))
        });
    let known: BTreeSet<String> = known.collect();
    let manual = manual();
    assert_eq!(known, manual.iter().map(|entry| entry.name.clone()).collect());
    for entry in &manual {
        assert!(entry.about.len() > 10 && !entry.allowed.is_empty(), "{} is not described", entry.name);
        let [section, key] = [0, 1].map(|index| entry.name.split('.').nth(index).unwrap());
        let number = printed[section][key]["value"].is_number();
        assert_eq!(number, entry.range().is_some_and(|(_, _, unit)| unit.len() > 3), "{}", entry.name);
    }
}

#[test]
fn ranges_hold_at_both_ends() {
    let home = TempDir::new().unwrap();
    let manual = manual();
    let ranges: Vec<_> = manual.iter().filter_map(|entry| Some((entry, entry.range()?))).collect();
    assert!(ranges.len() > 30);
    let check = |end: fn(i64, i64) -> i64, in_file: bool| {
        let number = |(least, most, _): &(i64, i64, &str)| end(*least, *most);
        let mut command = Command::new(env!("CARGO_BIN_EXE_moxxy"));
        command.env_clear().env("MOXXY_HOME", home.path()).args(["config", "check"]);
        if in_file {
            let line = |(entry, range): &(&Entry, _)| format!("{} = {}\n", entry.name, number(range));
            fs::write(home.path().join("moxxy.toml"), ranges.iter().map(line).collect::<String>()).unwrap();
        } else {
            command.envs(ranges.iter().map(|(entry, range)| (entry.variable(), number(range).to_string())));
        }
        let output = command.output().unwrap();
        fs::remove_file(home.path().join("moxxy.toml")).ok();
        output
    };
    for in_file in [true, false] {
        works(check(|least, _| least, in_file));
        works(check(|_, most| most, in_file));
        for end in [(|least, _| least - 1) as fn(i64, i64) -> i64, |_, most| most + 1] {
            let problems = problems(home.path(), check(end, in_file));
            assert_eq!(problems.len(), ranges.len(), "{problems:?}");
            for (entry, (least, most, _)) in &ranges {
                let allowed = entry.allowed.trim_end_matches('.');
                let told = format!("`{}` is {}, but has to be {allowed}", entry.name, end(*least, *most));
                assert!(problems.iter().any(|problem| problem.ends_with(&told)), "{told}: {problems:?}");
            }
        }
    }
}
