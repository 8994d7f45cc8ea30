//! How requests to the service are written: as its profile says, as the configuration says, and as the service's
//! refusals of earlier requests taught.

use moxxy_sdk::provider::{Error, Request};
use serde_json::Value;

use crate::{
    options::{Json, MaxTokensField, Options, SystemRole},
    profile::{CallIds, Profile, Reasoning, ReasoningContent, Thinking},
};

/// Names of adaptations. Those of fields that are left out are `no-` and the name of the field.
pub(crate) const NO_PREFIX: &str = "no-";
pub(crate) const NO_TOOLS: &str = "no-tools";
pub(crate) const NO_SYSTEM_ROLE: &str = "no-system-role";
pub(crate) const MAX_TOKENS: &str = "max-tokens";
pub(crate) const MAX_COMPLETION_TOKENS: &str = "max-completion-tokens";
pub(crate) const EMPTY_CONTENT: &str = "empty-content";
pub(crate) const REASONING_CONTENT: &str = "reasoning-content";
pub(crate) const NINE_CHARACTER_IDS: &str = "nine-character-ids";
pub(crate) const JSON_OBJECT: &str = "json-object";
pub(crate) const LOOSE_SCHEMA: &str = "loose-schema";
pub(crate) const JSON_WITHOUT_TOOLS: &str = "json-without-tools";

/// The way in which a request is written.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub max_tokens_field: &'static str,
    pub stream_usage: bool,
    /// `None` if instructions stand in the first message of the user.
    pub system_role: Option<&'static str>,
    pub json: Json,
    /// Whether an answer is held to a schema only in a request without tools.
    pub json_without_tools: bool,
    pub nine_character_ids: bool,
    pub empty_content: bool,
    /// Whether every message with tool calls carries `reasoning_content`.
    pub reasoning_content: bool,
    pub reasoning: Reasoning,
    pub thinking: Thinking,
    pub calls_tools: bool,
    pub excluded_keywords: Vec<String>,
    omits: Vec<String>,
}

impl Dialect {
    pub(crate) fn new(options: &Options, request: &Request) -> Result<Self, Error> {
        let profile = Profile::of(options.profile, &options.base_url)?;
        let is = |adaptation: &str| request.is_adapted(adaptation);
        let field = match () {
            () if is(MAX_COMPLETION_TOKENS) => MaxTokensField::MaxCompletionTokens,
            () if is(MAX_TOKENS) => MaxTokensField::MaxTokens,
            () => options.max_tokens_field.or(profile.max_tokens_field).unwrap_or(MaxTokensField::MaxTokens),
        };
        let refused = request.adaptations.iter().filter_map(|name| name.strip_prefix(NO_PREFIX));
        let json = options.json.or(profile.json).unwrap_or(Json::Strict);
        Ok(Self {
            max_tokens_field: field.name(),
            stream_usage: options.stream_usage.or(profile.stream_usage).unwrap_or(true),
            system_role: (!is(NO_SYSTEM_ROLE)).then_some(match options.system_role {
                SystemRole::System => "system",
                SystemRole::Developer => "developer",
            }),
            json: match json {
                _ if is(JSON_OBJECT) => Json::Object,
                Json::Strict if is(LOOSE_SCHEMA) => Json::Schema,
                json => json,
            },
            json_without_tools: is(JSON_WITHOUT_TOOLS) || profile.json_without_tools,
            nine_character_ids: is(NINE_CHARACTER_IDS) || profile.call_ids == CallIds::Nine,
            empty_content: is(EMPTY_CONTENT) || profile.empty_content,
            reasoning_content: is(REASONING_CONTENT) || profile.reasoning_content == ReasoningContent::Calls,
            reasoning: profile.reasoning,
            thinking: profile.thinking,
            calls_tools: !is(NO_TOOLS),
            excluded_keywords: profile.excluded_keywords,
            omits: profile.omits.into_iter().chain(refused.map(|name| name.replace('-', "_"))).collect(),
        })
    }

    /// Whether a field is sent.
    pub(crate) fn sends(&self, field: &str) -> bool {
        !self.omits.iter().any(|omitted| omitted == field)
    }

    /// Returns the id of a tool call as the service takes it. Equal ids stay equal.
    pub(crate) fn call_id(&self, id: &str) -> String {
        let is_nine = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !self.nine_character_ids || is_nine {
            return id.to_owned();
        }
        const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        // FNV-1a with 64 bits.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        let mut character = || {
            let index = usize::try_from(hash % 62).unwrap_or_default();
            hash /= 62;
            CHARACTERS.get(index).map_or('0', |&byte| char::from(byte))
        };
        (0..9).map(|_| character()).collect()
    }

    /// Removes the keywords from a schema that the service refuses.
    pub(crate) fn schema(&self, schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                fields.retain(|name, _| !self.excluded_keywords.contains(name));
                for (name, inner) in fields {
                    match (name.as_str(), inner) {
                        // The names in it are no keywords.
                        ("properties", Value::Object(properties)) => {
                            properties.values_mut().for_each(|property| self.schema(property));
                        }
                        ("enum" | "const" | "default" | "examples", _) => {}
                        (_, inner) => self.schema(inner),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.schema(item)),
            _ => {}
        }
    }
}
