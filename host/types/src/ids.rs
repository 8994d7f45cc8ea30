//! Identifiers and names, and the server's only source of randomness.
//!
//! An id is a UUIDv7 after a short prefix, so ids sort by time. People choose names. Both are validated before
//! use.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::error::Error;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[serde(try_from = "String")]
        #[schemars(inline, extend("pattern" = concat!("^", $prefix, "[0-9a-f-]{36}$")))]
        pub struct $name(String);

        impl $name {
            pub fn random() -> Self {
                Self(format!(concat!($prefix, "{}"), Uuid::now_v7()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                let valid = text.strip_prefix($prefix).is_some_and(|id| Uuid::try_parse(id).is_ok());
                if valid {
                    return Ok(Self(text));
                }
                Err(Error::invalid("invalid_id", concat!("An id of this kind is `", $prefix, "` and a UUID")))
            }
        }

        text!($name);
    };
}

/// Defines how a resource shows its own identifier: as `id`, and under the name of the first version.
macro_rules! own_id {
    ($name:ident, $id:ty, $former:ident) => {
        #[derive(Serialize, JsonSchema)]
        #[doc(hidden)]
        pub struct $name {
            /// The identifier.
            id: $id,
            /// The same as `id`.
            $former: $id,
        }

        impl $name {
            /// Serializes both fields; for `serialize_with` of a flattened field.
            pub fn serialize<S: Serializer>(id: &$id, serializer: S) -> Result<S::Ok, S::Error> {
                Serialize::serialize(&Self { id: id.clone(), $former: id.clone() }, serializer)
            }
        }
    };
}

own_id!(OwnRunId, RunId, run_id);
own_id!(OwnSessionId, SessionId, session_id);
own_id!(OwnQuestionId, QuestionId, question_id);
own_id!(OwnStepId, StepId, step_id);
own_id!(OwnSkillId, Name, skill_id);

macro_rules! text {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Wraps a stored value, which was validated before it was stored.
            pub fn from_db(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(RunId, "run_");
id!(SessionId, "ses_");
id!(MessageId, "msg_");
id!(StepId, "stp_");
id!(InstallationId, "ins_");
id!(JobId, "job_");
id!(ModelCallId, "mdc_");
id!(QuestionId, "ask_");
id!(TokenId, "tok_");
id!(SecretId, "sec_");
id!(GrantId, "grt_");

/// The name of an agent, a provider, a skill or a conversation: 1 to 64 of `a-z`, `0-9`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^[a-z0-9-]{1,64}$"))]
pub struct Name(String);

text!(Name);

impl TryFrom<String> for Name {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let characters = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if characters && (1..=64).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(Error::invalid("invalid_name", "A name is 1 to 64 of the characters a-z, 0-9 and -"))
    }
}

/// The name of a secret, by which components ask for it: 1 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct SecretName(String);

text!(SecretName);

impl TryFrom<String> for SecretName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let characters = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if characters && (1..=64).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(Error::invalid("invalid_name", "A secret's name is 1 to 64 of the characters A-Z, a-z, 0-9, _ and -"))
    }
}

/// Returns a new event id: a bare UUID.
pub fn event() -> String {
    Uuid::now_v7().to_string()
}

/// Returns a new id for a request without one.
pub fn request() -> String {
    format!("req_{}", Uuid::now_v7())
}

/// Returns a new trace id, in the form of W3C Trace Context.
pub fn trace() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Returns a new span id, in hexadecimal digits.
pub fn span() -> String {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    format!("{:016x}", low)
}

/// Returns a new id for a tool call whose provider gave none.
pub fn tool_call() -> String {
    const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = Uuid::new_v4().as_u128() >> 64;
    let character = |_| {
        let index = usize::try_from(random % 62).unwrap_or_default();
        random /= 62;
        char::from(*CHARACTERS.get(index).unwrap_or(&b'0'))
    };
    (0..9).map(character).collect()
}

/// Returns random bytes from the operating system, suitable for keys.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
    Ok(bytes)
}
