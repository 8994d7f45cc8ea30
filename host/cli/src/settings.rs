//! Configurations of components on the command line.

use serde_json::{Map, Value};

use crate::{arguments, failure::CliResult};

#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// One option of its configuration; the value is JSON, or else a text. Can stand more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = arguments::setting)]
    set: Vec<(String, Value)>,
    /// Its whole configuration: a JSON object, or a file with one.
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
}

impl Settings {
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_none() && self.set.is_empty()
    }

    /// Returns the JSON merge patch that makes these settings, without those in `unset`, of the configuration `before`.
    pub(crate) fn patch(self, before: &Map<String, Value>, unset: &[String]) -> CliResult<Map<String, Value>> {
        let kept = if self.settings.is_some() { Map::new() } else { before.clone() };
        let mut config = self.over(kept)?;
        config.retain(|key, _| !unset.contains(key));
        Ok(difference(before, config))
    }

    /// Returns the configuration of `--settings`, or `before`, with the options of `--set`.
    pub(crate) fn over(self, before: Map<String, Value>) -> CliResult<Map<String, Value>> {
        let mut config = self.settings.as_deref().map_or(Ok(before), arguments::object)?;
        config.extend(self.set);
        Ok(config)
    }
}

/// Returns the JSON merge patch from one object to another, with everything that the other has.
fn difference(before: &Map<String, Value>, mut after: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in &mut after {
        if let (Value::Object(inner), Some(Value::Object(old))) = (&mut *value, before.get(name)) {
            *inner = difference(old, std::mem::take(inner));
        }
    }
    let gone: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    after.extend(gone.into_iter().map(|name| (name, Value::Null)));
    after
}
