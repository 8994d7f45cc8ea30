//! Formats of option values: validation, and conversion from text.

use std::{net::IpAddr, ops::RangeInclusive, path::Path};

use ipnet::IpNet;
use moxxy_types::host_port::HostPort;
use reqwest::Url;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use super::ModelPrice;

#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Number(RangeInclusive<i64>),
    /// Number that may have a fraction.
    Amount(RangeInclusive<i64>),
    Switch,
    Text(Kind),
    List(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Address,
    Network,
    Origin,
    Path,
    Key,
    Filter,
    HostPort,
    Price,
    Unknown,
}

/// First words of a `# Value:` comment in the manual, and their format. Numbers have a range and a unit instead.
const DESCRIPTIONS: [(&str, Format); 12] = [
    ("true or false", Format::Switch),
    ("an IP address", Format::Text(Kind::Address)),
    ("a file", Format::Text(Kind::Path)),
    ("a folder", Format::Text(Kind::Path)),
    ("64 hexadecimal digits", Format::Text(Kind::Key)),
    ("a log filter", Format::Text(Kind::Filter)),
    ("a list of folders", Format::List(Kind::Path)),
    ("a list of networks", Format::List(Kind::Network)),
    ("a list of origins", Format::List(Kind::Origin)),
    ("a list of hosts", Format::List(Kind::HostPort)),
    ("a list of prices", Format::List(Kind::Price)),
    ("`deny` or `warn`", Format::Text(Kind::Unknown)),
];

impl Format {
    /// Returns the format for a `# Value:` text of the manual, or `None` if the text is unknown.
    pub fn described(text: &str) -> Option<Self> {
        let named = || DESCRIPTIONS.into_iter().find(|(start, _)| text.starts_with(start)).map(|(_, format)| format);
        let ranged = |(range, unit): (_, &str)| match unit.starts_with("US dollars") {
            true => Self::Amount(range),
            false => Self::Number(range),
        };
        range(text).map(ranged).or_else(named)
    }

    pub fn is_secret(&self) -> bool {
        *self == Self::Text(Kind::Key)
    }

    /// Converts untyped text (of a variable, a file or a flag) to a value. Text that does not match the format
    /// becomes a string, which validation rejects.
    pub fn read(&self, text: &str) -> Value {
        let as_it_is = || Value::String(text.to_owned());
        match self {
            Self::Number(_) => number(text).map_or_else(as_it_is, Value::Integer),
            Self::Amount(_) => number(text)
                .map(Value::Integer)
                .or_else(|| text.trim().parse().ok().map(Value::Float))
                .unwrap_or_else(as_it_is),
            Self::Switch => text.trim().parse().map_or_else(|_| as_it_is(), Value::Boolean),
            Self::Text(_) => as_it_is(),
            Self::List(_) if text.trim_start().starts_with('[') => array(text).unwrap_or_else(as_it_is),
            Self::List(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(Value::from).collect())
            }
        }
    }

    /// Returns `None` if the value is valid, or a reason to append to the error message, which may be empty.
    pub fn validate(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Number(range), Value::Integer(number)) => (!range.contains(number)).then(String::new),
            (Self::Amount(range), Value::Integer(number)) => (!range.contains(number)).then(String::new),
            (Self::Amount(range), Value::Float(number)) => {
                let within = *range.start() as f64..=*range.end() as f64;
                (!within.contains(number)).then(String::new)
            }
            (Self::Switch, Value::Boolean(_)) => None,
            (Self::Text(kind), Value::String(text)) => kind.validate(text),
            (Self::List(kind), Value::Array(items)) => {
                let wrong =
                    items.iter().filter_map(|item| item.as_str().map_or(Some(String::new()), |t| kind.validate(t)));
                let reasons: Vec<_> = wrong.collect();
                (!reasons.is_empty()).then(|| reasons.join("; "))
            }
            (Self::Number(_) | Self::Amount(_) | Self::Switch, Value::String(text)) => {
                Some(if self.read(text).is_str() { "" } else { "without quotes" }.to_owned())
            }
            (Self::Text(_), value) if !value.is_array() && !value.is_table() => Some("in quotes".into()),
            (Self::List(_), Value::String(_)) => Some("in square brackets".into()),
            _ => Some(String::new()),
        }
    }

    /// Resolves the relative paths of a value against `folder`.
    pub fn resolve_paths(&self, value: Value, folder: &Path) -> Value {
        // An empty path means that none is set.
        let join = |text: String| match text.as_str() {
            "" => text,
            path => folder.join(path).to_string_lossy().into_owned(),
        };
        match (self, value) {
            (Self::Text(Kind::Path), Value::String(text)) => Value::String(join(text)),
            (Self::List(Kind::Path), Value::Array(items)) => {
                Value::Array(items.into_iter().map(|item| Self::Text(Kind::Path).resolve_paths(item, folder)).collect())
            }
            (_, value) => value,
        }
    }
}

impl Kind {
    fn validate(self, text: &str) -> Option<String> {
        let right = match self {
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Network => text.parse::<IpNet>().is_ok(),
            Self::Path => !text.contains('\0'),
            Self::Key => text.is_empty() || (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
            Self::Origin => return wrong_origin(text),
            Self::Price => return ModelPrice::try_from(text.to_owned()).err().map(str::to_owned),
            Self::Unknown => ["deny", "warn"].contains(&text),
            Self::HostPort => return HostPort::try_from(text.to_owned()).err().map(str::to_owned),
            Self::Filter => return EnvFilter::try_new(text).err().map(|error| error.to_string()),
        };
        (!right).then(String::new)
    }
}

/// Returns why an origin is invalid. It must be written as browsers send it, or it would never match.
fn wrong_origin(text: &str) -> Option<String> {
    match text {
        "*" => return Some("`*` would open the API to every page: name those that may call it".into()),
        "null" => return Some("`null` is the origin of any page in a sandbox, and of local files".into()),
        _ => {}
    }
    let Some(url) = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme())) else {
        return Some(format!("`{text}` does not begin with http:// or https:// and a host"));
    };
    let origin = url.origin().ascii_serialization();
    (origin != text).then(|| format!("write `{text}` as `{origin}`"))
}

/// Parses text such as `1 to 86_400 seconds` into range and unit. The unit is required.
fn range(text: &str) -> Option<(RangeInclusive<i64>, &str)> {
    let (least, rest) = text.split_once(" to ")?;
    let (most, unit) = rest.split_once(' ')?;
    Some((number(least)?..=number(most)?, unit))
}

fn number(text: &str) -> Option<i64> {
    text.trim().replace('_', "").parse().ok()
}

fn array(text: &str) -> Option<Value> {
    format!("list = {text}").parse::<Table>().ok()?.remove("list")
}
