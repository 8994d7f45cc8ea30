//! Layers of the configuration: defaults, a file, the environment and flags. Each overrides the ones before it.
//! Problems are collected and reported together.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy as _;
use moxxy_types::error::{Detail, Error, Problem, Result};
use toml::{Table, Value};

use super::{
    Flags, check,
    environment::{self, Given},
    file,
    table::{self, OptionSpec},
};

/// Source of a value.
#[derive(Debug, Clone)]
pub enum Source {
    Default,
    /// Path and line of a file.
    File(PathBuf, usize),
    Variable(String),
    /// Variable that names a file with the value, and that file.
    Contents(String, PathBuf),
    Flag(&'static str),
}

/// Option with its value. Does not implement `Debug`, because the value may be a secret.
pub struct Setting {
    pub row: OptionSpec,
    pub value: Value,
    pub source: Source,
}

/// Effective value of each option, with the warnings and problems that were found.
pub struct Layers {
    pub settings: Vec<Setting>,
    pub home: PathBuf,
    /// Path of the configuration file.
    pub file: PathBuf,
    pub file_is_there: bool,
    pub warnings: Vec<String>,
    pub problems: Vec<Detail>,
}

impl Layers {
    /// Returns the defaults for a data directory.
    pub fn defaults(home: PathBuf) -> Result<Self> {
        let setting = |row: OptionSpec| Setting { value: row.default.clone(), row, source: Source::Default };
        let settings = table::rows()?.into_iter().map(setting).collect();
        let file = home.join("moxxy.toml");
        Ok(Self { settings, home, file, file_is_there: false, warnings: Vec::new(), problems: Vec::new() })
    }

    /// Reads and checks all layers. Problems are collected in `problems`.
    pub fn read(flags: &Flags) -> Result<Self> {
        let mut layers = Self::defaults(PathBuf::new())?;
        let given = environment::read(&mut layers);
        layers.home = match &flags.home {
            Some(home) => home.clone(),
            None => home(&given)?,
        };
        layers.file = flags.file.clone().unwrap_or_else(|| layers.home.join("moxxy.toml"));
        file::read(&mut layers, flags.file.is_some());
        for Given { option, text, source } in given {
            layers.set_text(&option, &text, source);
        }
        for (option, text, flag) in flags.overrides() {
            layers.set_text(option, &text, Source::Flag(flag));
        }
        check::check_combinations(&mut layers);
        Ok(layers)
    }

    /// Returns every option with its value, or an error that lists all problems.
    pub fn values(&self) -> Result<Table> {
        if self.problems.is_empty() {
            return Ok(self.sections(|setting| setting.value.clone()));
        }
        let reasons: Vec<_> = self.problems.iter().map(|problem| format!("\n  {}", problem.reason)).collect();
        let message = format!("The configuration is wrong:{}", reasons.concat());
        Err(Error::Invalid(Problem::new("invalid_configuration", message), self.problems.clone()))
    }

    /// Returns a table of sections with the result of `shown` for each option.
    pub fn sections(&self, mut shown: impl FnMut(&Setting) -> Value) -> Table {
        let mut sections = Table::new();
        for setting in &self.settings {
            let section = sections.entry(&*setting.row.section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(setting.row.key.clone(), shown(setting));
            }
        }
        sections
    }

    pub fn setting(&self, option: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.row.name() == option)
    }

    /// Returns the value and source of an option, unless the option has a problem.
    pub fn valid_value(&self, option: &str) -> Option<(&Value, &Source)> {
        let wrong = self.problems.iter().any(|problem| problem.field == option);
        self.setting(option).filter(|_| !wrong).map(|setting| (&setting.value, &setting.source))
    }

    pub fn set(&mut self, option: &str, value: Value, source: Source) {
        let Some(setting) = self.settings.iter_mut().find(|setting| setting.row.name() == option) else { return };
        match setting.row.format.validate(&value) {
            None => (setting.value, setting.source) = (value, source),
            Some(reason) => {
                let reason = invalid_value_message(&setting.row, &value, &source, &reason);
                self.problem(option, reason);
            }
        }
    }

    pub fn problem(&mut self, option: &str, reason: String) {
        self.problems.push(Detail::parameter(option, reason));
    }

    fn set_text(&mut self, option: &str, text: &str, source: Source) {
        if let Some(setting) = self.setting(option) {
            let value = setting.row.format.read(text);
            self.set(option, value, source);
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Contents(name, path) => write!(f, "{name} ({})", path.display()),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

fn invalid_value_message(row: &OptionSpec, value: &Value, source: &Source, reason: &str) -> String {
    /// Maximum length of a reported value, in characters.
    const MAX_SHOWN_CHARACTERS: usize = 100;
    let (name, allowed) = (row.name(), &row.allowed);
    let more = if reason.is_empty() { String::new() } else { format!("; {reason}") };
    // An invalid secret must not get into a log either, nor the contents of a file, which may be a secret.
    if row.format.is_secret() || matches!(source, Source::Contents(..)) {
        return format!("{source}: `{name}` has to be {allowed}{more}");
    }
    // JSON stays on one line and looks like TOML.
    let mut shown = serde_json::json!(value).to_string();
    if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN_CHARACTERS) {
        shown.truncate(end);
        shown.push('…');
    }
    format!("{source}: `{name}` is {shown}, but has to be {allowed}{more}")
}

/// Returns the data directory that the environment sets, or the platform's default.
fn home(given: &[Given]) -> Result<PathBuf> {
    let named = given.iter().find(|given| given.option == "data.home" && !given.text.is_empty());
    if let Some(given) = named {
        return Ok(Path::new(&given.text).to_owned());
    }
    let message = "There is no home directory; name a data directory with --home or MOXXY_HOME";
    let base = etcetera::choose_base_strategy().map_err(|_| Error::invalid("invalid_configuration", message))?;
    Ok(base.data_dir().join("moxxy"))
}
