//! The configuration that the operator gave this plugin.
//!
//! Every value arrives as a text; one that is not a string is its JSON text.

mod text;

use std::fmt;

use serde::de::{DeserializeOwned, value::MapDeserializer};

use self::text::Text;
use crate::host;

/// Why a configuration value could not be had.
///
/// ```
/// use moxxy_sdk::config::Error;
///
/// let wrong = moxxy_sdk::testing::Host::new().config("retries", "many").run(|| moxxy_sdk::config::parse::<u32>("retries"));
/// assert!(matches!(wrong, Err(Error::Unexpected { key, .. }) if key == "retries"));
/// ```
#[derive(Debug)]
pub enum Error {
    /// The host could not read it.
    Unreadable(String),
    /// It is there, and is not what the plugin expects.
    Unexpected {
        /// Which value; empty if it is about all of them.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(message) => write!(f, "the configuration cannot be read: {message}"),
            Self::Unexpected { key, .. } if key.is_empty() => f.write_str("the configuration is wrong"),
            Self::Unexpected { key, .. } => write!(f, "the configuration value `{key}` is wrong"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_) => None,
            Self::Unexpected { source, .. } => Some(source),
        }
    }
}

/// Returns a value as text, or `None` where there is none, or none can be read.
///
/// ```
/// let greeting = moxxy_sdk::config::get("greeting").unwrap_or_else(|| "Hello".to_owned());
/// # assert_eq!(greeting, "Hello");
/// ```
pub fn get(key: &str) -> Option<String> {
    host::config(key).ok().flatten()
}

/// Reads a value that is not a plain string: a number, a boolean, a list, an object.
///
/// ```
/// # fn main() -> Result<(), moxxy_sdk::config::Error> {
/// let retries: u32 = moxxy_sdk::config::parse("retries")?.unwrap_or(3);
/// # assert_eq!(retries, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the host cannot read the value, or when it does not parse as a `T`.
pub fn parse<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let text = host::config(key).map_err(Error::Unreadable)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| Error::Unexpected { key: key.to_owned(), source })
}

/// Reads all values into a type of yours. With [`schema`](crate::skill::schema) the manifest's schema is
/// that of the same type, so that what is documented is what is read:
///
/// ```
/// use moxxy_sdk::{config, manifest::Manifest, skill, testing::Host};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct Options {
///     /// Where the service is.
///     base_url: String,
///     /// How often to try again.
///     retries: u32,
/// }
///
/// impl Default for Options {
///     fn default() -> Self {
///         Self { base_url: "https://api.example.com".to_owned(), retries: 3 }
///     }
/// }
///
/// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.")
///     .config_schema(skill::schema::<Options>());
/// # assert!(manifest.config_schema.unwrap().contains("Where the service is."));
///
/// // In a test:
/// let read = |host: Host| { let mut host = host; host.run(config::read::<Options>) };
/// let options = read(Host::new().config("retries", 5)).unwrap();
/// assert_eq!((&*options.base_url, options.retries), ("https://api.example.com", 5));
/// assert!(read(Host::new().config("retries", "many")).is_err());
/// assert!(read(Host::new().config("retires", 5)).is_err());
/// ```
///
/// # Errors
///
/// When the host cannot read the configuration, or when it is not a `T`.
pub fn read<T: DeserializeOwned>() -> Result<T, Error> {
    let values = host::configuration().map_err(Error::Unreadable)?;
    let values = values.into_iter().map(|(key, text)| (key, Text(text)));
    serde_path_to_error::deserialize(MapDeserializer::new(values)).map_err(|error| {
        let key = error.path().iter().next().map(ToString::to_string).filter(|key| key != "?").unwrap_or_default();
        Error::Unexpected { key, source: error.into_inner() }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Host;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Slow,
        Fast,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        text: Option<String>,
        mode: Mode,
        list: Vec<u8>,
        map: BTreeMap<String, String>,
        ratio: Option<f32>,
        any: Value,
    }

    fn read(options: Value) -> Result<Options, String> {
        let set = |host: Host, (key, value): (&String, &Value)| host.config(key.clone(), value.clone());
        let mut host = options.as_object().unwrap().iter().fold(Host::new(), set);
        host.run(super::read::<Options>).map_err(|error| match error {
            Error::Unexpected { key, source } => format!("{key}: {source}"),
            other => other.to_string(),
        })
    }

    #[test]
    fn texts_stay_texts_and_others_are_what_they_were() {
        let options = json!({
            "text": "123", "mode": "fast", "list": [1, 2], "map": { "a": "b" }, "ratio": 1, "any": "{not json",
        });
        let read = read(options).unwrap();
        let map = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let any = json!("{not json");
        let expected =
            Options { text: Some("123".into()), mode: Mode::Fast, list: vec![1, 2], map, ratio: Some(1.0), any };
        assert_eq!(read, expected);
        assert_eq!(super::tests::read(json!({})), Ok(Options::default()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (options, told) in [
            (json!({ "list": "1" }), "list: invalid type: integer `1`"),
            (json!({ "list": [1, 256] }), "list: invalid value: integer `256`"),
            (json!({ "mode": "quick" }), "mode: unknown variant `quick`"),
            (json!({ "mdoe": "fast" }), "unknown field `mdoe`"),
        ] {
            let error = read(options).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
