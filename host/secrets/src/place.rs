//! Places of secrets in requests, as manifests request them and grants allow them.

use std::{borrow::Cow, fmt, str::FromStr};

use http::{HeaderName, header};
use moxxy_types::error::Error;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Maximum length of the name of a header or parameter, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Place of a secret, written `header:NAME`, `basic`, `path`, `query:NAME` or `body`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// Value of the header with this lower-case name.
    Header(String),
    /// User or password of `Authorization: Basic`.
    Basic,
    /// Segments of the path.
    Path,
    /// Value of the query parameter with this name.
    Query(String),
    /// String of a JSON body, or value of a form.
    Body,
}

impl Place {
    /// Returns `None` if no grant can name this header: its name is unusual, or it controls the routing or
    /// framing of the message.
    pub fn header(name: &str) -> Option<Self> {
        let name = HeaderName::try_from(name).ok().filter(|name| is_name(name.as_str()))?;
        let framing = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::HOST,
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        (!framing.contains(&name)).then(|| Self::Header(name.as_str().to_owned()))
    }

    /// Returns `None` if no grant can name this parameter.
    pub fn query(name: &str) -> Option<Self> {
        is_name(name).then(|| Self::Query(name.to_owned()))
    }
}

fn is_name(name: &str) -> bool {
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    characters && (1..=MAX_NAME_BYTES).contains(&name.len())
}

impl FromStr for Place {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let place = match text.split_once(':') {
            Some(("header", name)) => Self::header(name),
            Some(("query", name)) => Self::query(name),
            Some(_) => None,
            None => match text {
                "basic" => Some(Self::Basic),
                "path" => Some(Self::Path),
                "body" => Some(Self::Body),
                _ => None,
            },
        };
        let rule = "A place is `header:NAME`, `basic`, `path`, `query:NAME` or `body`; \
                    a header that frames the request is none";
        place.ok_or_else(|| Error::invalid("invalid_place", rule))
    }
}

impl TryFrom<String> for Place {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Basic => f.write_str("basic"),
            Self::Path => f.write_str("path"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Body => f.write_str("body"),
        }
    }
}

impl JsonSchema for Place {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = format!("^(basic|path|body|(header|query):[A-Za-z0-9_-]{{1,{MAX_NAME_BYTES}}})$");
        json_schema!({ "type": "string", "pattern": pattern })
    }
}
