//! What requests and their messages are made of, as services want it.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Image, Message, ModelOptions, Part, Request, Role, ToolCall, ToolCallDelta, Usage};

impl Request {
    /// A request for a model that says nothing yet, for tests.
    ///
    /// ```
    /// use moxxy_sdk::provider::Request;
    ///
    /// let request = Request { system: Some("Be brief.".into()), ..Request::new("large-1") };
    /// # assert!(request.messages.is_empty());
    /// ```
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            system: None,
            messages: Vec::new(),
            tools: Vec::new(),
            options: ModelOptions::none(),
            max_output_tokens: None,
            response_schema: None,
            idempotency_key: None,
            adaptations: Vec::new(),
        }
    }

    /// Whether an earlier request made the host remember this adaptation. See [`Error::unsupported`](super::Error).
    ///
    /// ```
    /// let request = moxxy_sdk::provider::Request::new("large-1");
    /// assert!(!request.is_adapted("no-tools"));
    /// ```
    pub fn is_adapted(&self, adaptation: &str) -> bool {
        self.adaptations.iter().any(|known| known == adaptation)
    }

    /// Returns the name of the tool that a call of the conversation was for. Services that number no calls want it with
    /// a result.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Message, Part, Request, Role, ToolCall};
    ///
    /// let call = Part::ToolCall(ToolCall::new("call-1", "greet", "{}"));
    /// let messages = vec![Message::new(Role::Assistant, vec![call])];
    /// let request = Request { messages, ..Request::new("large-1") };
    /// assert_eq!(request.tool_name("call-1"), Some("greet"));
    /// ```
    pub fn tool_name(&self, call_id: &str) -> Option<&str> {
        let parts = self.messages.iter().rev().flat_map(|message| &message.parts);
        parts.into_iter().find_map(|part| match part {
            Part::ToolCall(call) if call.id == call_id => Some(&*call.name),
            _ => None,
        })
    }
}

impl ModelOptions {
    /// Options of which none is set.
    ///
    /// ```
    /// use moxxy_sdk::provider::ModelOptions;
    ///
    /// let options = ModelOptions { temperature: Some(0.5), ..ModelOptions::none() };
    /// # assert!(options.stop.is_empty());
    /// ```
    pub fn none() -> Self {
        Self { temperature: None, top_p: None, stop: Vec::new(), reasoning_effort: None, thinking: None, extra: None }
    }
}

impl Message {
    /// A message without opaque data.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Message, Part, Role};
    ///
    /// let message = Message::new(Role::User, vec![Part::Text("Hello".into())]);
    /// # assert!(message.opaque.is_empty());
    /// ```
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, opaque: Vec::new() }
    }

    /// The message's text parts, one per line.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Message, Part, Role};
    ///
    /// let message = Message::new(Role::User, vec![Part::Text("a".into()), Part::Text("b".into())]);
    /// assert_eq!(message.text(), "a\nb");
    /// ```
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.parts.iter().filter_map(Part::as_text).collect();
        texts.join("\n")
    }
}

impl Part {
    /// The text, if it is one.
    ///
    /// ```
    /// let part = moxxy_sdk::provider::Part::Text("a".into());
    /// assert_eq!(part.as_text(), Some("a"));
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Image {
    /// The picture in base64.
    ///
    /// ```
    /// let image = moxxy_sdk::provider::Image { media_type: "image/png".into(), data: vec![1, 2, 3] };
    /// assert_eq!(image.base64(), "AQID");
    /// ```
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.data)
    }

    /// The picture as a `data:` URL.
    ///
    /// ```
    /// let image = moxxy_sdk::provider::Image { media_type: "image/png".into(), data: vec![1, 2, 3] };
    /// assert_eq!(image.data_url(), "data:image/png;base64,AQID");
    /// ```
    pub fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.media_type, self.base64())
    }
}

impl ToolCall {
    /// A call without opaque data.
    ///
    /// ```
    /// let call = moxxy_sdk::provider::ToolCall::new("call-1", "greet", "{}");
    /// # assert!(call.opaque.is_empty());
    /// ```
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), arguments: arguments.into(), opaque: Vec::new() }
    }

    /// The arguments as a JSON object, for services that take nothing else: as the model wrote them; empty
    /// if it wrote none; and what is no object stands in one, as `malformed`.
    ///
    /// ```
    /// let call = |arguments| moxxy_sdk::provider::ToolCall::new("1", "greet", arguments);
    /// assert_eq!(call(r#"{"name": "Ada"}"#).object(), r#"{"name": "Ada"}"#);
    /// assert_eq!(call("").object(), "{}");
    /// assert_eq!(call(r#"{"name"#).object(), r#"{"malformed":"{\"name"}"#);
    /// ```
    pub fn object(&self) -> Cow<'_, str> {
        let text = self.arguments.trim();
        let is_object = text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        match text {
            "" => "{}".into(),
            text if is_object => text.into(),
            _ => json!({ "malformed": self.arguments }).to_string().into(),
        }
    }
}

impl ToolCallDelta {
    /// More arguments of a call.
    ///
    /// ```
    /// use moxxy_sdk::provider::ToolCallDelta;
    ///
    /// let first = ToolCallDelta { name: Some("greet".into()), ..ToolCallDelta::new(0, "{") };
    /// # assert_eq!(first.id, None);
    /// ```
    pub fn new(index: u32, arguments: impl Into<String>) -> Self {
        Self { index, id: None, name: None, arguments: arguments.into(), opaque: None }
    }
}

impl Usage {
    /// Usage of which only the totals are known.
    ///
    /// ```
    /// use moxxy_sdk::provider::Usage;
    ///
    /// let usage = Usage { cached_input_tokens: 50, ..Usage::new(60, 12) };
    /// # assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (60, 12, 0));
    /// ```
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, cached_input_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 }
    }
}
