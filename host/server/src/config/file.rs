//! The configuration file.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde::Deserialize as _;
use toml::{
    Spanned, Value,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::layers::{Layers, Source};
use crate::config::suggest::suggest;

/// Applies the options of the file. A missing file is a problem only if it is `required`.
pub(super) fn read(layers: &mut Layers, required: bool) {
    let path = layers.file.clone();
    let wrong = |reason: &str| format!("The configuration file {} {reason}", path.display());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if is_missing(&error) && !required => return,
        Err(error) if is_missing(&error) => return layers.problem("config", wrong("does not exist")),
        Err(error) => return layers.problem("config", wrong(&format!("cannot be read: {error}"))),
    };
    layers.file_is_there = true;
    let Ok(text) = String::from_utf8(bytes) else {
        return layers.problem("config", wrong("is not a text in UTF-8"));
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    // The recovered part of invalid TOML is ignored.
    if errors.is_empty() {
        File { path: &path, text: &text }.take(table.into_inner(), layers);
    }
    for error in errors {
        let place = Source::File(path.clone(), line(&text, error.span().map_or(0, |span| span.start)));
        layers.problem("config", format!("{place}: this is not TOML: {}", error.message().replace('\n', ", ")));
    }
    warn_of_readers(layers, &path);
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn take(&self, table: DeTable<'_>, layers: &mut Layers) {
        for (section, content) in table {
            let (source, name) = (self.source(&section), section.get_ref().to_string());
            if !layers.settings.iter().any(|setting| setting.row.section == name) {
                unknown_section(layers, &name, content.get_ref(), &source);
                continue;
            }
            let DeValue::Table(options) = content.into_inner() else {
                layers.problem(&name, format!("{source}: `{name}` is a section; write [{name}] above its options"));
                continue;
            };
            for (key, value) in options {
                let source = self.source(&key);
                self.set(&format!("{name}.{}", key.get_ref()), value, source, layers);
            }
        }
    }

    fn set(&self, option: &str, value: Spanned<DeValue<'_>>, source: Source, layers: &mut Layers) {
        let Some(setting) = layers.setting(option) else {
            return unknown(layers, option, &source);
        };
        if option == "data.home" {
            let reason = "`data.home` cannot be set in a file, which is found by it; use --home or MOXXY_HOME";
            return layers.problem(option, format!("{source}: {reason}"));
        }
        // A number that does not fit into 64 bits is reported as it is written.
        let written = self.text.get(value.span()).unwrap_or_default().to_owned();
        let value = Value::deserialize(ValueDeserializer::from(value)).unwrap_or(Value::String(written));
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let value = setting.row.format.resolve_paths(value, folder);
        layers.set(option, value, source);
    }

    fn source<T>(&self, place: &Spanned<T>) -> Source {
        Source::File(self.path.to_owned(), line(self.text, place.span().start))
    }
}

fn unknown_section(layers: &mut Layers, name: &str, content: &DeValue<'_>, source: &Source) {
    if !content.is_table() {
        return unknown(layers, name, source);
    }
    let sections = layers.settings.iter().map(|setting| (setting.row.section.clone(), setting.row.section.clone()));
    let advice = suggest((name, name), sections).map(|name| format!("; did you mean `[{name}]`?")).unwrap_or_default();
    layers.problem(name, format!("{source}: there is no section `[{name}]`{advice}"));
}

fn unknown(layers: &mut Layers, option: &str, source: &Source) {
    let key = option.rsplit('.').next().unwrap_or(option);
    let names = layers.settings.iter().map(|setting| (setting.row.name(), setting.row.key.clone()));
    let advice = match suggest((option, key), names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`moxxy config print` shows those that there are".into(),
    };
    layers.problem(option, format!("{source}: there is no option `{option}`; {advice}"));
}

fn is_missing(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind())
}

fn line(text: &str, place: usize) -> usize {
    text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1
}

/// Warns if the file contains the master key and users other than its owner can read it.
fn warn_of_readers(layers: &mut Layers, path: &Path) {
    let holds_key = layers.setting("data.master_key").is_some_and(|setting| matches!(setting.source, Source::File(..)));
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if holds_key && mode & 0o044 != 0 {
        let path = path.display();
        layers.warnings.push(format!("{path} holds `data.master_key`, and others can read it: chmod 600 {path}"));
    }
}
