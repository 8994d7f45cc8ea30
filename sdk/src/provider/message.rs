//! What requests and their messages are made of, as services want it.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Image, Message, Part, Request, ToolCall};

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
            temperature: None,
            max_output_tokens: None,
            response_schema: None,
            idempotency_key: None,
        }
    }
}

impl Message {
    /// The message's text parts, one per line.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Message, Part, Role};
    ///
    /// let message = Message { role: Role::User, parts: vec![Part::Text("a".into()), Part::Text("b".into())] };
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
    /// The arguments as a JSON object, for services that take nothing else: as the model wrote them; empty
    /// if it wrote none; and what is no object stands in one, as `malformed`.
    ///
    /// ```
    /// let call = |arguments: &str| moxxy_sdk::provider::ToolCall {
    ///     id: "1".into(),
    ///     name: "greet".into(),
    ///     arguments: arguments.into(),
    /// };
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
